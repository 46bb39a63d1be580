"""sixfold keys: who may ask a service."""

from __future__ import annotations

import math
from typing import Any, Final

import click

from sixfold.cli import JSON, show_json
from sixfold.core.units import seconds, show_seconds
from sixfold.core.visible import one_line

HOUR_S: Final = 3600


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
@click.option(
    "--rotate", metavar="ID", help="Make its successor; the old key stays good for a day."
)
@click.option(
    "--usage", metavar="TIME", help="What each key used within so long, such as 30d, and its cost."
)
@JSON
def command(
    create: str | None,
    scopes: tuple[str, ...],
    expires: str | None,
    revoke: str | None,
    rotate: str | None,
    usage: str | None,
    as_json: bool,
) -> None:
    """List the keys of your tenant, make, rotate or revoke one, or show what they used."""
    from sixfold.service.client.client import Client

    client = Client()
    if usage is not None:
        used = client.usage(max(1, math.ceil(seconds(usage) / HOUR_S)))
        show_json(used) if as_json else _show_usage(used)
        return
    if create is not None:
        lasts = None if expires is None else seconds(expires)
        _show_made(client.create_key(create, list(scopes) or ["read"], lasts), as_json)
        return
    if rotate is not None:
        _show_made(client.rotate_key(rotate), as_json)
        return
    if revoke is not None:
        gone = client.revoke_key(revoke)
        show_json(gone) if as_json else click.echo(f"{gone['id']}  revoked")
        return
    found = list(client.keys())
    show_json(found) if as_json else _show(found)


def _show_made(made: dict[str, Any], as_json: bool) -> None:
    show_json(made) if as_json else click.echo(f"{made['id']}  shown once: {made['key']}")


def _show(found: list[dict[str, Any]]) -> None:
    for one in found:
        state = "revoked" if one["revoked_at"] else "good"
        scopes_shown = ",".join(one["scopes"])
        click.echo(
            one_line(f"{one['id']}  {one['shown']}…  {state:<8} {one['name']}  {scopes_shown}")
        )


def _show_usage(used: dict[str, Any]) -> None:
    for one in used["keys"]:
        cost = "" if one["cost"] is None else f"  {one['cost']:.4f} {used['currency']}".rstrip()
        tokens = f"{one['tokens_in']:,} + {one['tokens_out']:,} tokens"
        counts = f"{one['requests']:,} requests ({one['errors']:,} errors)  {tokens}"
        name = one["name"] or "(gone)"
        shown = f"{one['key_id']}  {counts}  {show_seconds(one['job_s'])} of jobs{cost}  {name}"
        click.echo(one_line(shown))
