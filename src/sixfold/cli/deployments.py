"""sixfold deployments: list them, change or end one."""

from __future__ import annotations

from typing import Any, Final

import click

from sixfold.cli import JSON, show_json
from sixfold.core.visible import one_line

CHANGES: Final = {
    "roll-back": "roll-back",
    "promote-canary": "canary/promote",
    "end-canary": "canary/end",
}


@click.command(name="deployments")
@click.argument("name", required=False)
@click.option("--delete", is_flag=True, help="End NAME; requests in work are finished first.")
@click.option(
    "--change",
    type=click.Choice(CHANGES),
    help="Go back to the version before; or let the canary answer everything, or nothing more.",
)
@JSON
def command(name: str | None, delete: bool, change: str | None, as_json: bool) -> None:
    """List the deployments of the service; or show NAME, change it, or end it."""
    from sixfold.service.client.client import Client

    if (delete or change) and name is None:
        verb = "--delete" if delete else f"--change {change}"
        raise click.UsageError(f"Name the deployment: sixfold deployments NAME {verb}")
    client = Client()
    if change is not None and name is not None:
        client.change_deployment(name, CHANGES[change])
    found = list(client.deployments()) if name is None else [client.deployment(name)]
    if delete and name is not None:
        client.undeploy(name)
    if as_json:
        show_json(found if name is None else found[0])
        return
    for one in found:
        click.echo(one_line(show({**one, "state": "ended"} if delete else one)))


def show(one: dict[str, Any]) -> str:
    """A deployment on one line."""
    canary = "" if one["canary"] is None else f"  canary {one['canary']['share']:.0%}"
    reason = f"  {one['reason']}" if one["reason"] else ""
    return f"{one['name']}  {one['state']:<8} {one['url']}{canary}{reason}"
