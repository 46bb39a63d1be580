"""What a recipe of a transcription cannot say."""

from __future__ import annotations

from collections.abc import Iterator

from sixfold.core.errors import RecipeError
from sixfold.recipe.schema import Recipe
from sixfold.recipe.yaml_nodes import Document, Path

Problems = Iterator[RecipeError]
TASK = "transcription"


def transcripts_are_whole(recipe: Recipe, document: Document) -> Problems:
    """Texts have no mean; a network of characters in time is made smaller by int8 alone."""
    if recipe.task_name != TASK:
        return
    refused: tuple[tuple[Path, object, str], ...] = (
        (("evaluate", "ensemble"), recipe.evaluate.ensemble or None, "Leave it out."),
        (("evaluate", "bag"), recipe.evaluate.bag or None, "Leave it out."),
    )
    if recipe.compress is not None:
        for key in ("prune", "fixed_point"):
            value = getattr(recipe.compress, key)
            remedy = "Write compress: {quantize: {activations: static}}."
            refused += ((("compress", key), value or None, remedy),)
    for path, value, remedy in refused:
        if value is not None:
            yield RecipeError(
                document.place(path), f"no {path[-1]} for task: {TASK}", "one", remedy
            )
