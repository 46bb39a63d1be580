"""Sixfold: raw data and a budget in; a served model with a receipt out.

The public face. Importing it imports neither torch nor scikit-learn; each name is fetched when it
is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Bundle",
    "Client",
    "Recipe",
    "SixfoldClassifier",
    "SixfoldError",
    "SixfoldRegressor",
    "fit",
    "load",
    "plan",
    "run",
]

_HOMES = {
    "Bundle": "sixfold.bundle.load",
    "Client": "sixfold.service.client.client",
    "Recipe": "sixfold.recipe.schema",
    "SixfoldClassifier": "sixfold.sklearn",
    "SixfoldError": "sixfold.core.errors",
    "SixfoldRegressor": "sixfold.sklearn",
    "fit": "sixfold.api",
    "load": "sixfold.bundle.load",
    "plan": "sixfold.api",
    "run": "sixfold.api",
}

if TYPE_CHECKING:
    from sixfold.api import fit, plan, run
    from sixfold.bundle.load import Bundle, load
    from sixfold.core.errors import SixfoldError
    from sixfold.recipe.schema import Recipe
    from sixfold.service.client.client import Client
    from sixfold.sklearn import SixfoldClassifier, SixfoldRegressor


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sixfold' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
