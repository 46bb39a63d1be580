"""sixfold models: the registry of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    "--roll-back",
    metavar="ALIAS",
    help="Point this alias at the version that it pointed at before.",
)
@click.option("--retire", is_flag=True, help="The version answers nobody any more.")
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
    roll_back: str | None,
    retire: bool,
    download: Path | None,
    upload: Path | None,
    as_json: bool,
) -> None:
    """List the models of the service; or the versions of NAME, add, promote or retire one, or download its bundle."""
    from sixfold.service.client.client import Client

    client = Client()
    if name is None:
        _show_all(list(client.models()), as_json)
        return
    if upload is not None:
        added = client.upload_bundle(name, upload)
        click.echo(one_line(f"Version: {added['number']}"), err=as_json)
    if promote is not None:
        client.promote(name, promote, version)
    if roll_back is not None:
        client.roll_back(name, roll_back)
    if retire:
        client.retire(name, version)
    if download is not None:
        folder = client.download(name, download, version)
        click.echo(one_line(f"Bundle: {folder}"), err=as_json)
    model = client.model(name)
    show_json(model) if as_json else _show_versions(model)


def _show_all(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    for one in found:
        click.echo(one_line(one["name"]))


def _show_versions(model: dict[str, Any]) -> None:
    for one in model["versions"]:
        aliases = ", ".join(one["aliases"])
        facts = f"{one['number']}  {one['state']:<8} {show_bytes(one['bytes']):>10}  {aliases}"
        click.echo(one_line(f"{model['name']} {facts}"))
