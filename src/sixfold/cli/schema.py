"""sixfold schema: the JSON Schema of recipes, for editors."""

from __future__ import annotations

import click

from sixfold.cli import standard_streams


@click.command(name="schema")
def command() -> None:
    """Print the JSON Schema of recipes."""
    from sixfold.recipe.published import SCHEMA_FILE

    with standard_streams.exact():
        click.echo(SCHEMA_FILE.read_text(encoding="utf-8"), nl=False)
