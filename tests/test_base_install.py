"""The base install (recipe, bundle, serve, command line) stays small: no torch, no scikit-learn,
under 250 MB.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution

LIMIT_BYTES = 250_000_000
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


def closure(name: str) -> set[str]:
    """Every distribution that `pip install sixfold` brings, by their own metadata."""
    found: set[str] = set()
    waiting = [name]
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


def test_the_base_install_is_small() -> None:
    names = closure("sixfold")
    assert "onnxruntime" in names
    assert names & HEAVY == set()
    total = sum(size_bytes(name) for name in names)
    assert 50_000_000 < total < LIMIT_BYTES, f"{total:,} bytes: {sorted(names)}"
