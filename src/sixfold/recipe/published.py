"""schema.json, as it is published: what a recipe may hold, read without importing a plug-in."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).with_name("schema.json")
Schema = dict[str, Any]


@cache
def schema() -> Schema:
    """The whole of it."""
    loaded: Schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return loaded


def resolved(node: Schema) -> Schema:
    """What a reference stands for; any other node itself."""
    reference = node.get("$ref")
    if reference is None:
        return node
    name = str(reference).removeprefix("#/$defs/")
    target: Schema = schema()["$defs"][name]
    return target
