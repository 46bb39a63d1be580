"""sixfold submit: a recipe and its data, to a service."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import EXISTING, JSON, show_json
from sixfold.core.visible import one_line


@click.command(name="submit")
@click.argument("recipe", type=EXISTING)
@click.option(
    "--publish",
    metavar="NAME",
    help="The model that a success adds a version to; left out: the recipe's name.",
)
@click.option("--priority", type=click.IntRange(-100, 100), default=0, show_default=True)
@click.option("--follow", is_flag=True, help="Show what happens, until it is finished.")
@JSON
def command(recipe: Path, publish: str | None, priority: int, follow: bool, as_json: bool) -> None:
    """Send RECIPE and the files beside it that it names, and queue it as a job."""
    from sixfold.cli.logs import follow_job
    from sixfold.service.client.client import Client

    client = Client()
    job = client.submit(recipe, priority=priority, publish=publish)
    if as_json:
        show_json(client.wait(job["id"]) if follow else job)
        return
    click.echo(one_line(f"{job['id']}  {job['name']}  {job['state']}"))
    if follow:
        follow_job(client, job["id"])
