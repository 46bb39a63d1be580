"""From a recipe to candidates; and, from the plug-ins, schema.json and the reference of the recipe.

`python -m sixfold.resolve` writes both files; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sixfold.build import auto, grid
from sixfold.build.family import GradientFamily
from sixfold.core.errors import FitError, RecipeError
from sixfold.core.plugins import Kind
from sixfold.evaluate import scoring
from sixfold.initialize import check as initialize_check
from sixfold.parts.table import Dataset, Task
from sixfold.recipe import schema as sections
from sixfold.recipe.kinds import FAMILY, KINDS, PRUNER
from sixfold.recipe.schema import Options, Recipe, Train
from sixfold.recipe.validate import SCHEMA_FILE
from sixfold.train.candidate import Candidate

KEYS = {FAMILY.name: "family", PRUNER.name: "target"}  # the key that names a plug-in, where it is not `name`
REFERENCE_FILE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "recipe.md"
Schema = dict[str, Any]


def resolve(recipe: Recipe, dataset: Dataset, budget_s: float | None) -> list[Candidate]:
    """Every candidate of build × train, named by what differs. Raises RecipeError or FitError before anything is trained."""
    task = dataset.target.task
    if recipe.build == "auto":
        planned = auto.candidates(dataset, budget_s)
    else:
        items = recipe.build if isinstance(recipe.build, list) else []
        planned = [
            (str(options["family"]), {key: value for key, value in options.items() if key != "family"}, "")
            for item in items
            for options in grid.expand(item, lambda key, item=item: _is_list(_family_fields(item), key))  # type: ignore[misc]
        ]
    settings = list(grid.expand(dict(recipe.train), lambda key: _is_list(Train.model_json_schema(), key)))
    pairs = [(plan, train) for plan in planned for train in _trains(plan[0], settings)]
    flat = [{"family": family, **options, **_prefixed(train, settings)} for (family, options, _), train in pairs]
    found = []
    for name, ((family, options, why), train) in zip(grid.names(flat), pairs, strict=True):
        made = FAMILY.make({"family": family, **options}, "family")
        _check_task(family, made, task)
        candidate = Candidate(name, family, made, recipe.prepare, recipe.initialize, Train.model_validate(train), why)
        _check_start(candidate)
        found.append(candidate)
    return found


def metrics_of(recipe: Recipe, dataset: Dataset) -> tuple[str, ...]:
    """The metrics that are measured; the first one decides. Raises RecipeError for a metric of another task."""
    return scoring.check(recipe.evaluate.metrics, dataset.target.task)


def _trains(family: str, settings: list[Options]) -> list[Options]:
    """A grid over the loop's settings multiplies only families that the loop trains."""
    return settings if issubclass_of_gradient(family) else settings[:1]


def issubclass_of_gradient(family: str) -> bool:
    """Whether the family is trained by the loop."""
    return hasattr(FAMILY.load(family), "module")


def _prefixed(train: Options, settings: list[Options]) -> Options:
    return dict(train) if len(settings) > 1 else {}


def _family_fields(options: Options) -> Schema:
    fields: Schema = FAMILY.load(str(options["family"])).model_json_schema()
    return fields


def _is_list(schema: Schema, key: str) -> bool:
    """Whether one value of this key is itself a list."""
    node = schema["properties"].get(key.split(".")[0], {}) if "." not in key else {}
    branches = node.get("anyOf", [node])
    return any(branch.get("type") == "array" for branch in branches)


def _check_task(name: str, family: Any, task: Task) -> None:
    if task not in family.tasks:
        fitting = [other for other in FAMILY.names() if task in FAMILY.load(other).tasks]
        raise RecipeError("build", f"families for {task}", f"'{name}'", f"Choose from: {', '.join(fitting)}.")


def _check_start(candidate: Candidate) -> None:
    """The start of a network that could never train is refused before the run."""
    if not isinstance(candidate.family, GradientFamily):
        return
    hidden = getattr(candidate.family, "hidden", None)
    problem = initialize_check.problems(candidate.initialize, tuple(hidden) if hidden is not None else (1, 1))
    if problem:
        raise FitError("initialize.scheme", "a start that can train", problem, "Use he_normal or xavier_uniform.")


# ---- schema.json -------------------------------------------------------------------------------------------------


def generate_schema() -> Schema:
    """The JSON Schema of recipes, with the options of every plug-in."""
    schema = Recipe.model_json_schema()
    train = Train.model_json_schema()
    definitions: Schema = schema.setdefault("$defs", {})
    for part in (schema, train):
        definitions |= part.pop("$defs", {}) if part is train else {}
    definitions["Train"] = _as_grid(train)
    for kind in KINDS.values():
        for name in kind.names():
            definitions[f"{kind.name}.{name}"] = _plugin_schema(kind, name)
    schema["x-plugins"] = {kind.name: kind.names() for kind in KINDS.values()}
    filled: Schema = _fill(schema)
    filled["properties"]["task"]["anyOf"][0].pop("title", None)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Sixfold recipe"}
    return {**head, **_without_titles(filled)}


def _plugin_schema(kind: Kind, name: str) -> Schema:
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
    return _as_grid(schema) if kind is FAMILY else schema


def _as_grid(schema: Schema) -> Schema:
    """Every option may list values to try."""
    properties = {
        key: node if "const" in node else {"x-grid": node, "anyOf": [node, {"type": "array", "items": node}]}
        for key, node in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties}


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
    return {key: _fill(item) for key, item in node.items()}


def _union(node: Schema) -> Schema:
    kind = KINDS[node["x-plugin"]]
    key = KEYS.get(kind.name, "name")
    references = [{"$ref": f"#/$defs/{kind.name}.{name}"} for name in kind.names()]
    one = [{"enum": kind.names()}, *references] if key == "name" else references
    branches = [*one, {"type": "array", "items": {"anyOf": one}}] if node["x-form"] == "chain" else one
    also = ["auto"] if kind is FAMILY else [None] if node.get("default", 0) is None else []
    extra = [{"enum": also}] if also else []
    return {**node, "x-key": key, "x-also": also, "anyOf": [*branches, *extra]}


def _without_titles(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {k: _without_titles(v) for k, v in node.items() if not (k == "title" and isinstance(v, str))}


# ---- the reference -----------------------------------------------------------------------------------------------


def reference() -> str:
    """Markdown of every section and every plug-in, with type, range and default of each key."""
    lines = ["# The recipe", "", "Generated from the code by `make docs`.", ""]
    for name in ("Recipe", "Data", "Prepare", "Denoise", "Impute", "Feature", "Initialize", "Train", "Stop", "Evaluate",
                 "Compress", "Quantize", "FixedPoint", "Budget", "Serve"):  # fmt: skip
        section: type[BaseModel] = getattr(sections, name)
        lines += [f"## {name}", "", (section.__doc__ or "").strip(), "", *_table(section.model_json_schema()), ""]
    for kind in KINDS.values():
        lines += [f"## Kind: {kind.name}", ""]
        for name in kind.names():
            settings: type[BaseModel] = kind.load(name)
            doc = " ".join((settings.__doc__ or "").split())
            lines += [f"### {kind.name} `{name}`", "", doc, "", *_table(settings.model_json_schema()), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(schema: Schema) -> Iterator[str]:
    properties = schema.get("properties", {})
    if not properties:
        return
    yield from ("| key | what | default |", "| --- | --- | --- |")
    for key, node in properties.items():
        default = json.dumps(node["default"]) if "default" in node else "" if key in schema.get("required", []) else "…"
        words = ". ".join(part for part in (_kind_of(node), node.get("description", "").rstrip(".")) if part)
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
    kind = {"null": "", "object": "mapping", "array": "list"}.get(str(node.get("type")), str(node.get("type", "")))
    return f"{kind} {limits}".strip()


def main() -> None:
    """Write schema.json and the reference."""
    SCHEMA_FILE.write_text(json.dumps(generate_schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if REFERENCE_FILE.parent.is_dir():
        REFERENCE_FILE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()

__all__ = ["generate_schema", "metrics_of", "reference", "resolve"]
