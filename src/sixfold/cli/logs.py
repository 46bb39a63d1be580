"""sixfold logs: what happened in a job."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from sixfold.cli import JSON, show_json
from sixfold.core.visible import one_line


@click.command(name="logs")
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is finished.")
@JSON
def command(job: str, follow: bool, as_json: bool) -> None:
    """Show the events of JOB, oldest first."""
    from sixfold.service.client.client import Client

    client = Client()
    if as_json:
        show_json(list(client.events(job, follow)))
    elif follow:
        follow_job(client, job)
    else:
        for event in client.events(job):
            _show(event)


def follow_job(client: Any, job_id: str) -> None:
    """Its events as they come; the exit code is 1 unless it succeeded."""
    for event in client.events(job_id, follow=True):
        _show(event)
    job = client.job(job_id)
    click.echo(one_line(f"{job_id}  {job['name']}  {job['state']}"))
    if job["state"] != "succeeded":
        sys.exit(1)


def _show(event: dict[str, Any]) -> None:
    at = datetime.fromtimestamp(event["at"]).strftime("%H:%M:%S")
    click.echo(one_line(f"{at}  {event['level']:<5} {event['message']}"))
