"""Keras 3 in a process of its own: its backend is chosen once, when it is imported. Which one is
the fastest is measured.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from bench.child import Child, child
from bench.pairs import Absent, need

BACKENDS = ("jax", "torch", "tensorflow")


def keras(module: str, backend: str) -> AbstractContextManager[Child]:
    """A process with that backend."""
    return child(module, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3", JAX_PLATFORMS="cpu")


def fastest(module: str, **question: Any) -> tuple[str, str]:
    """The backend that answers in the least seconds once it is imported, and what each took. Raises
    Absent.
    """
    need("keras")
    seconds: dict[str, float] = {}
    for backend in BACKENDS:
        try:
            need(backend)
        except Absent:
            continue
        with keras(module, backend) as one:
            one.ask(**question)
            seconds[backend] = one.ask(**question)["seconds"]
    if not seconds:
        raise Absent(f"none of Keras' backends is installed: {', '.join(BACKENDS)}")
    return min(seconds, key=seconds.__getitem__), ", ".join(
        f"{name} {took:.2g} s" for name, took in seconds.items()
    )
