"""sixfold predict: predictions for a file, streamed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sixfold.cli import EXISTING


@click.command(name="predict")
@click.argument("bundle", type=EXISTING)
@click.argument("file", type=EXISTING)
@click.option("--out", type=EXISTING, help="CSV or JSONL file to write; left out: CSV on stdout.")
def command(bundle: Path, file: Path, out: Path | None) -> None:
    """Predict each row of FILE (csv, tsv, jsonl, also .gz and .zip; parquet with the extra `train`) in bounded memory."""
    from sixfold.bundle.load import load
    from sixfold.bundle.stream import predict_file, predict_stream

    loaded = load(bundle)
    if out is None:
        predict_stream(loaded, file, sys.stdout, "csv")
        return
    rows = predict_file(loaded, file, out)
    click.echo(f"{rows:,} rows → {out}", err=True)
