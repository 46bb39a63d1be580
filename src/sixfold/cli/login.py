"""sixfold login: which service, and with which key."""

from __future__ import annotations

import click

from sixfold.core.visible import one_line


@click.command(name="login")
@click.argument("server", metavar="URL")
@click.option(
    "--key",
    envvar="SIXFOLD_API_KEY",
    prompt=True,
    hide_input=True,
    help="Left out, it is asked for.",
)
def command(server: str, key: str) -> None:
    """Remember the address and the key of a service, after trying them; readable by you alone."""
    from sixfold.service.client.client import Client
    from sixfold.service.client.settings import Login, save

    client = Client(server, key.strip())
    next(client.jobs(), None)
    path = save(Login(server.rstrip("/"), key.strip()))
    click.echo(one_line(f"Logged in to {server}; written to {path}"))
