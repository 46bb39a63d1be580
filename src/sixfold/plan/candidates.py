"""From a recipe to candidates; and, from the plug-ins, schema.json and the reference of the recipe.

`python -m sixfold.plan.candidates` writes both files; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sixfold.build import auto, grid
from sixfold.build.candidate import Candidate
from sixfold.core.errors import RecipeError
from sixfold.core.plugins import Kind
from sixfold.evaluate import scoring, thresholds
from sixfold.evaluate.deciding import Defaults, defaults
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.nested import scored_parts
from sixfold.parts.table import Dataset, Target, Task
from sixfold.recipe.kinds import FAMILY, KINDS, OPTIMIZER, SCHEDULE
from sixfold.recipe.plugin_schema import KEYS, as_grid, plugin_schema
from sixfold.recipe.published import SCHEMA_FILE
from sixfold.recipe.reading import Marks, ReadFile
from sixfold.recipe.schema import (
    Average,
    Budget,
    Compress,
    Data,
    Denoise,
    Evaluate,
    Feature,
    FixedPoint,
    Impute,
    Initialize,
    Options,
    Prepare,
    Quantize,
    Recipe,
    Serve,
    Stop,
    Train,
)
from sixfold.recipe.space import Range, Search
from sixfold.runs.budget import TRAIN_SHARE, WORK_SHARE, shared_s
from sixfold.train.range_test import with_default

FOR_EVERY_FAMILY = ("calibrate", "threshold")  # keys of `train` that are not the loop's
REFERENCE_FILE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "recipe.md"
SECTIONS: tuple[type[BaseModel], ...] = (
    Recipe,
    Data,
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


def resolve(
    recipe: Recipe, dataset: Dataset, budget_s: float | None, folds: Sequence[Fold] | None = None
) -> list[Candidate]:
    """Every candidate of build × train, named by what differs. Raises RecipeError or FitError before anything is trained.

    `budget_s`: of the run, and `folds`: both count for `build: auto`.
    """
    planned = _auto(recipe, dataset, budget_s, folds) if recipe.build == "auto" else _planned(recipe.build)
    settings = list(grid.expand(dict(recipe.train), lambda key: is_list(Train.model_json_schema(), key)))
    pairs = [(plan, train) for plan in planned for train in _trains(plan[0], settings)]
    if recipe.build == "auto":
        pairs = [auto.trained(plan, train, dataset) for plan, train in pairs]
    flat = [{"family": family, **options, **_prefixed(train, settings)} for (family, options, _), train in pairs]
    return [
        candidate(recipe, dataset.target, name, (family, options, why), train)
        for name, ((family, options, why), train) in zip(grid.names(flat), pairs, strict=True)
    ]


def candidate(recipe: Recipe, target: Target, name: str, plan: tuple[str, Options, str], train: Options) -> Candidate:
    """One setting of build × train; `plan`: family, its options, why it is there. Raises RecipeError or FitError."""
    family, options, why = plan
    made, settings = FAMILY.make({"family": family, **options}, "family"), _train(train)
    _check_task(family, made, target.task)
    _check_scores(settings, target)
    found = Candidate(name, family, made, recipe.prepare, recipe.initialize, settings, why)
    found.family.check_start(found.initialize)
    return found


def _auto(
    recipe: Recipe, dataset: Dataset, budget_s: float | None, folds: Sequence[Fold] | None
) -> list[tuple[str, Options, str]]:
    """Those that the data asks for, and that there is time for."""
    share = TRAIN_SHARE if recipe.compress is not None else WORK_SHARE
    training_s = None if budget_s is None else share * shared_s(budget_s)
    asked = [recipe.train[key] for key in FOR_EVERY_FAMILY if key in recipe.train]
    inner_fits = any(value != "none" for value in asked) if asked else None
    if folds is None:
        return auto.candidates(dataset, training_s, inner_fits=inner_fits)
    evaluated = sum(len(fold.train) for fold in folds) / max(1, dataset.table.rows)
    return auto.candidates(dataset, training_s, evaluated, inner_fits)


def _planned(build: Sequence[Options]) -> list[tuple[str, Options, str]]:
    """Family, options and no reason, for every combination of every item's lists."""
    return [
        (str(options["family"]), {key: value for key, value in options.items() if key != "family"}, "")
        for item in build
        for options in grid.expand(item, partial(is_list, _family_fields(item)))
    ]


def _train(options: Options) -> Train:
    """The loop's settings, each plug-in's options checked by itself: schema.json knows no rules between options."""
    settings = Train.model_validate(options)
    OPTIMIZER.make(with_default(settings.optimizer))
    SCHEDULE.make(settings.schedule)
    return settings


def metrics_of(recipe: Recipe, dataset: Dataset, folds: Sequence[Fold] | None) -> Defaults:
    """The metrics that are measured; the first one decides, and why where Sixfold chose it against the task's default.

    Raises RecipeError for a metric of another task; DataError where `evaluate.nested` cannot divide the rows.
    """
    if recipe.evaluate.metrics:
        return Defaults(scoring.check(recipe.evaluate.metrics, dataset.target.task))
    return defaults(dataset.target, scored_parts(recipe.evaluate, dataset, folds) if folds else ())


def _trains(family: str, settings: list[Options]) -> list[Options]:
    """A grid over the loop's settings multiplies only families that the loop trains; but every one is calibrated."""
    if FAMILY.load(family).trained_by_the_loop:
        return settings
    different: dict[str, Options] = {}
    for options in settings:
        different.setdefault(repr([options.get(key) for key in FOR_EVERY_FAMILY]), options)
    return list(different.values())


def _prefixed(train: Options, settings: list[Options]) -> Options:
    return dict(train) if len(settings) > 1 else {}


def _family_fields(options: Options) -> Schema:
    fields: Schema = FAMILY.load(str(options["family"])).model_json_schema()
    return fields


def is_list(schema: Schema, key: str) -> bool:
    """Whether one value of this key is itself a list."""
    node = schema["properties"].get(key.split(".")[0], {}) if "." not in key else {}
    branches = node.get("anyOf", [node])
    return any(branch.get("type") == "array" for branch in branches)


def _check_task(name: str, family: Any, task: Task) -> None:
    if task not in family.tasks:
        fitting = [other for other in FAMILY.names() if task in FAMILY.load(other).tasks]
        raise RecipeError("build", f"families for {task}", f"'{name}'", f"Choose from: {', '.join(fitting)}.")
    family.check_task(task)


def _check_scores(train: Train, target: Target) -> None:
    """What is calibrated, and what gets a threshold, are classes."""
    if train.calibrate != "none" and target.task != "classification":
        raise RecipeError("train.calibrate", "none, where values are predicted", train.calibrate, "Leave it out.")
    if train.threshold != "none":
        thresholds.check(train.threshold, target)


# ---- schema.json -------------------------------------------------------------------------------------------------


def generate_schema() -> Schema:
    """The JSON Schema of recipes, with the options of every plug-in."""
    schema = Recipe.model_json_schema()
    train = Train.model_json_schema()
    definitions: Schema = schema.setdefault("$defs", {})
    for part in (schema, train):
        definitions |= part.pop("$defs", {}) if part is train else {}
    definitions["Train"] = as_grid(train)
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
    one: list[Schema] = [{"enum": bare}, *({"$ref": f"#/$defs/{kind.name}.{name}"} for name in kind.askable())]
    branches: list[Schema] = [*one, {"type": "array", "items": {"anyOf": one}}] if node["x-form"] == "chain" else one
    if kind is FAMILY:
        branches[-1] = {**branches[-1], "minItems": 1}
    also = ["auto"] if kind is FAMILY else [None] if node.get("default", 0) is None else []
    extra = [{"enum": also}] if also else []
    return {**node, "x-key": KEYS.get(kind.name, "name"), "x-also": also, "anyOf": [*branches, *extra]}


def _needs_options(kind: Kind, name: str) -> bool:
    """Whether the bare name says too little."""
    return any(field.is_required() for field in kind.load(name).model_fields.values())


def _without_titles(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {k: _without_titles(v) for k, v in node.items() if not (k == "title" and isinstance(v, str))}


# ---- the reference -----------------------------------------------------------------------------------------------


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
