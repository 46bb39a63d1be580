"""sixfold deploy: a version of a model answers."""

from __future__ import annotations

import time
from typing import Any

import click

from sixfold.cli import JSON, show_json
from sixfold.core.visible import one_line

LOOK_S = 0.3
SHARE = click.FloatRange(0, 1)


@click.command(name="deploy")
@click.argument("name")
@click.option("--model", metavar="MODEL", help="Left out: the one called NAME.")
@click.option(
    "--version", default="latest", show_default=True, help="A number, an alias, or latest."
)
@click.option("--canary", metavar="VERSION", help="Another version, for a share of the requests.")
@click.option("--share", type=SHARE, default=0.1, show_default=True, help="Of the canary.")
@click.option("--shadow", metavar="VERSION", help="Another one, asked the same, heard by nobody.")
@click.option(
    "--scale",
    metavar="LEAST:MOST",
    default="1:1",
    show_default=True,
    help="Replicas; a least of 0 sleeps after --sleep.",
)
@click.option(
    "--sleep", type=click.IntRange(1), default=300, show_default=True, help="Seconds, with 0:MOST."
)
@click.option(
    "--together",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Requests of one row that may go to a replica as one.",
)
@click.option(
    "--log-share", type=SHARE, default=0.0, show_default=True, help="Of requests to keep."
)
@click.option("--wait", is_flag=True, help="Until it answers, or cannot.")
@JSON
def command(
    name: str,
    model: str | None,
    version: str,
    wait: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Let a version answer under NAME; again with another one, and they are swapped without a failed request."""
    from sixfold.cli.deployments import show
    from sixfold.service.client.client import Client

    scaling = _scaling(asked["scale"], asked["sleep"]) | {"most_together": asked["together"]}
    options: dict[str, Any] = {"scaling": scaling}
    options["log_share"] = asked["log_share"]
    if asked["canary"] is not None:
        target = {"model": model or name, "version": asked["canary"]}
        options["canary"] = {**target, "share": asked["share"]}
    if asked["shadow"] is not None:
        options["shadow"] = {"model": model or name, "version": asked["shadow"]}
    client = Client()
    made = client.deploy(name, model, version, **options)
    while wait and made["state"] == "starting":
        time.sleep(LOOK_S)
        made = client.deployment(name)
    show_json(made) if as_json else click.echo(one_line(show(made)))
    if wait and made["state"] == "failed":
        raise SystemExit(1)


def _scaling(scale: str, sleep_s: int) -> dict[str, Any]:
    least, colon, most = scale.partition(":")
    if not (colon and least.isdecimal() and most.isdecimal()):
        raise click.BadParameter(f"LEAST:MOST, such as 1:4; found {scale!r}", param_hint="--scale")
    wakes = {"sleep_after_s": sleep_s} if int(least) == 0 else {}
    return {"least": int(least), "most": int(most), **wakes}
