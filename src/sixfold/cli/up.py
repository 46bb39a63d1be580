"""sixfold up: the service."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import ARTIFACTS, DATABASE, HOME


@click.command(name="up")
@HOME
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8900, show_default=True, help="0: any."
)
@DATABASE
@ARTIFACTS
@click.option(
    "--workers", type=click.IntRange(0), default=1, show_default=True, help="On this machine."
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which clients may ask; repeatable.",
)
@click.option(
    "--first-key",
    is_flag=True,
    help="Make the home and the first key, print it alone, and end: before a first start on another address than loopback.",
)
@click.option("--access-log", is_flag=True, help="A line of JSON on stdout for each prediction.")
def command(
    home: Path,
    host: str,
    port: int,
    database: str | None,
    artifacts: str | None,
    workers: int,
    allow_hosts: tuple[str, ...],
    first_key: bool,
    access_log: bool,
) -> None:
    """Start the service: jobs, registry, keys and the workers of this machine. The first start prints a key, once."""
    from sixfold.service import server

    asked = server.Up(
        home, host, port, database, artifacts, workers, allow_hosts, access_log=access_log
    )
    if not first_key:
        server.up(asked)
        return
    made = server.first_key(asked)
    click.echo(made or "There is a key already.", err=made is None)
