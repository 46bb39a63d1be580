"""sixfold users: people who sign on to a service."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from sixfold.cli import JSON, show_json
from sixfold.core.visible import one_line
from sixfold.service.domain.people import ROLES

if TYPE_CHECKING:
    from sixfold.service.client.client import Client

VERBS = ("add", "change", "disable", "enable", "remove")


@click.command(name="users")
@click.argument("verb", required=False, type=click.Choice(VERBS))
@click.argument("user", required=False)
@click.option("--role", type=click.Choice(list(ROLES)), help="What the person may do.")
@click.option(
    "--scope", "scopes", multiple=True, help="In the place of a role; repeatable: as of keys."
)
@click.option("--issuer", metavar="URL", help="Of a new person: the provider that vouches.")
@click.option("--subject", metavar="ID", help="Of a new person: the account's `sub` there.")
@click.option("--tenant", metavar="NAME", help="Of a new person; left out: your own.")
@JSON
def command(
    verb: str | None,
    user: str | None,
    role: str | None,
    scopes: tuple[str, ...],
    issuer: str | None,
    subject: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """List the people of your tenant; or add one by NAME, and change, disable, enable or remove one by its id: sixfold users
    disable USER.
    """
    from sixfold.service.client.client import Client

    if (verb is None) is not (user is None):
        raise click.UsageError("Name a verb and a person: sixfold users disable USER")
    granted = list(scopes) if role is None else sorted(map(str, ROLES[role]))
    if verb in ("add", "change") and bool(role) is bool(scopes):
        raise click.UsageError(f"Say what the person may do: sixfold users {verb} {user} --role")
    if verb == "add" and not (issuer and subject):
        raise click.UsageError("Name the account: --issuer URL --subject ID")
    with closing(Client()) as client:
        if verb is None or user is None:
            found = list(client.users())
        elif verb == "add":
            found = [client.add_user(user, issuer or "", subject or "", granted, tenant)]
        else:
            found = [_changed(client, verb, user, granted)]
    if as_json:
        show_json(found if verb is None else found[0])
        return
    for one in found:
        click.echo(one_line(_show({**one, "state": "removed"} if verb == "remove" else one)))


def _changed(client: Client, verb: str, user: str, scopes: list[str]) -> dict[str, Any]:
    if verb == "change":
        return client.set_user_scopes(user, scopes)
    return client.remove_user(user) if verb == "remove" else client.change_user(user, verb)


def _show(one: dict[str, Any]) -> str:
    """A person on one line."""
    state = one.get("state") or ("good" if one["disabled_at"] is None else "disabled")
    may = one["role"] or ",".join(one["scopes"])
    return f"{one['id']}  {state:<8} {may:<13} {one['name']}  {one['account'] or ''}".rstrip()
