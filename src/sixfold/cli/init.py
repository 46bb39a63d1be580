"""sixfold init: look at a table and write a commented recipe."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sixfold.cli import EXISTING, JSON, show_json
from sixfold.core.errors import SystemFault
from sixfold.core.visible import one_line

LONGEST_NAME = 63  # of a recipe
HOLDOUT = 0.2
FOLDS = 5


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
) -> None:
    """Write a recipe for DATA: a file (csv, tsv, parquet, jsonl, also .gz and .zip) or sklearn:NAME."""
    from sixfold.core.paths import write_atomic
    from sixfold.data.first_look import look
    from sixfold.recipe.schema import Data

    source = NamedData.of(data)
    asked = Data(source=source.text, target=target, separator=separator, header=not no_header)
    section, dataset = look(asked, Path.cwd())
    path = out or Path(f"{source.recipe_name}.yaml")
    if path.exists() and not force:
        raise SystemFault(
            str(path), "a new file", "one that is there already", "Choose another with --out, or --force."
        )
    why = _metrics(dataset)[1]
    notes = [
        *dataset.notes,
        *([f"metrics: {why}"] if why else []),
        *(f"warning: {warning}" for warning in dataset.warnings),
    ]
    write_atomic(path, recipe_text(source, path, dataset, separator, section.header))
    if as_json:
        show_json({"recipe": str(path), "task": dataset.target.task, "note": notes})
        return
    for text in notes:
        click.echo(one_line(text), err=True)
    click.echo(one_line(f"wrote {path}; next: sixfold check {path}, then sixfold run {path}"))


@dataclass(frozen=True)
class NamedData:
    """The data as it was named: a file, perhaps with the format before it (`csv:a.data`), or a table (`sklearn:iris`)."""

    prefix: str
    name: str
    is_file: bool

    @classmethod
    def of(cls, data: str) -> NamedData:
        """A file that is there may have a colon in its own name."""
        prefix, colon, name = data.partition(":")
        if Path(data).exists() or not colon:
            return cls("", data, Path(data).exists())
        return cls(f"{prefix}:", name, Path(name).exists())

    @property
    def text(self) -> str:
        """What `data.source` names it by, in this folder."""
        return self._written(self.name)

    @property
    def recipe_name(self) -> str:
        """Of the file's name what a recipe may be called."""
        plain = re.sub(r"[^a-z0-9_-]+", "_", Path(self.name).name.split(".")[0].lower()).strip("_-")
        return plain[:LONGEST_NAME].rstrip("_-") or "model"

    def beside(self, recipe: Path) -> str:
        """What the recipe names it by: the file's name beside it, its whole path elsewhere."""
        if not self.is_file:
            return self.text
        path = Path(self.name)
        is_beside = recipe.parent.resolve() == path.parent.resolve()
        return self._written(path.name if is_beside else str(path.absolute()))

    def _written(self, name: str) -> str:
        """`ab:c.csv` alone would ask for a table `c.csv` of a source `ab`."""
        dotted = self.is_file and not self.prefix and ":" in name and not Path(name).is_absolute()
        return f"{self.prefix}./{name}" if dotted and not name.startswith(".") else f"{self.prefix}{name}"


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


def recipe_text(source: NamedData, path: Path, dataset: Any, separator: str | None = None, header: bool = True) -> str:
    """The recipe, with what was seen and what could be changed as comments. Names are data: none of them can write YAML."""
    from sixfold.data.first_look import remedies
    from sixfold.recipe.yaml_text import comment, quoted, scalar

    target = dataset.target
    names, why = _metrics(dataset)
    chosen = f"# {why}\n" if why else ""  # one line: the class in it is written by repr
    other = f"\n  separator: {quoted(separator)}" if separator else ""
    other += (
        ""
        if header
        else "\n  header: false                 # columns are column_1, column_2, …, or as `names: [...]` says"
    )
    other += "".join(f"\n  # {comment(text)}   # a warning says why" for text in remedies(dataset.warnings))
    classes = f"  # {', '.join(map(comment, target.classes[:6]))}" if target.classes else ""
    return f"""# Written by `sixfold init`. Every key: docs/reference/recipe.md, or `sixfold schema` for your editor.
# Columns:
{_columns(dataset)}
version: 1
name: {scalar(source.recipe_name)}
task: {target.task}{classes}
data:
  source: {quoted(source.beside(path))}
  target: {quoted(target.names[0])}{other}
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
{chosen}evaluate: {{scheme: auto, folds: {FOLDS}, metrics: [{", ".join(names)}]}}   # 5  the first metric decides
compress:                       # 6
  {_keep(target, names[0])}        # the worst change that may be accepted
  keep_lift: 0.9                # and what stays of the lead over a model that ignores the columns
  prune: {{target: features}}
budget: {{time: 5m}}
"""


def _columns(dataset: Any) -> str:
    """Comments: a line for each type, with its columns."""
    from sixfold.recipe.yaml_text import comment

    kinds: dict[str, list[str]] = {}
    for column, values in dataset.table.columns.items():
        kinds.setdefault(values.kind, []).append(column)
    return "\n".join(
        f"#   {kind}: {', '.join(map(comment, names[:8]))}{' …' if len(names) > 8 else ''}"
        for kind, names in kinds.items()
    )


def _keep(target: Any, metric: str) -> str:
    """One point of a score; one hundredth of the target's spread; commented out where that is too large for a number."""
    import numpy as np

    if target.task == "classification":
        return f"keep: {{{metric}: -0.01}}"
    with np.errstate(over="ignore", invalid="ignore"):
        change = 0.01 * float(target.values.std())
    return f"keep: {{{metric}: {change:.3g}}}" if math.isfinite(change) else f"# keep: {{{metric}: 0.01}}"
