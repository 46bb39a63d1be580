"""sixfold serve: answer over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import EXISTING


@click.command(name="serve")
@click.argument("bundle", type=EXISTING)
@click.option("--host", help="Address to listen on; left out: the recipe's, which is loopback.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes any that is free.")
@click.option(
    "--allow-host", "allow_hosts", metavar="NAME", multiple=True,
    help="A name by which clients may ask, besides localhost and the address; repeatable; * allows any.",
)  # fmt: skip
def command(bundle: Path, host: str | None, port: int | None, allow_hosts: tuple[str, ...]) -> None:
    """Serve BUNDLE until SIGTERM: /predict, /signature, /metrics, /v2, and a page to try it at /."""
    from sixfold.serve.run import serve

    serve(bundle, host, port, allow_hosts=allow_hosts)
