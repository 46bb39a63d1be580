"""sixfold keys: who may ask a service."""

from __future__ import annotations

import click

from sixfold.cli import JSON, show_json
from sixfold.core.units import seconds
from sixfold.core.visible import one_line


@click.command(name="keys")
@click.option("--create", metavar="NAME", help="Make a key; it is shown once.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="Of the new key; repeatable. read, jobs, files, models, deploy, predict, keys, admin, operate, work.",
)
@click.option("--expires", metavar="TIME", help="Of the new key, such as 30d; left out: never.")
@click.option("--revoke", metavar="ID", help="At once.")
@JSON
def command(
    create: str | None,
    scopes: tuple[str, ...],
    expires: str | None,
    revoke: str | None,
    as_json: bool,
) -> None:
    """List the keys of your tenant, make one, or revoke one."""
    from sixfold.service.client.client import Client

    client = Client()
    if create is not None:
        lasts = None if expires is None else seconds(expires)
        made = client.create_key(create, list(scopes) or ["read"], lasts)
        show_json(made) if as_json else click.echo(f"{made['id']}  shown once: {made['key']}")
        return
    if revoke is not None:
        gone = client.revoke_key(revoke)
        show_json(gone) if as_json else click.echo(f"{gone['id']}  revoked")
        return
    found = list(client.keys())
    if as_json:
        show_json(found)
        return
    for one in found:
        state = "revoked" if one["revoked_at"] else "good"
        scopes_shown = ",".join(one["scopes"])
        click.echo(
            one_line(f"{one['id']}  {one['shown']}…  {state:<8} {one['name']}  {scopes_shown}")
        )
