"""What is generated from the sections and the plug-ins: schema.json and the reference of the
recipe.

`python -m sixfold.recipe.generate` writes both files; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sixfold.core.plugins import Kind
from sixfold.recipe.budget import Budget, Cluster
from sixfold.recipe.calibration import Calibration
from sixfold.recipe.compression import Compress, FixedPoint, Quantize
from sixfold.recipe.kinds import FAMILY, KINDS
from sixfold.recipe.plugin_schema import KEYS, as_grid, plugin_schema
from sixfold.recipe.published import SCHEMA_FILE
from sixfold.recipe.reading import Marks, ReadFile
from sixfold.recipe.schema import (
    Average,
    Data,
    Denoise,
    Evaluate,
    Feature,
    Impute,
    Initialize,
    Prepare,
    Recipe,
    Stop,
    Train,
)
from sixfold.recipe.serving import Serve
from sixfold.recipe.space import Range, Search
from sixfold.recipe.strategy import AskedStrategy
from sixfold.recipe.table_files import FeatureTable
from sixfold.recipe.task import Quantiles

REFERENCE_FILE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "recipe.md"
SECTIONS: tuple[type[BaseModel], ...] = (
    Recipe,
    Quantiles,
    Data,
    FeatureTable,
    ReadFile,
    Marks,
    Prepare,
    Denoise,
    Impute,
    Feature,
    Initialize,
    Train,
    Stop,
    Average,
    Evaluate,
    Search,
    Range,
    Compress,
    Quantize,
    FixedPoint,
    Budget,
    Cluster,
    AskedStrategy,
    Serve,
)
YAML = [
    "A recipe is YAML by the core schema of YAML 1.2, with merge keys (`<<`): `yes`, `on`, `1_000`, `12:30` and",
    "`2026-11-23` are texts, `0o17` and `0x1F` are numbers, and `1e4` may stand where a whole number is due. Tags (`!!str`)",
    "are refused, so are numbers of more than 100 characters, more than 20,000 values and more than 40 levels. A bundle's",
    "recipe is read by the same reader.",
    "",
]
Schema = dict[str, Any]


def generate_schema() -> Schema:
    """The JSON Schema of recipes, with the options of every plug-in."""
    schema = Recipe.model_json_schema()
    train = Train.model_json_schema()
    definitions: Schema = schema.setdefault("$defs", {})
    for part in (schema, train):
        definitions |= part.pop("$defs", {}) if part is train else {}
    definitions["Train"] = as_grid(train)
    definitions["Evaluate"]["properties"] |= as_grid(Calibration.model_json_schema())["properties"]
    definitions["Range"] = Range.model_json_schema()
    for name in ("Stop", "Average"):
        definitions[name] = as_grid(definitions[name])
    for kind in KINDS.values():
        for name in kind.askable():
            definitions[f"{kind.name}.{name}"] = plugin_schema(kind, name)
    schema["x-plugins"] = {kind.name: kind.askable() for kind in KINDS.values()}
    filled: Schema = _fill(schema)
    filled["properties"]["task"]["anyOf"][0].pop("title", None)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Sixfold recipe"}
    return {**head, **_without_titles(filled)}


def _fill(node: Any) -> Any:
    """Markers (`x-plugin`, `x-grid: Train`) become references to what was generated."""
    if isinstance(node, list):
        return [_fill(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("x-grid") == "Train":
        return {"$ref": "#/$defs/Train"}
    if "x-plugin" in node and "anyOf" not in node:
        return _union(node)
    if "x-names" in node and "enum" not in node:
        return {**node, "enum": [*node["x-also"], *KINDS[node["x-names"]].names()]}
    return {key: _fill(item) for key, item in node.items()}


def _union(node: Schema) -> Schema:
    kind = KINDS[node["x-plugin"]]
    bare = [name for name in kind.askable() if not _needs_options(kind, name)]
    one: list[Schema] = [
        {"enum": bare},
        *({"$ref": f"#/$defs/{kind.name}.{name}"} for name in kind.askable()),
    ]
    branches: list[Schema] = (
        [*one, {"type": "array", "items": {"anyOf": one}}] if node["x-form"] == "chain" else one
    )
    if kind is FAMILY:
        branches[-1] = {**branches[-1], "minItems": 1}
    optional = [None] if node.get("default", 0) is None else []
    also = ["auto"] if kind is FAMILY else optional
    extra = [{"enum": also}] if also else []
    return {
        **node,
        "x-key": KEYS.get(kind.name, "name"),
        "x-also": also,
        "anyOf": [*branches, *extra],
    }


def _needs_options(kind: Kind, name: str) -> bool:
    """Whether the bare name says too little."""
    return any(field.is_required() for field in kind.load(name).model_fields.values())


def _without_titles(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        k: _without_titles(v) for k, v in node.items() if not (k == "title" and isinstance(v, str))
    }


def reference() -> str:
    """Markdown of every section and every plug-in, with type, range and default of each key."""
    lines = ["# The recipe", "", "Generated from the code by `make docs`.", "", *YAML]
    for section in SECTIONS:
        lines += [
            f"## {section.__name__}",
            "",
            (section.__doc__ or "").strip(),
            "",
            *_table(section.model_json_schema()),
            "",
        ]
    for kind in KINDS.values():
        lines += [f"## Kind: {kind.name}", ""]
        for name in kind.askable():
            settings: type[BaseModel] = kind.load(name)
            doc = " ".join((settings.__doc__ or "").split())
            lines += [
                f"### {kind.name} `{name}`",
                "",
                doc,
                "",
                *_table(settings.model_json_schema()),
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


def _table(schema: Schema) -> Iterator[str]:
    properties = schema.get("properties", {})
    if not properties:
        return
    yield from ("| key | what | default |", "| --- | --- | --- |")
    for key, node in properties.items():
        absent = "" if key in schema.get("required", []) else "…"
        default = json.dumps(node["default"]) if "default" in node else absent
        words = ". ".join(
            part for part in (_kind_of(node), node.get("description", "").rstrip(".")) if part
        )
        yield f"| `{key}` | {words.replace('|', ', ')} | {f'`{default}`' if default else 'required'} |"


def _kind_of(node: Schema) -> str:
    if "x-plugin" in node:
        return f"{'one or more' if node['x-form'] == 'chain' else 'a'} {node['x-plugin']}"
    if "anyOf" in node:
        return " or ".join(filter(None, (_kind_of(branch) for branch in node["anyOf"])))
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = " ".join(f"{sign} {node[key]}" for key, sign in bounds.items() if key in node)
    kind = {"null": "", "object": "mapping", "array": "list"}.get(
        str(node.get("type")), str(node.get("type", ""))
    )
    return f"{kind} {limits}".strip()


def main() -> None:
    """Write schema.json and the reference."""
    SCHEMA_FILE.write_text(
        json.dumps(generate_schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    if REFERENCE_FILE.parent.is_dir():
        REFERENCE_FILE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
