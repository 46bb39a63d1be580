"""sixfold init: look at a table and write a commented recipe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from sixfold.cli import EXISTING, JSON, show_json
from sixfold.core.errors import SystemFault

HOLDOUT = 0.2
FOLDS = 5


@click.command(name="init")
@click.argument("data")
@click.option("--target", required=True, help="The column to predict.")
@click.option("--separator", help="Field separator of a text file, such as ';'.")
@click.option("--out", type=EXISTING, help="Recipe to write; left out: NAME.yaml.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@JSON
def command(data: str, target: str, separator: str | None, out: Path | None, force: bool, as_json: bool) -> None:
    """Write a recipe for DATA: a file (csv, tsv, parquet, jsonl, also .gz and .zip) or sklearn:NAME."""
    from sixfold.data import load
    from sixfold.recipe.schema import Data

    dataset = load.load(Data(source=data, target=target, separator=separator), None, Path.cwd())
    name = re.sub(r"[^a-z0-9_-]+", "_", Path(data.split(":")[-1]).name.split(".")[0].lower()).strip("_-") or "model"
    path = out or Path(f"{name}.yaml")
    if path.exists() and not force:
        raise SystemFault(
            str(path), "a new file", "one that is there already", "Choose another with --out, or --force."
        )
    from sixfold.core.paths import write_atomic

    why = _metrics(dataset)[1]
    said = [
        *dataset.said,
        *([f"metrics: {why}"] if why else []),
        *(f"warning: {warning}" for warning in dataset.warnings),
    ]
    write_atomic(path, recipe_text(name, data, path, dataset, separator))
    if as_json:
        show_json({"recipe": str(path), "task": dataset.target.task, "said": said})
        return
    for text in said:
        click.echo(text, err=True)
    click.echo(f"wrote {path}; next: sixfold check {path}, then sixfold run {path}")


def _metrics(dataset: Any) -> tuple[tuple[str, ...], str]:
    """The metrics that a run of the recipe would choose by itself, the deciding one first, and why where it is unusual."""
    from sixfold.core.errors import SixfoldError
    from sixfold.data import holdout
    from sixfold.evaluate.deciding import defaults
    from sixfold.evaluate.folds import make
    from sixfold.recipe.schema import Data, Evaluate

    try:
        training = dataset.take(holdout.split(dataset, Data(source="", holdout=HOLDOUT))[0])
        parts = [training.target.take(fold.validation) for fold in make(Evaluate(folds=FOLDS), training)]
    except SixfoldError:  # such folds cannot be made of these rows: `check` says so
        training, parts = dataset, [dataset.target.take(dataset.target.values[:0].astype(int))]
    return defaults(training.target, parts)


def recipe_text(name: str, data: str, path: Path, dataset: Any, separator: str | None = None) -> str:
    """The recipe, with what was seen and what could be changed as comments."""
    import json

    is_file = Path(data).exists()
    other = f"\n  separator: {json.dumps(separator)}" if separator else ""
    source = json.dumps(str(Path(data).resolve()) if is_file and path.parent.resolve() != Path(data).parent.resolve() else
                        Path(data).name if is_file else data)  # fmt: skip
    target = dataset.target
    names, why = _metrics(dataset)
    metrics, first = ", ".join(names), names[0]
    chosen = f"# {why}\n" if why else ""
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
  holdout: {HOLDOUT}                  # touched once, at the very end
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
{chosen}evaluate: {{scheme: auto, folds: {FOLDS}, metrics: [{metrics}]}}   # 5  the first metric decides
compress:                       # 6
  keep: {{{keep}}}        # the worst change that may be accepted
  keep_lift: 0.9                # and what stays of the lead over a model that ignores the columns
  prune: {{target: features}}
budget: {{time: 5m}}
"""
