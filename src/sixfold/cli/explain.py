"""sixfold explain: how much every column adds to an answer."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import click

from sixfold.cli import ALLOW_PLUGIN, EXISTING, JSON, show_json
from sixfold.core.visible import one_line

SHOWN = 20  # columns of the table for people
BAR = 24  # characters


@click.command(name="explain")
@click.argument("bundle", type=EXISTING)
@click.argument("row")
@click.option("--output", metavar="NAME", help="A class, or a value; left out: the predicted one.")
@click.option(
    "--method",
    type=click.Choice(["auto", "exact", "sampled"]),
    default="auto",
    show_default=True,
    help="exact: linear models, trees, boosting; sampled: every model of table columns.",
)
@click.option(
    "--rows", type=click.IntRange(1, 1000), default=1, show_default=True, help="Rows of a file."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01),
    default=60.0,
    show_default=True,
    help="At most, about.",
)
@ALLOW_PLUGIN
@JSON
def command(
    bundle: Path,
    row: str,
    output: str | None,
    method: Any,
    rows: int,
    seconds: float,
    allow: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say how much every column of ROW adds to BUNDLE's answer.

    ROW: a JSON object, a file of rows (its first ones), or - for a JSON object on stdin.
    """
    from sixfold.bundle.explain.explainer import ExplainEffort
    from sixfold.bundle.load import load

    loaded = load(bundle, allow)
    asked = _rows(loaded, row, rows)
    found = loaded.explain(asked, method, ExplainEffort(seconds))
    records = found.records(output)
    if as_json:
        answers = found.predictions.records()
        told = [
            {**record, "answer": answer} for record, answer in zip(records, answers, strict=True)
        ]
        show_json({"explanations": told, "rows_asked": found.asked})
        return
    inputs = [{name: each[name] for name in found.columns} for each in asked]
    for number, (record, values) in enumerate(zip(records, inputs, strict=True), start=1):
        for line in _table(record, values):
            click.echo(line)
        if number < len(records):
            click.echo()
    if found.asked:
        click.echo(f"Sampled: the model answered {found.asked:,} rows.", err=True)


def _rows(bundle: Any, given: str, most: int) -> list[dict[str, Any]]:
    """Raises a SixfoldError for what is no row."""
    from sixfold.bundle.frontend import shown
    from sixfold.bundle.headerless import Fields
    from sixfold.bundle.stream import Source
    from sixfold.core.errors import DataError, RowError

    text = sys.stdin.read() if given == "-" else given
    if given == "-" or given.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RowError(
                "ROW", "a JSON object", str(error)[:80], 'Write {"column": value}.'
            ) from None
        if not isinstance(found, dict):
            raise RowError("ROW", "a JSON object", shown(found), 'Write {"column": value}.')
        return [found]
    source = Source.of(Path(given), bundle.recipe.data, Fields.of(bundle.signature))
    some = list(itertools.islice(source.rows(), most))
    if not some:
        raise DataError(given, "at least one row", "none", "Check the file.")
    return some


def _table(record: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """The contributions with sign, the largest first; base, sum and method beside them."""
    given, error = record["contributions"], record.get("standard_error")
    shown = dict(itertools.islice(given.items(), SHOWN))
    widest = max([abs(value) for value in shown.values()], default=0.0) or 1.0
    width = min(32, max(map(len, [*shown, "all other columns"])))
    lines = [f"{record['output']}: {record['scale']} {record['prediction']:.5g}"]
    lines.append(f"  {'base value':{width}} {record['base']:>+11.4g}")
    for name, value in shown.items():
        bar = ("+" if value > 0 else "-") * round(BAR * abs(value) / widest)
        beside = f" ± {error[name]:.2g}" if error else ""
        lines.append(f"  {name:{width}} {value:>+11.4g}{beside}  {bar}  = {values[name]!s:.40}")
    rest = [value for name, value in given.items() if name not in shown]
    if rest:
        lines.append(f"  {'all other columns':{width}} {sum(rest):>+11.4g}  ({len(rest):,})")
    lines.append(f"  {'sum':{width}} {record['prediction']:>+11.4g}")
    lines.append(f"  {record['method']}" + ("; ± standard error" if error else ""))
    return [one_line(line) for line in lines]
