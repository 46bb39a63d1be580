"""sixfold predict: predictions for a file, streamed."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import click

from sixfold.cli import ALLOW_PLUGIN, EXISTING, JSON, show_json, standard_streams
from sixfold.core.units import counted
from sixfold.core.visible import one_line


@click.command(name="predict")
@click.argument("bundle", type=EXISTING)
@click.argument("file", type=EXISTING)
@click.option("--out", type=EXISTING, help="CSV or JSONL file to write; left out: CSV on stdout.")
@click.option(
    "--keep", metavar="NAMES", help="Columns of FILE that stand before the predictions: id,name."
)
@ALLOW_PLUGIN
@JSON
def command(
    bundle: Path,
    file: Path,
    out: Path | None,
    keep: str | None,
    allow: tuple[str, ...],
    as_json: bool,
) -> None:
    """Predict each row of FILE (csv, tsv, jsonl, also .gz and .zip; parquet with the extra `train`,
    xlsx with `excel`).

    Memory is bounded. FILE is read as the recipe says: separator, header, encoding, marks of
    numbers, sheet.
    """
    from sixfold.bundle.load import load
    from sixfold.bundle.stream import predict_file, predict_stream
    from sixfold.bundle.unfamiliar import UnfamiliarCounts

    loaded, tally = load(bundle, allow), UnfamiliarCounts()
    kept = next(csv.reader([keep]), []) if keep else []
    if out is not None:
        rows = predict_file(loaded, file, out, tally.watch, kept)
        show_json({"rows": rows, "out": str(out)}) if as_json else click.echo(
            f"{counted(rows, 'row')} → {out}", err=True
        )
    elif as_json:
        _document(loaded, file, kept, tally)
    else:
        with standard_streams.exact() as out_stream:
            predict_stream(loaded, file, out_stream, "csv", tally.watch, kept)
    for text in tally.sentences():
        click.echo(one_line(f"warning: {text}"), err=True)


def _document(bundle: Any, file: Path, keep: list[str], tally: Any) -> None:
    """All answers as one JSON document, a record a row. They wait on the disk: a mistake in the
    last row leaves no half.
    """
    from sixfold.bundle.stream import predict_stream
    from sixfold.core.paths import system_fault

    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as aside, standard_streams.exact():
            rows = predict_stream(bundle, file, aside, "jsonl", tally.watch, keep)
            aside.seek(0)
            click.echo(f'{{"rows": {rows}, "predictions": [')
            for number, line in enumerate(aside, start=1):
                click.echo(f" {line.rstrip()}{',' if number < rows else ''}")
            click.echo("]}")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise system_fault(Path(tempfile.gettempdir()), error) from error
