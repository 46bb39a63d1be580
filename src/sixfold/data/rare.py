"""Classes with few rows: kept, merged into one, or left out, as `data.rare` says. Whatever is done
is told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from sixfold.core.errors import DataError
from sixfold.core.units import counted
from sixfold.parts.table import Dataset, IntArray
from sixfold.recipe.schema import Data

MERGED: Final = "(rare)"  # the class that `merge` makes
SHOWN: Final = 8  # classes named in a sentence


def settle(dataset: Dataset, data: Data) -> Dataset:
    """The dataset after `data.rare`. Raises DataError where fewer than two classes would be left,
    or `(rare)` is one already.
    """
    target = dataset.target
    if target.task != "classification":
        return dataset
    counts = np.bincount(target.values.astype(np.int64), minlength=len(target.classes))
    rare = np.flatnonzero((counts > 0) & (counts < data.rare_rows))
    if not len(rare):
        return dataset
    named = _named([target.classes[code] for code in rare], counts[rare])
    if data.rare == "keep":
        text = f"{named}, fewer than {data.rare_rows} (data.rare_rows): kept; data.rare can merge them or drop them."
        return replace(dataset, notes=(*dataset.notes, text))
    if data.rare == "merge":
        return _merge(dataset, rare, named)
    return _drop(dataset, rare, named)


def _merge(dataset: Dataset, rare: IntArray, named: str) -> Dataset:
    target = dataset.target
    if len(rare) == 1 or len(rare) == len(target.classes):
        why = "there is no other rare class" if len(rare) == 1 else "no other class would be left"
        return replace(
            dataset, warnings=(*dataset.warnings, f"{named}: not merged (data.rare), as {why}.")
        )
    if MERGED in target.classes:
        raise DataError(
            f"column '{target.names[0]}'",
            f"no class called {MERGED}, which data.rare: merge makes",
            "one",
            "Rename that class, or use data.rare: keep or drop.",
        )
    codes = _codes_without(rare, len(target.classes))
    codes[rare] = codes.max() + 1
    values = codes[target.values.astype(np.int64)]
    classes = (*(name for code, name in enumerate(target.classes) if code not in rare), MERGED)
    notes = (*dataset.notes, f"{named}: merged into the class {MERGED}, as data.rare says.")
    merged = replace(
        target, values=values, classes=classes, class_type="text"
    )  # `(rare)` is no number
    return replace(dataset, target=merged, notes=notes)


def _drop(dataset: Dataset, rare: IntArray, named: str) -> Dataset:
    target = dataset.target
    if len(target.classes) - len(rare) < 2:
        raise DataError(
            f"column '{target.names[0]}'",
            "at least two classes that are left after data.rare: drop",
            f"{len(target.classes) - len(rare)}",
            "Use data.rare: keep, or lower data.rare_rows.",
        )
    kept = dataset.take(np.flatnonzero(~np.isin(target.values, rare)))
    values = _codes_without(rare, len(target.classes))[kept.target.values.astype(np.int64)]
    classes = tuple(name for code, name in enumerate(target.classes) if code not in rare)
    text = f"{named}: left out with their rows, as data.rare says; the model does not know them."
    return replace(
        kept,
        target=replace(kept.target, values=values, classes=classes),
        warnings=(*dataset.warnings, text),
    )


def _codes_without(rare: IntArray, classes: int) -> IntArray:
    """[classes] the new code of each class that stays, in the old order; -1 for a rare one."""
    stays = np.ones(classes, dtype=np.bool_)
    stays[rare] = False
    return np.where(stays, np.cumsum(stays) - 1, -1).astype(np.int64)


def _named(names: list[str], counts: IntArray) -> str:
    """ "Rare classes: imL (2 rows), imS (2 rows)" """
    shown = [
        f"{name} ({counted(int(count), 'row')})" for name, count in zip(names, counts, strict=True)
    ]
    more = f" and {len(shown) - SHOWN:,} more" if len(shown) > SHOWN else ""
    return f"Rare {'class' if len(shown) == 1 else 'classes'}: {', '.join(shown[:SHOWN])}{more}"
