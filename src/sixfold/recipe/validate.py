"""A recipe against schema.json: every mistake, in our words, without importing a plug-in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from sixfold.core.errors import RecipeError, did_you_mean, one
from sixfold.recipe import places
from sixfold.recipe.published import Schema, resolved, schema
from sixfold.recipe.yaml_nodes import Document, short
from sixfold.recipe.yaml_nodes import Path as Place

BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters or less",
    "pattern": "matching {}",
    "minItems": "{} items or more",
}
WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


NUMBERS = {"integer", "number"}
MOST_PROBLEMS = 100
MOST_WHOLE = 2**63  # what counts, and what NumPy takes
YES_OR_NO = {"yes": "true", "on": "true", "no": "false", "off": "false"}  # booleans of YAML 1.1
TRIAL = Document("trial")  # of a value, to see whether it fits


def problems(document: Document) -> list[RecipeError]:
    """What in `document` the schema does not allow: the first MOST_PROBLEMS, as looking for the
    nearest name takes its time.
    """
    return list(islice(_walk(document.value, schema(), (), document), MOST_PROBLEMS))


def options(kind: str, name: str) -> Schema:
    """The options of a plug-in, by their names: `options("splitter", "kfold")` has the key
    `folds`.
    """
    node: Schema = schema()["$defs"][f"{kind}.{name}"]
    return {key: option for key, option in node["properties"].items() if "const" not in option}


def facts(kind: str, name: str) -> Schema:
    """What a plug-in's class says of itself: its `tasks`, for example."""
    found: Schema = schema()["$defs"][f"{kind}.{name}"].get("x-facts", {})
    return found


def _walk(value: Any, node: Schema, path: Place, document: Document) -> Iterator[RecipeError]:
    node = resolved(node)
    if "x-plugin" in node:
        yield from _plugins(value, node, path, document)
    elif "x-names" in node:
        yield from _name(value, node, path, document)
    elif "x-grid" in node:
        yield from _grid(value, node["x-grid"], path, document)
    elif "anyOf" in node:
        yield from _any_of(value, node, path, document)
    elif node.get("type") == "object" and isinstance(value, dict):
        yield from _object(value, node, path, document)
    elif node.get("type") == "array" and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk(item, node.get("items", {}), (*path, number), document)
        yield from _leaf(
            value,
            {k: v for k, v in node.items() if k in ("type", "minItems", "maxItems")},
            path,
            document,
        )
    else:
        yield from _leaf(value, node, path, document)


def _object(
    value: dict[str, Any], node: Schema, path: Place, document: Document
) -> Iterator[RecipeError]:
    properties: Schema = node.get("properties", {})
    others = node.get("additionalProperties", True)
    for key, item in value.items():
        if key in properties:
            yield from _walk(item, properties[key], (*path, key), document)
        elif isinstance(others, dict):
            yield from _walk(item, others, (*path, key), document)
        elif others is False:
            yield _unknown(key, item, path, list(properties), document)
    for key in node.get("required", []):
        if key not in value:
            what = _described(properties.get(key, {}))
            yield RecipeError(
                document.place(path), f"the key '{key}'", "none", f"Add `{key}:` with {what}."
            )


def _unknown(
    key: str, value: Any, path: Place, known: list[str], document: Document
) -> RecipeError:
    if document is TRIAL:
        return RecipeError(document.where, "a known key", "another", "")
    remedy = places.remedy(places.UnknownKey(short(key), value, path, document.value, _fits), known)
    return RecipeError(document.place((*path, key)), "a known key", f"'{short(key)}'", remedy)


def _fits(value: Any, node: Schema) -> bool:
    """Whether a value may stand somewhere: no mistake is found in it, and what to do about one is
    not asked.
    """
    return not any(True for _ in _walk(value, node, (), TRIAL))


def _plugins(value: Any, node: Schema, path: Place, document: Document) -> Iterator[RecipeError]:
    """`adam`, `{name: adam, …}`, and where a chain is allowed a list of these."""
    if value in node.get("x-also", []):
        return
    if isinstance(value, list) and node["x-form"] == "chain":
        if not value and node["x-plugin"] == "family":
            yield RecipeError(
                document.place(path),
                "a family or more",
                "an empty list",
                "Name one, or write auto.",
            )
        for number, item in enumerate(value):
            yield from _plugins(
                item, {**node, "x-form": "one", "x-also": []}, (*path, number), document
            )
        return
    kind, key = node["x-plugin"], node["x-key"]
    given = {key: value} if isinstance(value, str) else value
    names = schema()["x-plugins"][kind]
    if not isinstance(given, dict) or not isinstance(given.get(key), str):
        found = "none" if isinstance(given, dict) else show(value)
        yield RecipeError(
            document.place(path),
            f"the {kind}'s `{key}`",
            found,
            f"Write {key}: NAME with one of: {', '.join(names)}.",
        )
        return
    if given[key] not in names:
        where = (*path, key) if isinstance(value, dict) else path
        yield _no_such(given[key], kind, node.get("x-also", []), document.place(where))
        return
    yield from _walk(given, schema()["$defs"][f"{kind}.{given[key]}"], path, document)


def _name(value: Any, node: Schema, path: Place, document: Document) -> Iterator[RecipeError]:
    """The bare name of a plug-in, or one of the words that may stand in its place."""
    kind, also = node["x-names"], node.get("x-also", [])
    if not isinstance(value, str):
        yield RecipeError(
            document.place(path),
            f"the name of {one(kind)}",
            show(value),
            _remedy(value, {"string"}),
        )
    elif value not in [*also, *schema()["x-plugins"][kind]]:
        yield _no_such(value, kind, also, document.place(path))


def _no_such(name: str, kind: str, also: list[Any], where: str) -> RecipeError:
    known = [*(word for word in also if isinstance(word, str)), *schema()["x-plugins"][kind]]
    return RecipeError(
        where, f"the name of {one(kind)}", f"'{short(name)}'", did_you_mean(short(name), known)
    )


def _grid(value: Any, node: Schema, path: Place, document: Document) -> Iterator[RecipeError]:
    """One value, a list of values to try, or a range of numbers; a list-valued key is a grid only
    when it holds lists.
    """
    branches = [resolved(branch) for branch in resolved(node).get("anyOf", [node])]
    numeric = any(branch.get("type") in NUMBERS for branch in branches)
    if (
        numeric
        and node.get("x-range", True)
        and isinstance(value, dict)
        and not any(branch.get("type") == "object" for branch in branches)
    ):
        yield from _walk(value, {"$ref": "#/$defs/Range"}, path, document)
        for bound in ("low", "high"):
            if isinstance(value.get(bound), int | float):
                yield from _walk(value[bound], node, (*path, bound), document)
        return
    if is_grid(value, takes_list(node)):
        for number, item in enumerate(value):
            yield from _walk(item, node, (*path, number), document)
        return
    yield from _walk(value, node, path, document)


def takes_list(node: Schema) -> bool:
    """Whether one value of this key is itself a list."""
    node = resolved(node)
    branches = node.get("anyOf", [node])
    return any(resolved(branch).get("type") == "array" for branch in branches)


def grid_size(definition: str, value: Schema) -> int:
    """How many combinations the lists in a valid mapping make; mappings in it, and in its lists,
    are grids too.

    The same count as `build.grid.expand` makes, without making them.
    """
    properties: Schema = schema()["$defs"][definition]["properties"]
    return math.prod(_choices(item, properties.get(key, {})) for key, item in value.items())


def _choices(value: Any, node: Schema) -> int:
    if is_grid(value, takes_list(node.get("x-grid", node))):
        return sum(_choices(item, {}) if isinstance(item, dict) else 1 for item in value)
    return (
        math.prod(_choices(item, {}) for item in value.values()) if isinstance(value, dict) else 1
    )


def is_grid(value: Any, of_lists: bool) -> bool:
    """Whether `value` lists alternatives: any list, or for list-valued keys a list of lists, where
    null may stand for one.
    """
    if not isinstance(value, list) or not value:
        return False
    return not of_lists or all(item is None or isinstance(item, list) for item in value)


def _any_of(value: Any, node: Schema, path: Place, document: Document) -> Iterator[RecipeError]:
    found = [list(_walk(value, branch, path, document)) for branch in node["anyOf"]]
    if not all(found):
        return
    kind = {"dict": "object", "list": "array"}.get(type(value).__name__)
    for branch, errors in zip(node["anyOf"], found, strict=True):
        one_of = resolved(branch)
        if "x-plugin" in one_of or (kind is not None and one_of.get("type") == kind):
            yield from errors
            return
    yield _refused(value, node, path, document)


def _leaf(value: Any, node: Schema, path: Place, document: Document) -> Iterator[RecipeError]:
    if isinstance(value, float) and not math.isfinite(value):
        yield RecipeError(document.place(path), "a finite number", show(value), "Change the value.")
    elif (
        resolved(node).get("type") == "integer"
        and isinstance(value, int | float)
        and abs(value) >= MOST_WHOLE
    ):
        remedy = "Write a smaller number."
        yield RecipeError(
            document.place(path), f"a whole number below {MOST_WHOLE:,}", show(value), remedy
        )
    elif any(True for _ in Draft202012Validator(node).iter_errors(value)):
        yield _refused(value, node, path, document)


def _refused(value: Any, node: Schema, path: Place, document: Document) -> RecipeError:
    branches = [resolved(branch) for branch in node.get("anyOf", [node])]
    choices = [str(choice) for branch in branches for choice in branch.get("enum", [])]
    remedy = did_you_mean(str(value), choices) if choices and value is not None else ""
    remedy = remedy or _remedy(value, {str(branch.get("type")) for branch in branches})
    return RecipeError(document.place(path), _described(node), show(value), remedy)


def _remedy(value: Any, types: set[str]) -> str:
    """What to do about a value of the wrong type; `types` are those that may stand there."""
    if value is None:
        return "Remove the key, or give it a value."
    if isinstance(value, str) and types & NUMBERS:
        return "Write the number without quotes or unit."
    if isinstance(value, str) and "boolean" in types and value.lower() in YES_OR_NO:
        return f"Write {YES_OR_NO[value.lower()]}."
    if isinstance(value, bool | int | float) and "string" in types and not types & NUMBERS:
        return "Put the text in quotes."
    if not isinstance(value, dict | list) and "array" in types:
        return "Write a list: [a, b]."
    return "Change the value."


def _described(node: Schema) -> str:
    """What a value may be: `a number, above 0`."""
    node = resolved(node)
    if "x-plugin" in node or "x-names" in node:
        return one(node.get("x-plugin") or node["x-names"])
    if "anyOf" in node:
        types = {branch.get("type") for branch in node["anyOf"]}
        unsaid = {"null", "integer"} if "number" in types else {"null"}
        parts = [_described(branch) for branch in node["anyOf"] if branch.get("type") not in unsaid]
        return (", or " if any("," in part for part in parts) else " or ").join(
            dict.fromkeys(parts)
        )
    if "const" in node:
        return f"{node['const']!r}"
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    kind = WORDS.get(str(node.get("type")), "a value")
    bounds = [text.format(node[key]) for key, text in BOUNDS.items() if key in node]
    return ", ".join([kind, *bounds])


def show(value: Any) -> str:
    """A value as the user wrote it, shortened."""
    if value is None:
        return "nothing"
    text = f"the text {value!r}" if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
