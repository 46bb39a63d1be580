"""The part of schema.json that is one plug-in: its options, and what its class says of itself."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import BaseModel

from sixfold.core.plugins import Kind
from sixfold.recipe.kinds import FAMILY, OPTIMIZER, PRUNER, SCHEDULE, SELECTION

Schema = dict[str, Any]
KEYS: Final = {
    FAMILY.name: "family",
    PRUNER.name: "target",
    SELECTION.name: "method",
}  # the key that names a plug-in, where it is not `name`
GRIDS: Final = (
    FAMILY,
    OPTIMIZER,
    SCHEDULE,
)  # kinds whose options may list values to try: those of build and of train


def plugin_schema(kind: Kind, name: str) -> Schema:
    """Imports the plug-in."""
    settings: type[BaseModel] = kind.load(name)
    schema = settings.model_json_schema()
    nested = schema.pop("$defs", {})
    text = json.dumps(schema)
    if nested:  # a plug-in's own nested sections stand in place
        for title, definition in nested.items():
            text = text.replace(json.dumps({"$ref": f"#/$defs/{title}"}), json.dumps(definition))
        schema = json.loads(text)
    key = KEYS.get(kind.name, "name")
    own = {key: {"const": name}, **schema.get("properties", {})}
    schema = {**schema, "properties": own, "required": [key, *schema.get("required", [])]}
    facts = _facts(settings)
    schema = {**schema, "x-facts": facts} if facts else schema
    return as_grid(schema) if kind in GRIDS else schema


def _facts(settings: Any) -> Schema:
    """What a plug-in's class says of itself in plain values: the rules of `recipe` read it here,
    and import nothing.
    """
    facts: Schema = {}
    for name in sorted(settings.__class_vars__):
        value = getattr(settings, name, None)
        if isinstance(value, frozenset):
            facts[name] = sorted(value)
        elif isinstance(value, bool | str):
            facts[name] = value
    return facts


def as_grid(schema: Schema) -> Schema:
    """Every option may list values to try; a number may be a range, unless it says otherwise (`x-range`)."""

    def tried(node: Schema) -> Schema:
        numeric = any(
            branch.get("type") in ("integer", "number") for branch in node.get("anyOf", [node])
        )
        ranges = [{"$ref": "#/$defs/Range"}] if numeric and node.get("x-range", True) else []
        return {
            "x-grid": node,
            "anyOf": [node, {"type": "array", "items": node, "minItems": 1}, *ranges],
        }

    properties = {
        key: node if "const" in node else tried(node)
        for key, node in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties}


def is_list(schema: Schema, key: str) -> bool:
    """Whether one value of this key is itself a list."""
    node = schema["properties"].get(key.split(".")[0], {}) if "." not in key else {}
    branches = node.get("anyOf", [node])
    return any(branch.get("type") == "array" for branch in branches)
