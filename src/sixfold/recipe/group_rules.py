"""Rules about rows that stay together."""

from __future__ import annotations

from collections.abc import Iterator

from sixfold.core.errors import RecipeError
from sixfold.recipe.kinds import SPLITTER
from sixfold.recipe.schema import Recipe
from sixfold.recipe.validate import facts
from sixfold.recipe.yaml_nodes import Document

Problems = Iterator[RecipeError]


def pattern_has_its_column(recipe: Recipe, document: Document) -> Problems:
    """data.group_pattern looks at the column data.group."""
    if recipe.data.group_pattern is not None and recipe.data.group is None:
        yield RecipeError(
            document.place(("data", "group_pattern")),
            "data.group, the column that it looks at",
            "none",
            "Name the column in data.group, or take data.group_pattern out.",
        )


def groups_stay_together(recipe: Recipe, document: Document) -> Problems:
    """With data.group, only a scheme that keeps groups."""
    scheme = recipe.evaluate.scheme
    if (
        recipe.data.group is None
        or scheme == "auto"
        or facts(SPLITTER.name, scheme).get("keeps_groups")
    ):
        return
    keeping = [name for name in SPLITTER.names() if facts(SPLITTER.name, name).get("keeps_groups")]
    yield RecipeError(
        document.place(("evaluate", "scheme")),
        "a scheme that keeps rows of a group together, as data.group is given",
        f"'{scheme}'",
        f"Use {' or '.join(['auto', *keeping])}, or take data.group out.",
    )
