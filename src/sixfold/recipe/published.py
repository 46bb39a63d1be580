"""schema.json, as it is published: what a recipe may hold, read without importing a plug-in of
Sixfold's own.

Plug-ins of other packages are not in the file: where some are installed they are added here, which
imports them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from sixfold.core.errors import RecipeError
from sixfold.core.plugins import Kind
from sixfold.recipe.kinds import KINDS, MODALITY
from sixfold.recipe.plugin_schema import plugin_schema

SCHEMA_FILE = Path(__file__).with_name("schema.json")
Schema = dict[str, Any]


@cache
def schema() -> Schema:
    """The whole of it, with the plug-ins that other packages bring. Raises RecipeError for one that
    cannot be imported.
    """
    loaded: Schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    for kind in KINDS.values():
        for name in kind.foreign_names():
            loaded["$defs"][f"{kind.name}.{name}"] = _foreign(kind, name)
            loaded["x-plugins"][kind.name] = sorted({*loaded["x-plugins"][kind.name], name})
    keys: Schema = loaded["$defs"]["Feature"]["properties"]
    keys |= dict.fromkeys(MODALITY.foreign_names(), keys["text"])
    return loaded


def _foreign(kind: Kind, name: str) -> Schema:
    try:
        return plugin_schema(kind, name)
    except (ImportError, AttributeError) as error:
        found, remedy = (
            f"{type(error).__name__}: {error}",
            "Repair the package that brings it, or uninstall it.",
        )
        raise RecipeError(
            f"{kind.name} {name}", "an installed plug-in with a class Settings", found, remedy
        ) from error


def resolved(node: Schema) -> Schema:
    """What a reference stands for; any other node itself."""
    reference = node.get("$ref")
    if reference is None:
        return node
    name = str(reference).removeprefix("#/$defs/")
    target: Schema = schema()["$defs"][name]
    return target
