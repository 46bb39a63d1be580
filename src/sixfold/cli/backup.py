"""sixfold backup: the state of a service."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import ARTIFACTS, DATABASE, EXISTING, HOME, JSON, show_json


@click.command(name="backup")
@click.argument("folder", type=EXISTING)
@HOME
@DATABASE
@ARTIFACTS
@JSON
def command(
    folder: Path, home: Path, database: str | None, artifacts: str | None, as_json: bool
) -> None:
    """Copy all rows and the files that they name into FOLDER, which is new or empty. With PostgreSQL while the service runs; a
    SQLite file has one process, so stop `sixfold up` first.
    """
    from sixfold.service.stores import backup
    from sixfold.service.stores.opening import opened

    with opened(home, database, artifacts) as (rows, files):
        found = backup.back_up(rows, files, folder)
    if as_json:
        show_json(backup.facts_of(found))
        return
    click.echo(f"{sum(found.rows.values())} rows and {found.artifacts} files are in {folder}.")
    for digest in found.missing:
        click.echo(f"Missing or damaged in the store: {digest}", err=True)
