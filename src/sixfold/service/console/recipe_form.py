"""A form made from the recipe's schema: a field for each key that holds one plain value, beside the text that it changes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sixfold.core.errors import RecipeError
from sixfold.recipe import published, yaml_text
from sixfold.recipe.load import problems_in
from sixfold.recipe.yaml_nodes import parse
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.use_cases.jobs import RECIPE_NAME

FIRST: Final = (
    "data.source",
    "data.target",
    "task",
    "build",
    "evaluate.folds",
    "train.epochs",
    "budget.time",
    "budget.memory",
)  # shown at once; all others are folded by section
DEEPEST: Final = 3  # keys in a path
PLAIN: Final = frozenset({"string", "number", "integer", "boolean"})
_LINE: Final = re.compile(r", line (\d+)")


@dataclass(frozen=True)
class RecipeField:
    """`choices`: the values that are offered, where they have names. `texts`: its value is a text, whatever it looks like."""

    path: str
    choices: tuple[str, ...] = ()
    default: str = ""
    help: str = ""
    texts: bool = True


@dataclass(frozen=True)
class RecipeSection:
    """Fields of one key of the recipe."""

    name: str
    fields: tuple[RecipeField, ...]


@dataclass(frozen=True)
class RecipeProblem:
    """`line`: where it stands in the text; None where the whole text is meant."""

    where: str
    expected: str
    found: str
    remedy: str
    line: int | None


def problems(text: str) -> list[RecipeProblem]:
    """Every mistake, with its line."""
    return [_problem(one) for one in problems_in(text, RECIPE_NAME)]


@cache
def sections() -> tuple[RecipeSection, ...]:
    """All fields; those that most recipes say come first, in a section without a name."""
    schema = published.schema()
    fields = {one.path: one for one in _fields(schema, schema, ())}
    first = tuple(fields.pop(path) for path in FIRST if path in fields)
    names = dict.fromkeys(path.partition(".")[0] for path in fields)
    rest = [
        RecipeSection(
            name, tuple(one for one in fields.values() if one.path.partition(".")[0] == name)
        )
        for name in names
    ]
    return (RecipeSection("", first), *rest)


def values(text: str) -> dict[str, str]:
    """What the text says, by path; nothing where it is no mapping."""
    try:
        value = parse(text, RECIPE_NAME).value
    except RecipeError:
        return {}
    return dict(_leaves(value, ()))


def changed(text: str, path: str, value: str) -> str:
    """The text with one key set, or left out where `value` is empty; comments are not kept. Raises InvalidRequest."""
    field = next((f for section in sections() for f in section.fields if f.path == path), None)
    if field is None:
        raise InvalidRequest("path", "a key of the form", repr(path[:80]), "Write it in the text.")
    try:
        whole = parse(text, RECIPE_NAME).value
        new = value if field.texts else parse(value, path).value
    except RecipeError as error:
        raise InvalidRequest(error.where, error.expected, error.found, error.remedy) from None
    whole = dict(whole) if isinstance(whole, Mapping) else {}
    _set(whole, path.split("."), new if value else None)
    return yaml_text.dump(whole)


def _set(whole: dict[str, Any], keys: list[str], value: object) -> None:
    inner = whole
    for key in keys[:-1]:
        below = inner.get(key)
        inner[key] = dict(below) if isinstance(below, Mapping) else {}
        inner = inner[key]
    if value is None:
        inner.pop(keys[-1], None)
        if len(keys) > 1 and not inner:
            _set(whole, keys[:-1], None)
    else:
        inner[keys[-1]] = value


def _problem(error: RecipeError) -> RecipeProblem:
    line = _LINE.search(error.where)
    return RecipeProblem(
        error.where, error.expected, error.found, error.remedy, int(line[1]) if line else None
    )


def _leaves(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(below, (*path, str(key)))
    elif value is not None and not isinstance(value, list):
        yield ".".join(path), str(value).lower() if isinstance(value, bool) else str(value)


def _fields(
    schema: Mapping[str, Any], whole: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[RecipeField]:
    """Of an object's properties, those of objects in it too."""
    for key, raw in schema.get("properties", {}).items():
        one, below = _resolved(raw, whole), (*path, key)
        if "properties" in one and len(below) < DEEPEST:
            yield from _fields(one, whole, below)
            continue
        field = _field(one, ".".join(below))
        if field is not None:
            yield field


def _resolved(raw: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """Behind `$ref`; of a value that may be a grid, one of it."""
    one: Mapping[str, Any] = raw.get("x-grid", raw)
    if "$ref" in one:
        there: Mapping[str, Any] = whole["$defs"][one["$ref"].rpartition("/")[2]]
        return {**there, "description": one.get("description", "")}
    return one


def _field(one: Mapping[str, Any], path: str) -> RecipeField | None:
    forms = [one, *one.get("anyOf", ())]
    named = [str(value) for form in forms for value in form.get("enum", ())]
    choices = dict.fromkeys(filter(None, named))
    types = {form["type"] for form in forms if form.get("type") in PLAIN}
    if (not types and not choices) or path == "version":
        return None
    if types == {"boolean"}:
        choices = dict.fromkeys(("true", "false"))
    default = one.get("default")
    shown = "" if default is None or isinstance(default, dict | list) else str(default)
    if isinstance(default, bool):
        shown = shown.lower()
    texts = not types & {"number", "integer", "boolean"}
    return RecipeField(path, tuple(choices), shown, one.get("description", ""), texts)
