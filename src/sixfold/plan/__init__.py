"""What a run will do and take: candidates, rules, the forecast of memory, time and disk."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Face(ModuleType):
    """`sixfold.plan(recipe)` is Python's face, whose name this folder has."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return importlib.import_module("sixfold.api").plan(*args, **options)


sys.modules[__name__].__class__ = _Face
