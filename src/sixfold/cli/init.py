"""sixfold init: look at a table and write a commented recipe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from sixfold.cli import EXISTING, JSON, show_json
from sixfold.core.errors import SystemFault


@click.command(name="init")
@click.argument("data")
@click.option("--target", required=True, help="The column to predict.")
@click.option("--separator", help="Field separator of a text file, such as ';'.")
@click.option("--no-header", is_flag=True, help="The first line is a row: columns are column_1, column_2, …")
@click.option("--out", type=EXISTING, help="Recipe to write; left out: NAME.yaml.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@JSON
def command(
    data: str, target: str, separator: str | None, no_header: bool, out: Path | None, force: bool, as_json: bool
) -> None:  # fmt: skip
    """Write a recipe for DATA: a file (csv, tsv, parquet, jsonl, also .gz and .zip) or sklearn:NAME."""
    section, dataset = seen(data, target, separator, no_header)
    name = re.sub(r"[^a-z0-9_-]+", "_", Path(data.split(":")[-1]).name.split(".")[0].lower()).strip("_-") or "model"
    path = out or Path(f"{name}.yaml")
    if path.exists() and not force:
        raise SystemFault(
            str(path), "a new file", "one that is there already", "Choose another with --out, or --force."
        )
    from sixfold.core.paths import write_atomic

    said = [*dataset.said, *(f"warning: {warning}" for warning in dataset.warnings)]
    write_atomic(path, recipe_text(name, data, path, dataset, separator, section.header))
    if as_json:
        show_json({"recipe": str(path), "task": dataset.target.task, "said": said})
        return
    for text in said:
        click.echo(text, err=True)
    click.echo(f"wrote {path}; next: sixfold check {path}, then sixfold run {path}")


def seen(data: str, target: str, separator: str | None, no_header: bool = False) -> tuple[Any, Any]:
    """The recipe's data section and the dataset; without a header where the file looks so, and the target is not in it."""
    from sixfold.core.errors import DataError
    from sixfold.data import load
    from sixfold.data.source import find
    from sixfold.recipe.schema import Data

    section = Data(source=data, target=target, separator=separator, header=not no_header)
    bare = section.model_copy(update={"header": False})
    try:
        dataset = load.load(section, None, Path.cwd())
    except DataError:
        if no_header or not re.fullmatch(r"column_[1-9]\d*", target):
            raise
        return bare, load.load(bare, None, Path.cwd())
    if not any("data.header: false" in text for text in dataset.warnings):
        return section, dataset
    place = list(find(section, Path.cwd()).read().columns).index(target) + 1  # the target was named by its first value
    bare = bare.model_copy(update={"target": f"column_{place}"})
    return bare, load.load(bare, None, Path.cwd())


def remedies(warnings: tuple[str, ...]) -> list[str]:
    """What warnings say to write under data (`read`, `missing`), all of it in one line a key."""
    import json

    import yaml

    columns: dict[str, Any] = {}
    missing: list[str] = []
    for text in warnings:
        for key, found in re.findall(r"data\.(read|missing): (\{columns: \{.*?\}\}\}|\[.*?\])(?=[ ,;.])", text):
            value = yaml.safe_load(found)
            columns |= value["columns"] if key == "read" else {}
            missing += [token for token in value if token not in missing] if key == "missing" else []
    read = [f"read: {json.dumps({'columns': columns}, ensure_ascii=False)}"] if columns else []
    return [*read, *([f"missing: {json.dumps(missing, ensure_ascii=False)}"] if missing else [])]


def recipe_text(
    name: str, data: str, path: Path, dataset: Any, separator: str | None = None, header: bool = True
) -> str:
    """The recipe, with what was seen and what could be changed as comments."""
    import json

    from sixfold.evaluate.scoring import DEFAULTS

    is_file = Path(data).exists()
    other = f"\n  separator: {json.dumps(separator)}" if separator else ""
    other += (
        ""
        if header
        else "\n  header: false                 # columns are column_1, column_2, …, or as `names: [...]` says"
    )
    other += "".join(f"\n  # {text}   # a warning says why" for text in remedies(dataset.warnings))
    source = json.dumps(str(Path(data).resolve()) if is_file and path.parent.resolve() != Path(data).parent.resolve() else
                        Path(data).name if is_file else data)  # fmt: skip
    target = dataset.target
    metrics = ", ".join(DEFAULTS[target.task])
    first = DEFAULTS[target.task][0]
    keep = f"{first}: -0.01" if target.task == "classification" else f"{first}: {0.01 * float(target.values.std()):.3g}"
    kinds: dict[str, list[str]] = {}
    for column, values in dataset.table.columns.items():
        kinds.setdefault(values.kind, []).append(column)
    seen = "\n".join(
        f"#   {kind}: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}" for kind, names in kinds.items()
    )
    classes = f"  # {', '.join(target.classes[:6])}" if target.classes else ""
    return f"""# Written by `sixfold init`. Every key: docs/reference/recipe.md, or `sixfold schema` for your editor.
# Columns:
{seen}
version: 1
name: {name}
task: {target.task}{classes}
data:
  source: {source}
  target: {json.dumps(target.names[0])}{other}
  holdout: 0.2                  # touched once, at the very end
  # types: {{COLUMN: category}}   # where a type was not seen as you mean it
  # drop: [COLUMN]
# prepare:                      # 1  left out: what each family likes
#   denoise: {{duplicates: drop}}
#   impute: {{number: median, category: most_frequent}}
#   features: {{number: standard, category: one_hot}}
build: auto                     # 2  or a list: [{{family: linear}}, {{family: mlp, hidden: [64, 32]}}]
initialize: {{scheme: he_normal, seed: 7}}                # 3  for networks
train:                          # 4  for networks
  optimizer: {{name: adam, learning_rate: 0.002}}
  batch_size: 64                # `full` is gradient descent, 1 is stochastic gradient descent
  epochs: 40
  stop: {{patience: 5}}
evaluate: {{scheme: auto, folds: 5, metrics: [{metrics}]}}   # 5  the first metric decides
compress:                       # 6
  keep: {{{keep}}}        # the worst change that may be accepted
  prune: {{target: features}}
budget: {{time: 5m}}
"""
