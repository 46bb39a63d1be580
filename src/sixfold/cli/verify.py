"""sixfold verify: every byte, the signature, the stored rows."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import ALLOW_PLUGIN, EXISTING, JSON, show_json
from sixfold.core.visible import one_line


@click.command(name="verify")
@click.argument("bundle", type=EXISTING)
@ALLOW_PLUGIN
@JSON
def command(bundle: Path, allow: tuple[str, ...], as_json: bool) -> None:
    """Check BUNDLE: every file by its SHA-256 and by what it may hold, all files against each
    other, the stored rows' answers.
    """
    from sixfold.bundle.verify import verify

    checked = verify(bundle, allow)
    if as_json:
        show_json({"bundle": str(bundle), "checked": checked})
        return
    for text in checked:
        click.echo(one_line(f"ok  {text}"))
