"""sixfold verify: every byte, the signature, the stored rows."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import EXISTING, JSON, show_json


@click.command(name="verify")
@click.argument("bundle", type=EXISTING)
@JSON
def command(bundle: Path, as_json: bool) -> None:
    """Check BUNDLE: SHA-256 of each file, signature against graph, and the stored rows' answers again."""
    from sixfold.bundle.verify import verify

    checked = verify(bundle)
    if as_json:
        show_json({"bundle": str(bundle), "checked": checked})
        return
    for text in checked:
        click.echo(f"ok  {text}")
