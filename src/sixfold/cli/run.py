"""sixfold run: the six steps."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from sixfold.cli import EXISTING, JSON, show_json
from sixfold.cli.progress import Lines, Live
from sixfold.core.visible import one_line


@click.command(name="run")
@click.argument("recipe", type=EXISTING)
@click.option("--out", type=EXISTING, help="Run folder; left out: runs/NAME.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Overrule a key, such as data.source=my.csv.",
)
@click.option(
    "--save-every",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How often the state of a training is saved: at most so much is done again after a kill.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
@JSON
def command(
    recipe: Path,
    out: Path | None,
    changes: tuple[str, ...],
    save_every: float,
    quiet: bool,
    as_json: bool,
) -> None:
    """Execute RECIPE; the same command continues a run that was killed, and repeats nothing that is
    finished.
    """
    started = time.monotonic()  # before the imports: what they take counts, too
    from sixfold.recipe.load import load

    loaded = load(recipe, changes)
    from sixfold import pipeline
    from sixfold.cli.inspect import print_layers, report_of
    from sixfold.cli.receipt_table import text

    folder = out or Path("runs") / loaded.recipe.name
    listener = None if quiet else _listener()
    try:
        done = pipeline.run(
            loaded, folder, [listener] if listener else [], started=started, save_every_s=save_every
        )
    finally:
        if isinstance(listener, Live):
            listener.stop()
    if as_json:
        show_json(
            {
                "bundle": str(done.bundle),
                "receipt": done.receipt.model_dump(mode="json"),
                "verdict": done.verdict,
            }
        )
        return
    click.echo(f"\n{done.leaderboard}\n\n{text(done.receipt, done.verdict)}")
    print_layers(report_of(done.bundle, [loaded.recipe.runtime]).layers)
    click.echo()
    bundle = one_line(str(done.bundle))
    click.echo(f"Bundle: {bundle}\nReport: {bundle}/report.html\nServe:  sixfold serve {bundle}")


def _listener() -> Live | Lines:
    return Live() if sys.stderr.isatty() else Lines()
