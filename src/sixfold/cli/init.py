"""sixfold init: look at a table, or a folder, and write a commented recipe."""

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
LABEL = "label"  # of a folder: the name of each file's subfolder


COLUMNS = """  # types: {COLUMN: category}   # where a type was not seen as you mean it
  # drop: [COLUMN]
"""
TABLE = """# prepare:                      # 1  left out: what each family likes
#   denoise: {duplicates: drop}
#   impute: {number: median, category: most_frequent}
#   features: {number: standard, category: one_hotTEXTS}
build: auto                     # 2  or a list: [{family: linear}, {family: mlp, hidden: [64, 32]}]
initialize: {scheme: he_normal, seed: 7}                # 3  for networks
train:                          # 4  for networks
  optimizer: {name: adam, learning_rate: 0.002}
  batch_size: 64                # `full` is gradient descent, 1 is stochastic gradient descent
  epochs: 40
  stop: {patience: 5}
"""
TEXTS = """prepare:                        # 1  n-grams of words, and of characters within words
  features:
    text: {name: ngrams, words: [1, 2], characters: [2, 4]}
    # of Chinese, Japanese or Thai: {name: ngrams, words: null, characters: [1, 3], across_words: true}
build:                          # 2  both are quick, and hard to beat, on n-grams
  - {family: svm, kernel: linear}
  - {family: linear}
"""
IMAGES = """# prepare:                      # 1  left out: as large as the images mostly are, gray where all are
#   features: {image: {name: pixels, side: 96, color: true}}
build:                          # 2
  - family: cnn                 # a small residual network, trained from scratch
    size: auto                  # or nano, small, medium, large
    # flip: true                # mirrored images mean the same: not for digits or text
  - {family: linear}            # on the pixels: what the network has to beat
initialize: {seed: 7}           # 3
"""
RECORDINGS = """# prepare:                      # 1  left out: the commonest rate, as long as 95% of the recordings
#   features: {audio: {name: samples, rate: 16000, seconds: 1.0, trim: 40}}
build:                          # 2
  - family: audio_cnn           # a small residual network over log-mel spectrograms, trained from scratch
    size: auto                  # or nano, small, medium, large
    # noise: 0.3                # shift, speed, time_mask and band_mask change training recordings, too
  - {family: linear}            # on statistics of the spectrograms: what the network has to beat
initialize: {seed: 7}           # 3
"""

RECOMMENDERS = """build:                          # 2  the popular items, and three ways to learn what users have in common
  - {family: popularity}
  - {family: item_knn}
  - {family: als, factors: [16, 64]}
  - {family: bpr, factors: 64}
"""
SPEECH = """# prepare:                      # 1  left out: the commonest rate, as long as the longest recording
#   features: {audio: {name: whole_samples, rate: 16000, seconds: 12}}
build:                          # 2
  - family: ctc                 # a network over log-mel spectrograms, trained from scratch
    size: auto                  # or nano, small, medium, large
    decode: greedy              # or beam, which looks at how probable characters are after others
    # noise: 0.1                # shift, speed, time_mask and band_mask change training recordings, too
initialize: {seed: 7}           # 3
# train: {epochs: 40}           # 4  left out: AdamW, a rate that rises and falls
"""
LANGUAGE = """build:                          # 2  a language model from scratch; or {family: language, checkpoint: FOLDER}
  family: language
  size: auto                    # by the texts; or nano (1M), micro (6M), small (28M), medium (90M), base (310M), large (1.1B)
  # context: 256                # tokens that it sees at once
  # vocabulary: 2048            # tokens that are learned; `bytes`: none but single bytes
initialize: {seed: 7}           # 3
# train:                        # 4  left out: AdamW, a rate that rises and falls
#   epochs: 3
#   batch_size: 16              # windows of `context` tokens
"""
OF_TASKS = {
    "generation": LANGUAGE,
    "recommendation": RECOMMENDERS,
    "transcription": SPEECH,
}  # whose rows are no columns to predict from, or recordings alone


@click.command(name="init")
@click.argument("data")
@click.option(
    "--target", help="The column to predict; of a folder left out: its subfolders are the classes."
)
@click.option(
    "--task",
    type=click.Choice(["generation", "recommendation", "transcription"]),
    help="generation: a language model that goes on with texts, of a file or folder of text, or a column `text`; "
    "recommendation: who is likely to want what, of a table of users, items and times; "
    "transcription: what is said, of a table of recordings and their texts (--target).",
)
@click.option("--separator", help="Field separator of a text file, such as ';'.")
@click.option(
    "--no-header", is_flag=True, help="The first line is a row: columns are column_1, column_2, …"
)
@click.option("--out", type=EXISTING, help="Recipe to write; left out: NAME.yaml.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@JSON
def command(
    data: str,
    target: str | None,
    task: str | None,
    separator: str | None,
    no_header: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a recipe for DATA: a file (csv, tsv, parquet, jsonl, also .gz and .zip), a folder of
    images, recordings or .txt files with a subfolder a class, or sklearn:NAME. With --task generation, for a
    file or folder of plain text, too; with --task recommendation, for a table of what users did; with --task
    transcription, for a table of recordings and of what is said in them.
    """
    from sixfold.core.paths import write_atomic
    from sixfold.data.first_look import LOOKS, look
    from sixfold.data.source import why_folder
    from sixfold.recipe.schema import Data

    source = NamedData.of(data)
    if target is None and not source.is_folder and task is None:
        raise click.UsageError("Missing option '--target': the column to predict.")
    own = {"source": source.text, "separator": separator, "header": not no_header}
    if task is not None:
        section, dataset = LOOKS[task](Data.model_validate({**own, "target": target}), Path.cwd())
    else:
        asked = Data.model_validate({**own, "target": target or LABEL})
        section, dataset = look(asked, Path.cwd())
    path = out or Path(f"{source.recipe_name}.yaml")
    if path.exists() and not force:
        raise SystemFault(
            str(path),
            "a new file",
            "one that is there already",
            "Choose another with --out, or --force.",
        )
    why = _metrics(dataset)[1]
    notes = [
        *([why_folder(Path(source.name))] if source.is_folder and task is None else []),
        *dataset.notes,
        *([f"metrics: {why}"] if why else []),
        *(f"warning: {warning}" for warning in dataset.warnings),
    ]
    write_atomic(path, recipe_text(source, path, dataset, separator, section))
    if as_json:
        show_json({"recipe": str(path), "task": dataset.target.task, "note": notes})
        return
    for text in notes:
        click.echo(one_line(text), err=True)
    click.echo(one_line(f"wrote {path}; next: sixfold check {path}, then sixfold run {path}"))


@dataclass(frozen=True)
class NamedData:
    """The data as it was named: a file, perhaps with the format before it (`csv:a.data`), or a
    table (`sklearn:iris`).
    """

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
    def is_folder(self) -> bool:
        """Whether its files are the rows."""
        return self.is_file and Path(self.name).is_dir()

    @property
    def text(self) -> str:
        """What `data.source` names it by, in this folder."""
        return self._written(self.name)

    @property
    def recipe_name(self) -> str:
        """Of the file's name what a recipe may be called."""
        own = (
            Path(self.name).name or Path(self.name).resolve().name
        )  # of `.` and `..` that of the folder
        plain = re.sub(r"[^a-z0-9_-]+", "_", own.split(".")[0].lower()).strip("_-")
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
        return (
            f"{self.prefix}./{name}"
            if dotted and not name.startswith(".")
            else f"{self.prefix}{name}"
        )


def _metrics(dataset: Any) -> tuple[tuple[str, ...], str]:
    """The metrics that a run of the recipe would choose by itself, the deciding one first, and why
    where it is unusual.
    """
    from sixfold.core.errors import SixfoldError
    from sixfold.data import holdout
    from sixfold.evaluate.deciding import defaults
    from sixfold.evaluate.folds import make
    from sixfold.recipe.schema import Data, Evaluate

    try:
        training = dataset.take(holdout.split(dataset, Data(source="", holdout=HOLDOUT))[0])
        parts = [
            training.target.take(fold.validation) for fold in make(Evaluate(folds=FOLDS), training)
        ]
    except SixfoldError:  # such folds cannot be made of these rows: `check` says so
        training, parts = dataset, [dataset.target.take(dataset.target.values[:0].astype(int))]
    return defaults(training.target, parts)


def recipe_text(
    source: NamedData, path: Path, dataset: Any, separator: str | None = None, section: Any = None
) -> str:
    """The recipe, with what was seen and what could be changed as comments. Names are data: none of
    them can write YAML.
    """
    from sixfold.data.first_look import remedies
    from sixfold.recipe.yaml_text import comment, quoted, scalar

    target = dataset.target
    names, why = _metrics(dataset)
    chosen = f"# {why}\n" if why else ""  # one line: the class in it is written by repr
    other = f"\n  separator: {quoted(separator)}" if separator else ""
    other += (
        ""
        if section is None or section.header
        else "\n  header: false                 # columns are column_1, column_2, …, or as `names: [...]` says"
    )
    other += "".join(
        f"\n  # {comment(text)}   # a warning says why" for text in remedies(dataset.warnings)
    )
    classes = f"  # {', '.join(map(comment, target.classes[:6]))}" if target.classes else ""
    how = _step_0(dataset) + _how(dataset)
    return f"""# Written by `sixfold init`. Every key: docs/reference/recipe.md, or `sixfold schema` for your editor.
# Columns:
{_columns(dataset)}
version: 1
name: {scalar(source.recipe_name)}
task: {target.task}{classes}
data:
  source: {quoted(source.beside(path))}
{_target(target, section)}{other}
  holdout: {HOLDOUT}                  # touched once, at the very end
{how}{chosen}evaluate: {{scheme: auto, folds: {FOLDS}, metrics: [{", ".join(names)}]}}   # 5  the first metric decides
{_compression(dataset, names[0])}# report: {{examples: 0}}         # where nobody who reads the report may see rows as they are
{_budget(how)}"""


def _budget(how: str) -> str:
    """A time that a run keeps to; for `build: auto` a proposal, as it would use it."""
    if "build: auto" not in how:
        return "budget: {time: 5m}\n"
    return "# budget: {time: 5m}            # auto then works through a portfolio, and searches around the best\n"


def _target(target: Any, section: Any) -> str:
    """The line that names it; of texts to learn from there is none, of interactions those of their columns."""
    from sixfold.recipe.yaml_text import quoted

    if target.task == "recommendation":
        named = section.interactions.model_dump(
            include={"user", "item", "rating"}, exclude_none=True
        )
        own = ", ".join(f"{part}: {quoted(name)}" for part, name in named.items())
        lines = f"  interactions: {{{own}}}   # least_rating: 4 leaves lower ones out"
        return lines if section.time is None else f"{lines}\n  time: {quoted(section.time)}"

    if target.task == "generation":
        return "  # target is left out: the texts themselves are learned"
    return f"  target: {quoted(target.names[0])}"


def _step_0(dataset: Any) -> str:
    """What else may be said of columns."""
    return "" if dataset.target.task == "recommendation" else COLUMNS


def _how(dataset: Any) -> str:
    """Steps 1 to 4, by what the columns are: texts alone, images or recordings alone, or a table; or texts
    to learn from.
    """
    if dataset.target.task in OF_TASKS:
        return OF_TASKS[dataset.target.task]
    kinds = {values.kind for values in dataset.table.columns.values()}
    if kinds == {"text"}:
        return TEXTS
    of_files = {"image": IMAGES, "audio": RECORDINGS}
    if len(dataset.table.columns) == 1 and dataset.target.task == "classification":
        (kind,) = kinds
        if kind in of_files:
            return of_files[kind]
    of_texts = (
        ", text: {name: ngrams, words: [1, 2], characters: [2, 4]}" if "text" in kinds else ""
    )
    return TABLE.replace("TEXTS", of_texts + (", image: pixels" if "image" in kinds else ""))


def _compression(dataset: Any, metric: str) -> str:
    """Step 6: of a table's columns those that are not needed go."""
    if dataset.target.task in OF_TASKS:
        return ""
    keep = _keep(dataset.target, metric)
    if {values.kind for values in dataset.table.columns.values()} & {"text", "image", "audio"}:
        keep = keep.removeprefix("# ")
        return f"# compress: {{{keep}}}   # 6  the worst change that may be accepted; left out: nothing is compressed\n"
    return f"""compress:                       # 6
  {keep}        # the worst change that may be accepted
  keep_lift: 0.9                # and what stays of the lead over a model that ignores the columns
  prune: {{target: features}}
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
    """One point of a score; one hundredth of the target's spread; commented out where that is too
    large for a number.
    """
    import numpy as np

    if target.task == "classification":
        return f"keep: {{{metric}: -0.01}}"
    with np.errstate(over="ignore", invalid="ignore"):
        change = 0.01 * float(target.values.std())
    return (
        f"keep: {{{metric}: {change:.3g}}}"
        if math.isfinite(change)
        else f"# keep: {{{metric}: 0.01}}"
    )
