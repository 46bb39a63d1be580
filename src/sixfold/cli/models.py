"""sixfold models: the registry of a service."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import EXISTING, JSON, show_json
from sixfold.core.units import show_bytes
from sixfold.core.visible import one_line


@click.command(name="models")
@click.argument("name", required=False)
@click.option(
    "--version", default="latest", show_default=True, help="A number, an alias, or latest."
)
@click.option("--promote", metavar="ALIAS", help="Point this alias at the version.")
@click.option(
    "--download",
    type=EXISTING,
    metavar="FOLDER",
    help="Fetch the version's bundle into a new folder.",
)
@click.option(
    "--upload",
    type=EXISTING,
    metavar="FOLDER",
    help="Add a bundle that was made elsewhere as the newest version.",
)
@JSON
def command(
    name: str | None,
    version: str,
    promote: str | None,
    download: Path | None,
    upload: Path | None,
    as_json: bool,
) -> None:
    """List the models of the service; or the versions of NAME, add or promote one, or download its bundle."""
    from sixfold.service.client.client import Client

    client = Client()
    if name is None:
        found = list(client.models())
        if as_json:
            show_json(found)
            return
        for one in found:
            click.echo(one_line(one["name"]))
        return
    if upload is not None:
        added = client.upload_bundle(name, upload)
        click.echo(one_line(f"Version: {added['number']}"), err=as_json)
    if promote is not None:
        client.promote(name, promote, version)
    if download is not None:
        folder = client.download(name, download, version)
        click.echo(one_line(f"Bundle: {folder}"), err=as_json)
    model = client.model(name)
    if as_json:
        show_json(model)
        return
    for one in model["versions"]:
        aliases = ", ".join(one["aliases"])
        size = show_bytes(one["bytes"])
        click.echo(one_line(f"{name} {one['number']}  {one['state']:<8} {size:>10}  {aliases}"))
