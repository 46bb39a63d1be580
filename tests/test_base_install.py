"""The base install (recipe, bundle, serve, command line) stays small: no torch, no scikit-learn,
under 250 MB; with what serves a language model under 450 MiB.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LIMIT_BYTES = 250_000_000
LANGUAGE_BYTES = 450 << 20  # with the extra `language-serve`, bytecode included
HEAVY = {
    "torch",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "lightgbm",
    "scipy",
    "onnx",
    "optuna",
    "sympy",
}


def closure(*names: str) -> set[str]:
    """Every distribution that `pip install` of these brings, by their own metadata."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        current = waiting.pop()
        try:
            requirements = distribution(current).requires or []
        except PackageNotFoundError:
            continue  # for another system or Python
        if current in found:
            continue
        found.add(current)
        waiting += [
            re.split(r"[\s<>=!~;\[(]", text, maxsplit=1)[0].lower().replace("_", "-")
            for text in requirements
            if "extra ==" not in text
        ]
    return found


def size_bytes(name: str) -> int:
    files = distribution(name).files or []
    return sum(
        path.stat().st_size
        for file in files
        if (path := distribution(name).locate_file(file)).is_file()
    )  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_base_install_is_small() -> None:
    names = closure("sixfold")
    assert "onnxruntime" in names
    assert names & HEAVY == set()
    total = sum(size_bytes(name) for name in names)
    assert 50_000_000 < total < LIMIT_BYTES, f"{total:,} bytes: {sorted(names)}"


@pytest.mark.slow
def test_an_install_that_serves_language_models_is_small() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    asked = [re.split(r"[<>=]", text, maxsplit=1)[0] for text in extras["language-serve"]]
    assert {"openvino-genai", "tokenizers"} <= set(asked)
    names = closure("sixfold", *asked)
    assert names & (HEAVY | {"transformers", "gguf"}) == set()
    total = sum(size_bytes(name) for name in names)
    assert 200_000_000 < total < LANGUAGE_BYTES, f"{total:,} bytes: {sorted(names)}"
