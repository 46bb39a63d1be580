"""sixfold up: the service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sixfold.cli import ARTIFACTS, DATABASE, HOME, LOG, observed
from sixfold.cli.service_options import service_options
from sixfold.cli.sign_on_options import sign_on_options

if TYPE_CHECKING:
    from sixfold.service.use_cases.service import ServiceSettings
    from sixfold.service.use_cases.sign_on import SignOn


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
@LOG
@service_options
@sign_on_options
def command(
    home: Path,
    host: str,
    port: int,
    database: str | None,
    artifacts: str | None,
    workers: int,
    allow_hosts: tuple[str, ...],
    first_key: bool,
    log: str | None,
    settings: ServiceSettings,
    sign_on: SignOn | None,
) -> None:
    """Start the service: jobs, registry, keys and the workers of this machine. The first start prints a key, once."""
    from sixfold.service import server

    asked = server.Up(
        home, host, port, database, artifacts, workers, allow_hosts, settings, log, sign_on
    )
    if not first_key:
        with observed(log, "sixfold-server"):
            server.up(asked)
        return
    made = server.first_key(asked)
    click.echo(made or "There is a key already.", err=made is None)
