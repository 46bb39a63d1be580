"""sixfold deployments: list them, and end one."""

from __future__ import annotations

from typing import Any

import click

from sixfold.cli import JSON, show_json
from sixfold.core.visible import one_line


@click.command(name="deployments")
@click.argument("name", required=False)
@click.option("--delete", is_flag=True, help="End NAME; requests in work are finished first.")
@JSON
def command(name: str | None, delete: bool, as_json: bool) -> None:
    """List the deployments of the service; or show NAME, or end it."""
    from sixfold.service.client.client import Client

    if delete and name is None:
        raise click.UsageError("Name the deployment to end: sixfold deployments NAME --delete")
    client = Client()
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
