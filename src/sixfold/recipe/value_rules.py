"""What a recipe says of what is predicted: whether there is a target, or several; quantiles and intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sixfold.core.errors import RecipeError
from sixfold.recipe.kinds import FAMILY, METRIC
from sixfold.recipe.schema import Recipe
from sixfold.recipe.validate import facts
from sixfold.recipe.yaml_nodes import Document, Path

Problems = Iterator[RecipeError]
QUANTILES: Final = ("task", "regression", "quantiles")
# Tasks without a target.
UNLABELLED: Final = frozenset({"reconstruction", "generation", "recommendation"})


def task_and_target(recipe: Recipe, document: Document) -> Problems:
    """A reconstruction has no target, nor has a language model or a recommender; everything else needs one."""
    target = ", ".join(recipe.data.targets) or None
    if recipe.task_name in UNLABELLED and target is not None:
        yield RecipeError(
            document.place(("data", "target")),
            f"no target for {recipe.task_name}",
            f"'{target}'",
            "Remove the key.",
        )
    if recipe.task_name not in UNLABELLED and target is None:
        yield RecipeError(
            document.place(("data",)),
            "the key 'target'",
            "none",
            "Name the column to predict, or say task: reconstruction, generation or recommendation.",
        )


def quantiles_rise(recipe: Recipe, document: Document) -> Problems:
    """Each once."""
    if list(recipe.quantiles) != sorted(set(recipe.quantiles)):
        found = ", ".join(map(str, recipe.quantiles))
        remedy = f"Write {sorted(set(recipe.quantiles))}."
        yield RecipeError(
            document.place(QUANTILES), "quantiles that rise, each once", found, remedy
        )


def quantiles_are_learned(recipe: Recipe, document: Document) -> Problems:
    """By families whose loss is that of quantiles."""
    able = [name for name in FAMILY.names() if facts(FAMILY.name, name).get("learns_quantiles")]
    for number, name in enumerate(recipe.families or () if recipe.quantiles else ()):
        if name not in able:
            yield RecipeError(
                document.place(("build", number, "family")),
                "a family that learns quantiles",
                f"'{name}'",
                f"Choose from: {', '.join(able)}.",
            )


def metrics_fit_the_quantiles(recipe: Recipe, document: Document) -> Problems:
    """Quantiles have scores of their own; a first metric is one whose best score is the best model's."""
    refused = "never" if recipe.quantiles else "only"
    metrics = recipe.evaluate.metrics
    fitting = [
        name
        for name in METRIC.names()
        if facts(METRIC.name, name)["of_quantiles"] != refused
        and (recipe.task_name or "regression") in facts(METRIC.name, name)["tasks"]
    ]
    for number, name in enumerate(metrics):
        path: Path = ("evaluate", "metrics", number)
        if (
            facts(METRIC.name, name)["of_quantiles"] == refused
            and "regression" in facts(METRIC.name, name)["tasks"]
        ):
            what = "quantiles" if recipe.quantiles else "a task without quantiles"
            remedy = f"Choose from: {', '.join(fitting)}."
            yield RecipeError(document.place(path), f"metrics for {what}", f"'{name}'", remedy)
        elif number == 0 and not facts(METRIC.name, name)["decides"]:
            yield RecipeError(
                document.place(path),
                "a first metric whose best score is that of the best model",
                f"'{name}', which an interval without end, or without width, has best",
                "Put pinball first.",
            )


def intervals_are_calibrated(recipe: Recipe, document: Document) -> Problems:
    """Of two quantiles or more, by the method for them; no other has a method for quantiles."""
    asked = recipe.evaluate.calibrate
    for method in (asked,) if isinstance(asked, str) else asked or ():
        place = document.place(("evaluate", "calibrate"))
        if method == "conformal" and len(recipe.quantiles) < 2:
            found = "one" if recipe.quantiles else "none"
            remedy = "Say task: {regression: {quantiles: [0.1, 0.5, 0.9]}}, or leave calibrate out."
            yield RecipeError(place, "two quantiles or more, with conformal", found, remedy)
        elif recipe.quantiles and method not in ("none", "conformal"):
            remedy = "Write calibrate: conformal."
            yield RecipeError(place, "conformal or none, for quantiles", f"'{method}'", remedy)


def several_targets_are_values(recipe: Recipe, document: Document) -> Problems:
    """Of a regression, and without quantiles."""
    names = recipe.data.targets
    if len(names) < 2:
        return
    if recipe.task_name not in (None, "regression"):
        yield RecipeError(
            document.place(("data", "target")),
            f"one column for task: {recipe.task_name}",
            ", ".join(names),
            "Name one; several columns of numbers are a regression.",
        )
    if recipe.quantiles:
        yield RecipeError(
            document.place(QUANTILES),
            "one target, of which quantiles are predicted",
            f"{len(names)}: {', '.join(names)}",
            "Name one column in data.target; make a run for each.",
        )
