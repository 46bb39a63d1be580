"""Where a key belongs that stands in a section which does not know it: read from schema.json, no
table is kept by hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sixfold.core.errors import did_you_mean, nearest, one
from sixfold.recipe import yaml_text
from sixfold.recipe.published import Schema, resolved, schema
from sixfold.recipe.schema import Recipe, Train
from sixfold.recipe.yaml_nodes import Path, show_path

VERY_NEAR = 0.8  # so alike is `metric` to `metrics`: both are offered, the key and the place of an equal one
MOST_SHOWN = 60  # characters of a value that are repeated in what to write
MOST_NAMED = 4  # places, or plug-ins, that are named
Fits = Callable[[Any, Schema], bool]


@dataclass(frozen=True)
class Home:
    """A place of the recipe that knows a name, as a key or as the name of a plug-in.

    `path`: the section, or the key that holds the plug-in. `node`: the schema of the value, or of
    the plug-in's key. `kind`, `named`: of a plug-in, and the key that names it. `owner`: the
    plug-in whose option it is. `listed`: a list of names.
    """

    path: tuple[str, ...]
    node: Schema
    kind: str = ""
    named: str = ""
    owner: str = ""
    listed: bool = False


@dataclass(frozen=True)
class UnknownKey:
    """A key, with its value, that the section at `path` does not know.

    `recipe`: all of it, whose own plug-ins are named before others. `fits`: whether a value fits a
    schema.
    """

    name: str
    value: Any
    path: Path
    recipe: Any
    fits: Fits

    @property
    def section(self) -> tuple[str, ...]:
        """The path without the numbers of list items."""
        return tuple(part for part in self.path if isinstance(part, str))


def remedy(key: UnknownKey, known: Sequence[str]) -> str:
    """What to do about `key`; its section knows `known`."""
    homes = _all().get(key.name, [])
    if not homes:
        return did_you_mean(key.name, known)
    near = nearest(key.name, known, VERY_NEAR)
    hint = f"Did you mean '{near}'? " if near else ""
    return hint + _belongs(key, _ranked(homes, key))


@cache
def _all() -> dict[str, list[Home]]:
    """Name → every home, in the order of the recipe."""
    found: dict[str, list[Home]] = {}
    for name, home in _homes(schema(), ()):
        found.setdefault(name, []).append(home)
    return found


def _homes(node: Schema, path: tuple[str, ...], listed: bool = False) -> Iterator[tuple[str, Home]]:
    node = resolved(node)
    kind = node.get("x-plugin") or node.get("x-names")
    if kind:
        yield from _of_plugins(node, path, kind, listed)
    elif "x-grid" in node:
        yield from _homes(node["x-grid"], path)
    elif "anyOf" in node:
        for branch in node["anyOf"]:
            yield from _homes(branch, path)
    elif node.get("type") == "array":
        yield from _homes(node.get("items", {}), path, listed=True)
    for key, item in node.get("properties", {}).items():
        yield key, Home(path, item)
        yield from _homes(item, (*path, key))


def _of_plugins(
    node: Schema, path: tuple[str, ...], kind: str, listed: bool
) -> Iterator[tuple[str, Home]]:
    """Their names, and their options where the key takes them."""
    named = node.get("x-key", "")
    for name in schema()["x-plugins"][kind]:
        yield name, Home(path, node, kind, named, listed=listed)
        if named:
            for key, option in schema()["$defs"][f"{kind}.{name}"]["properties"].items():
                if "const" not in option:
                    yield key, Home(path, option, kind, named, owner=name)


def _ranked(homes: Sequence[Home], key: UnknownKey) -> list[Home]:
    """The likeliest, the first one most: near to where the key stands, a key before a plug-in's
    name, of a plug-in in use, with a value that fits. Options of another plug-in in the same place
    come last: the recipe has chosen one.
    """

    def rank(home: Home) -> tuple[int, str, int]:
        near = -1 if home.path == key.section else _common(home.path, key.section)
        asked = [_names(recipe, home.path, home.named) for recipe in (key.recipe, _defaults())]
        used = (
            next((at for at, names in enumerate(asked) if home.owner in names), len(asked))
            if home.owner
            else 0
        )
        return -near, "" if home.owner else home.kind, used

    best = min(map(rank, homes))
    alike = [home for home in homes if rank(home) == best]
    return sorted(alike, key=lambda home: not key.fits(*_filled("", key.value, home)[1:]))


def _belongs(key: UnknownKey, homes: Sequence[Home]) -> str:
    """`folds belongs into evaluate: write `evaluate: {folds: 5}`.`"""
    first = homes[0]
    example = f"write `{_example(key, first)}`."
    if first.path == key.section:
        return f"{key.name} belongs to {_either([home.owner for home in homes], 'and')}: {example}"
    paths = list(dict.fromkeys(home.path for home in homes))
    shared = paths[0][: min(_common(path, paths[0]) for path in paths)]
    if len(paths) > MOST_NAMED and shared:
        paths = [shared]
    where = _either([show_path(path) or "the top of the recipe" for path in paths], "or")
    what = f"is {one(first.kind)} and belongs" if first.kind and not first.owner else "belongs"
    return f"{key.name} {what} into {where}: {example}"


def _example(key: UnknownKey, home: Home) -> str:
    """What to write, from the section on that both places share."""
    filled, *checked = _filled(key.name, key.value, home)
    if not key.fits(*checked):
        filled = {**({home.named: home.owner} if home.owner else {}), key.name: "…"}
    for part in reversed(
        home.path[min(_common(home.path, key.section), max(0, len(home.path) - 1)) :]
    ):
        filled = {part: filled}
    return yaml_text.flow(filled)[1:-1]


def _filled(key: str, value: Any, home: Home) -> tuple[Any, Any, Schema]:
    """What stands under the home's path when `key: value` is written there; and what has to fit
    which schema.
    """
    short = value if len(repr(value)) <= MOST_SHOWN else "…"
    if not home.kind:
        return {key: short}, value, home.node
    if home.owner:
        return {home.named: home.owner, key: short}, value, home.node
    named: Any = (
        {home.named: key, **value} if home.named and isinstance(value, dict) and value else key
    )
    return ([named] if home.listed else named), named, home.node


def _names(recipe: Any, path: tuple[str, ...], named: str) -> list[Any]:
    """Of the plug-ins that a recipe asks for at `path`."""
    for part in path:
        recipe = recipe.get(part) if isinstance(recipe, dict) else None
    return [
        item.get(named) if isinstance(item, dict) else item
        for item in (recipe if isinstance(recipe, list) else [recipe])
    ]


@cache
def _defaults() -> dict[str, Any]:
    """The recipe that names nothing but its data."""
    recipe = Recipe.model_validate({"data": {"source": ""}})
    return {**recipe.model_dump(), "train": Train().model_dump()}


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two paths share from the start."""
    return sum(
        1
        for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    )


def _either(names: Sequence[str], word: str) -> str:
    names = [*names[:MOST_NAMED], *(["others"] if len(names) > MOST_NAMED else [])]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
