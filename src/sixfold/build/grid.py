"""A list as a value is a grid: one candidate for every combination, named by what differs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

Options = dict[str, Any]
SHORT = 8  # characters of a number that stands in a name as it is


def expand(options: Options, is_list_field: Callable[[str], bool]) -> list[Options]:
    """Every combination of the values given as lists, the last key changing fastest.

    Mappings are looked into, also those in a list:
    `optimizer: [{name: sgd, momentum: [0, 0.9]}, adam]` is a grid of three. `is_list_field(key)`
    (`outer.inner` inside a mapping) says that a field is itself a list, like `hidden`: then only a
    list of lists (or of null, for one that is left out) is a grid. An empty list is a value, not a
    grid.

    >>> expand({"family": "svm", "C": [1, 10]}, lambda key: False)
    [{'family': 'svm', 'C': 1}, {'family': 'svm', 'C': 10}]
    """
    choices = []
    for key, value in options.items():
        inner = partial(_inner, is_list_field, key)
        tried = [value] if isinstance(value, dict) else values(value, is_list_field(key))
        choices.append(
            [
                one
                for item in tried
                for one in (expand(item, inner) if isinstance(item, dict) else [item])
            ]
        )
    return [
        dict(zip(options, combination, strict=True)) for combination in itertools.product(*choices)
    ]


def names(candidates: Sequence[Options]) -> list[str]:
    """A unique name for each candidate: its family, and the options in which it differs from others
    of that family.

    >>> names([{"family": "svm", "C": 1}, {"family": "svm", "C": 10}, {"family": "mlp"}])
    ['svm C=1', 'svm C=10', 'mlp']
    """
    flat = [_flat(candidate) for candidate in candidates]
    result = []
    for one in flat:
        others = [other for other in flat if other["family"] == one["family"]]
        differing = [key for key in one if any(other.get(key) != one[key] for other in others)]
        parts = [f"{_short(key)}={_show(one[key])}" for key in differing]
        result.append(" ".join([str(one["family"]), *parts]))
    return _unique(result)


def values(value: Any, is_list: bool) -> list[Any]:
    """What is tried for one option: the items of a list that is a grid, else the value alone.
    `is_list`: of the field.
    """
    if not isinstance(value, list) or not value:
        return [value]
    if is_list and not all(item is None or isinstance(item, list) for item in value):
        return [value]
    return value


def _inner(is_list_field: Callable[[str], bool], outer: str, key: str) -> bool:
    return is_list_field(f"{outer}.{key}")


def _flat(options: Options) -> Options:
    flat: Options = {}
    for key, value in options.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return flat


def _short(key: str) -> str:
    """`optimizer.momentum` is momentum; `optimizer.name` is the optimizer."""
    outer, _, inner = key.rpartition(".")
    return outer if inner == "name" and outer else inner


def _show(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(_show, value))
    text = str(value)
    return f"{value:.4g}" if isinstance(value, float) and len(text) > SHORT else text


def _unique(result: list[str]) -> list[str]:
    """Equal names get #2, #3 … from the second on."""
    seen: Counter[str] = Counter()
    unique = []
    for name in result:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return unique
