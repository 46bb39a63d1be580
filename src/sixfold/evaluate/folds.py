"""From the section `evaluate` to folds: resolve `auto`, refuse what the scheme has not or the data
does not allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sixfold.core.errors import DataError, RecipeError
from sixfold.evaluate.fold import Fold
from sixfold.parts.table import Dataset
from sixfold.parts.units import with_every_class
from sixfold.recipe.kinds import SPLITTER
from sixfold.recipe.schema import Evaluate

OPTIONS = ("folds", "repeats", "share")
LEARNED = {
    "generation": "texts are learned",
    "recommendation": "interactions have no time",
    "transcription": "texts are predicted",
}
SHOWN = 8  # classes named in a sentence
LEAST_BAGGED, MOST_BAGGED = 3, 10  # folds of a bag: for 10, 45 models without two folds are trained
MOST_BLENDED = 50  # folds of an ensemble: its weights are chosen again for each


class ChosenScheme(NamedTuple):
    """A splitter's name, and why where Sixfold chose (the scheme, or fewer folds than usual); ''
    where it did not.
    """

    name: str
    why: str


def scheme_of(evaluate: Evaluate, dataset: Dataset) -> ChosenScheme:
    """The scheme that the recipe names, or the one that the rows ask for."""
    if evaluate.scheme != "auto":
        why = _why_fewer(evaluate, dataset) if evaluate.scheme == "stratified" else ""
        return ChosenScheme(evaluate.scheme, why)
    if dataset.groups is not None:
        return ChosenScheme("group", "data.group is given: rows of a group stay together")
    if dataset.times is not None:
        return ChosenScheme(
            "time_series", "data.time is given: the past trains, what follows validates"
        )
    if dataset.target.task == "classification":
        fewer = _why_fewer(evaluate, dataset)
        return ChosenScheme(
            "stratified", f"every fold has the classes' shares{fewer and '; ' + fewer}"
        )
    return ChosenScheme("kfold", LEARNED.get(dataset.target.task, "values are predicted"))


def make(evaluate: Evaluate, dataset: Dataset) -> list[Fold]:
    """The folds of `dataset`: equal seeds give equal folds.

    Raises RecipeError (an option the scheme has not, a column it lacks, groups it would tear apart,
    folds that allow no ensemble) or DataError (too few rows, different rows, groups or moments).
    """
    scheme, _ = scheme_of(evaluate, dataset)
    splitter = SPLITTER.load(scheme)
    given = {
        name: getattr(evaluate, name) for name in OPTIONS if getattr(evaluate, name) is not None
    }
    if scheme == "stratified" and (fewer := _fewer_folds(evaluate, dataset)):
        given["folds"] = fewer
    for name in given:
        if name not in splitter.model_fields:
            known = ", ".join(splitter.model_fields) or "none"
            raise RecipeError(
                f"evaluate.{name}",
                f"an option of {scheme} ({known})",
                name,
                f"Leave {name} out, or choose another scheme.",
            )
    if dataset.groups is not None and not splitter.keeps_groups:
        raise RecipeError(
            "evaluate.scheme",
            "group, since data.group keeps rows of a group on one side of every split",
            f"'{scheme}'",
            "Use group (or auto), or take data.group out.",
        )
    settings = SPLITTER.make({"name": scheme, **given})
    check_rows(settings, dataset)
    folds = divided(settings, dataset, evaluate.seed)
    if evaluate.ensemble and not 2 <= len(folds) <= MOST_BLENDED:
        raise RecipeError(
            "evaluate.ensemble",
            f"2 to {MOST_BLENDED} folds: the weights of each are chosen on predictions for the other folds",
            str(len(folds)),
            "Choose another evaluate.scheme, or leave ensemble out.",
        )
    if evaluate.bag and not are_parts(folds, dataset.table.rows):
        raise RecipeError(
            "evaluate.bag",
            f"{LEAST_BAGGED} to {MOST_BAGGED} folds, each of which trains on all rows that it does not validate",
            f"{len(folds)} of scheme {scheme}",
            "Choose kfold, stratified or group, or leave bag out.",
        )
    return folds


def are_parts(folds: Sequence[Fold], rows: int) -> bool:
    """Whether models of such folds can be compared as a bag: not too many, no row is validated twice, and
    each fold trains on all that it does not validate.
    """
    validated = np.concatenate([fold.validation for fold in folds])
    whole = all(len(fold.train) + len(fold.validation) == rows for fold in folds)
    few = LEAST_BAGGED <= len(folds) <= MOST_BAGGED
    return few and whole and len(np.unique(validated)) == len(validated)


def _fewer_folds(evaluate: Evaluate, dataset: Dataset) -> int | None:
    """Of two classes the rarer one's rows (sets of equal rows), where they are fewer than the usual
    folds, and 2 or more: each fold then validates both, and metrics of two classes are defined.
    None where the recipe says how many, or the usual do.
    """
    if evaluate.folds is not None or len(dataset.target.classes) != 2:
        return None
    classes = dataset.target.values.astype(np.int64)
    units = np.arange(len(classes)) if dataset.units is None else dataset.units
    rarest = min(len(np.unique(units[classes == label])) for label in (0, 1))
    usual = int(SPLITTER.load("stratified")().folds)
    return rarest if 2 <= rarest < usual else None


def _why_fewer(evaluate: Evaluate, dataset: Dataset) -> str:
    if _fewer_folds(evaluate, dataset) is None:
        return ""
    return "as many as the rarer class has different rows, so that each validates both classes"


def divided(splitter: Any, dataset: Dataset, seed: int) -> list[Fold]:
    """The folds of a splitter, each with rows of every class to train on.

    Where a class has rows among those that validate alone, some of them train instead
    (`with_every_class`): a class with a single row is trained on in every fold and validated in
    none. In time the past alone trains, whatever it holds; and where no row could be spared, the
    folds are as the splitter made them.
    """
    folds = list(splitter.split(dataset, seed))
    if dataset.target.task != "classification" or splitter.ordered:
        return folds
    kept = [_with_every_class(fold, dataset) for fold in folds]
    return [fold for fold in kept if len(fold.validation)] or folds


def _with_every_class(fold: Fold, dataset: Dataset) -> Fold:
    classes, inside = (
        dataset.target.values.astype(np.int64),
        np.zeros(dataset.table.rows, dtype=np.bool_),
    )
    inside[fold.validation] = True
    kept = with_every_class(classes, inside, dataset.units)
    return fold if kept is inside else Fold(np.flatnonzero(~kept), np.flatnonzero(kept))


def thin_classes(folds: Sequence[Fold], dataset: Dataset) -> str:
    """A sentence about the classes that some fold does not validate, or ''."""
    target = dataset.target
    if target.task != "classification" or dataset.times is not None or not folds:
        return ""
    classes = target.values.astype(np.int64)
    counts = np.bincount(classes, minlength=len(target.classes))
    held = np.stack(
        [np.bincount(classes[fold.validation], minlength=len(counts)) for fold in folds]
    )
    few = np.flatnonzero((counts > 0) & (counts < len(folds)) & (held == 0).any(axis=0))
    if (
        not len(few) or len(folds) > MOST_BLENDED
    ):  # a fold of few rows (leave_one_out) holds few classes
        return ""
    named = [
        f"{target.classes[c]} ({counts[c]}, in {np.count_nonzero(held[:, c])} folds)"
        for c in few[:SHOWN]
    ]
    more = f" and {len(few) - SHOWN:,} more" if len(few) > SHOWN else ""
    return (
        f"Fewer training rows of a class than the {len(folds)} folds: {', '.join(named)}{more}. The other folds train on them "
        "and do not validate them; data.rare can merge or drop such classes."
    )


def check_rows(splitter: Any, dataset: Dataset) -> None:
    """Raises DataError where the table has fewer rows, or different rows, than folds."""
    folds = splitter.model_dump().get("folds", 2)
    if dataset.table.rows < folds:
        raise DataError(
            "evaluate.folds",
            f"at least {folds} rows",
            str(dataset.table.rows),
            "Lower evaluate.folds.",
        )
    if dataset.together is None or splitter.ordered:
        return
    units = len(np.unique(dataset.together))
    if units < folds:
        raise DataError(
            "evaluate.folds",
            f"at least {folds} different rows, as equal ones stay together (data.duplicates)",
            f"{units}",
            "Lower evaluate.folds, or set data.duplicates: ignore.",
        )
