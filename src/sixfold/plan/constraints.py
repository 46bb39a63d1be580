"""Whether what is predicted can be held to rise or to fall with a column."""

from __future__ import annotations

from typing import Final

from sixfold.build.candidate import Candidate
from sixfold.core.errors import RecipeError, did_you_mean
from sixfold.parts.table import Dataset
from sixfold.prepare.plan import treatments
from sixfold.prepare.step import KeepsOrder
from sixfold.recipe.schema import Prepare

ORDERED: Final = (
    "number",
    "boolean",
)  # kinds of columns whose values have an order that features keep


def check_constraints(candidate: Candidate, prepare: Prepare, training: Dataset) -> None:
    """Raises RecipeError for a constraint that cannot be held."""
    named = candidate.family.constraints
    where, table = f"build, {candidate.family_name}, monotone", training.table
    if named and len(training.target.classes) > 2:
        raise RecipeError(
            where,
            "values, or two classes: of more, no probability rises without another that falls",
            f"{len(training.target.classes)} classes",
            "Leave it out.",
        )
    for name in named:
        if name not in table.columns:
            raise RecipeError(
                where, "names of columns", f"'{name}'", did_you_mean(name, table.columns)
            )
        kind = table.columns[name].kind
        if kind not in ORDERED:
            raise RecipeError(
                where,
                "columns of numbers, whose values have an order",
                f"'{name}', a {kind}",
                f"Leave it out, or say data.types: {{{name}: number}} if its values are numbers.",
            )
    if named:
        _check_order(candidate, prepare, training, where)


def _check_order(candidate: Candidate, prepare: Prepare, training: Dataset, where: str) -> None:
    """Preparation has to leave one feature a column, which rises with it."""
    remedy = "Leave the method out, or use none, standard, robust, min_max, quantile or power."
    if prepare.features.reduce is not None:
        raise RecipeError(
            where,
            "features that are columns",
            f"prepare.features.reduce: {prepare.features.reduce['name']}, which mixes them",
            "Leave one of the two out.",
        )
    for treatment in treatments(prepare, candidate.family.needs, training.table):
        own = [name for name in treatment.columns if name in candidate.family.constraints]
        mixing = [one for one in treatment.chain if not isinstance(one, KeepsOrder)]
        if own and mixing:
            method = type(mixing[0]).__module__.rpartition(".")[2]
            raise RecipeError(
                where, f"one feature of '{own[0]}' that rises with it", f"those of {method}", remedy
            )
