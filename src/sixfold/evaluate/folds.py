"""From the section `evaluate` to folds: resolve `auto`, refuse what the scheme has not or the data does not allow."""

from __future__ import annotations

from typing import Any

import numpy as np

from sixfold.core.errors import DataError, RecipeError
from sixfold.evaluate.fold import Fold
from sixfold.parts.table import Dataset
from sixfold.recipe.kinds import SPLITTER
from sixfold.recipe.schema import Evaluate

OPTIONS = ("folds", "repeats", "share")
MOST_BLENDED = 50  # folds of an ensemble: its weights are chosen again for each


def scheme_of(evaluate: Evaluate, dataset: Dataset) -> tuple[str, str]:
    """The splitter's name, and why where Sixfold chose."""
    if evaluate.scheme != "auto":
        return evaluate.scheme, ""
    if dataset.groups is not None:
        return "group", "data.group is given: rows of a group stay together"
    if dataset.times is not None:
        return "time_series", "data.time is given: the past trains, what follows validates"
    if dataset.target.task == "classification":
        return "stratified", "every fold has the classes' shares"
    return "kfold", "values are predicted"


def make(evaluate: Evaluate, dataset: Dataset) -> list[Fold]:
    """The folds of `dataset`: equal seeds give equal folds.

    Raises RecipeError (an option the scheme has not, a column it lacks, groups it would tear apart, folds that allow no
    ensemble) or DataError (too few rows, rows of a class, groups or moments).
    """
    scheme, _ = scheme_of(evaluate, dataset)
    splitter = SPLITTER.load(scheme)
    given = {name: getattr(evaluate, name) for name in OPTIONS if getattr(evaluate, name) is not None}
    for name in given:
        if name not in splitter.model_fields:
            known = ", ".join(splitter.model_fields) or "none"
            raise RecipeError(
                f"evaluate.{name}", f"an option of {scheme} ({known})", name,
                f"Leave {name} out, or choose another scheme.",
            )  # fmt: skip
    if dataset.groups is not None and not getattr(splitter, "keeps_groups", False):
        raise RecipeError(
            "evaluate.scheme", "group, since data.group keeps rows of a group on one side of every split",
            f"'{scheme}'", "Use group (or auto), or take data.group out.",
        )  # fmt: skip
    settings = SPLITTER.make({"name": scheme, **given})
    check_rows(settings, dataset)
    folds = list(settings.split(dataset, evaluate.seed))
    if evaluate.ensemble and not 2 <= len(folds) <= MOST_BLENDED:
        raise RecipeError(
            "evaluate.ensemble",
            f"2 to {MOST_BLENDED} folds: the weights of each are chosen on predictions for the other folds",
            str(len(folds)), "Choose another evaluate.scheme, or leave ensemble out.",
        )  # fmt: skip
    return folds


def check_rows(splitter: Any, dataset: Dataset) -> None:
    """Raises DataError where the table, or a class that is stratified, has fewer rows than folds."""
    folds = getattr(splitter, "folds", 2)
    if dataset.table.rows < folds:
        raise DataError("evaluate.folds", f"at least {folds} rows", str(dataset.table.rows), "Lower evaluate.folds.")
    if dataset.target.task != "classification" or not getattr(splitter, "stratifies", False):
        return
    counts = np.bincount(dataset.target.values.astype(np.int64), minlength=len(dataset.target.classes))
    rarest = int(counts.argmin())
    if counts[rarest] < folds:
        raise DataError(
            f"class {dataset.target.classes[rarest]!r}", f"at least {folds} training rows for {folds} folds",
            str(counts[rarest]), "Lower evaluate.folds, use the scheme kfold, or leave the class out.",
        )  # fmt: skip
