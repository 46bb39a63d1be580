"""sixfold jobs: list them, and stop, resume or try one again."""

from __future__ import annotations

from typing import Any

import click

from sixfold.cli import JSON, show_json
from sixfold.core.units import show_bytes, show_seconds
from sixfold.core.visible import one_line

VERBS = ("show", "cancel", "pause", "resume", "retry")


@click.command(name="jobs")
@click.argument("verb", required=False, type=click.Choice(VERBS))
@click.argument("job", required=False)
@click.option(
    "--state",
    metavar="STATE",
    help="Of the list: validating, queued, running, paused, succeeded, failed, cancelled.",
)
@JSON
def command(verb: str | None, job: str | None, state: str | None, as_json: bool) -> None:
    """List your jobs; or show, cancel, pause, resume or retry one: sixfold jobs cancel JOB."""
    from sixfold.service.client.client import Client

    if (verb is None) is not (job is None):
        raise click.UsageError("Name a verb and a job: sixfold jobs cancel JOB")
    client = Client()
    if verb is None or job is None:
        found = list(client.jobs(state))
    else:
        found = [client.job(job) if verb == "show" else client.change(job, verb)]
    if as_json:
        show_json(found if verb is None else found[0])
        return
    for one in found:
        failure = one["failure"]
        why = "" if failure is None else f"  {failure['message']}"
        click.echo(one_line(f"{one['id']}  {one['state']:<10} {one['name']}{why}"))
    if verb == "show":
        for word, needs in (("expected", found[0]["needs"]), ("took", found[0]["measured"])):
            if needs is not None:
                click.echo(f"  {word:<9} {_shown(needs)}")


def _shown(needs: dict[str, Any]) -> str:
    memory, taken = show_bytes(needs["memory_bytes"]), show_seconds(needs["time_s"])
    return f"{memory} of memory, {taken} ({needs['how']})"
