"""sixfold restore: a service from its backup."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import ARTIFACTS, DATABASE, EXISTING, HOME, JSON, show_json


@click.command(name="restore")
@click.argument("folder", type=EXISTING)
@HOME
@DATABASE
@ARTIFACTS
@JSON
def command(
    folder: Path, home: Path, database: str | None, artifacts: str | None, as_json: bool
) -> None:
    """Bring the backup in FOLDER into a new home or an empty database; it is verified first. SQLite's backup may go into
    PostgreSQL, and the reverse.
    """
    from sixfold.service.stores import backup
    from sixfold.service.stores.opening import opened

    with opened(home, database, artifacts) as (rows, files):
        found = backup.restore(folder, rows, files)
    if as_json:
        show_json(backup.facts_of(found))
        return
    click.echo(f"{sum(found.rows.values())} rows and {found.artifacts} files are restored.")
