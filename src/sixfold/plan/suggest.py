"""One candidate of a search: a value in the place of every range and every list of a recipe.

What proposes the values is an `optuna.Trial`, or whatever answers the same three questions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from sixfold.build import grid
from sixfold.core.errors import RecipeError
from sixfold.recipe.plugin_fields import Options
from sixfold.recipe.space import Range, is_range, unfit


class Trial(Protocol):
    """What proposes values: an `optuna.Trial`."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number in [low, high]."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number in [low, high]."""

    def suggest_categorical(self, name: str, choices: list[int]) -> int:
        """One of `choices`."""


class FieldKinds(NamedTuple):
    """What must be known of options by their names (`outer.inner` inside a mapping): which are
    lists, which whole numbers.
    """

    is_list: Callable[[str], bool]
    is_whole: Callable[[str], bool]


def suggest(trial: Trial, options: Options, fields: FieldKinds, prefix: str = "") -> Options:
    """`options` with a value in the place of every range and of every list that is a grid; mappings
    are looked into.

    What is chosen is known to `trial` by `prefix` and the option's name, and the number of a list's
    item, so that options of alternatives do not meet:
    `optimizer: [{name: sgd, momentum: {low: 0, high: 0.9}}, adam]`. Raises RecipeError for a range
    that is none.
    """
    return {
        key: _suggested(trial, value, key, fields, f"{prefix}{key}")
        for key, value in options.items()
    }


def _suggested(trial: Trial, value: Any, key: str, fields: FieldKinds, name: str) -> Any:
    if is_range(value):
        return _within(trial, value, fields.is_whole(key), name)
    if isinstance(value, dict):
        inner = FieldKinds(
            partial(_inner, fields.is_list, key), partial(_inner, fields.is_whole, key)
        )
        return suggest(trial, value, inner, f"{name}.")
    tried = grid.values(value, fields.is_list(key))
    at = trial.suggest_categorical(name, list(range(len(tried)))) if len(tried) > 1 else 0
    return (
        _suggested(trial, tried[at], key, fields, f"{name}.{at}")
        if isinstance(tried[at], dict)
        else tried[at]
    )


def _inner(of: Callable[[str], bool], outer: str, key: str) -> bool:
    return of(f"{outer}.{key}")


def _within(trial: Trial, value: dict[str, Any], whole: bool, name: str) -> float | int:
    if problem := unfit(value):
        raise RecipeError(
            name, f"a range ({problem})", str(value), "Write {low: 0.001, high: 10, log: true}."
        )
    chosen = Range.model_validate(value)
    if not whole:
        return trial.suggest_float(name, chosen.low, chosen.high, step=chosen.step, log=chosen.log)
    numbers = (chosen.low, chosen.high, chosen.step or 1.0)
    if any(number != int(number) for number in numbers):
        raise RecipeError(
            name,
            "a range of whole numbers",
            str(value),
            "Write whole numbers for low, high and step.",
        )
    low, high, step = map(int, numbers)
    return trial.suggest_int(name, low, high, step=step, log=chosen.log)
