"""Which of two classes is the positive one: the last, which precision, recall, f1, average_precision and
the threshold look at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from sixfold.core import values
from sixfold.core.errors import RecipeError, did_you_mean
from sixfold.parts.table import Dataset, Target

Label: TypeAlias = str | int | float | bool
FREQUENT: Final = (
    2 / 3
)  # of the rows have a class that is then hardly the one that is looked for; guessed


def positive_last(dataset: Dataset, positive: Label | None) -> Dataset:
    """The dataset whose second class is `positive` (`evaluate.positive`); without one the order stays, and
    it is told where the second class is the frequent one.

    Raises RecipeError for a target that has not two classes, and for a name that is none of them.
    """
    target = dataset.target
    if positive is None:
        return replace(dataset, notes=(*dataset.notes, *_say_frequent(target)))
    if len(target.classes) != 2:
        classes = f" with {len(target.classes)} classes" if target.classes else ""
        raise RecipeError(
            "evaluate.positive",
            "a target with two classes, of which one is positive",
            f"{target.task}{classes}",
            "Leave positive out: of more classes every metric takes the mean over all.",
        )
    name = values.level(values.spell(positive) or "", target.class_type)
    if name not in target.classes:
        raise RecipeError(
            "evaluate.positive",
            f"a class of '{target.names[0]}'",
            f"'{name}'",
            did_you_mean(name, target.classes),
        )
    text = f"The positive class is '{name}', as evaluate.positive says."
    noted = replace(dataset, notes=(*dataset.notes, text))
    return noted if name == target.classes[1] else replace(noted, target=_swapped(target))


def _swapped(target: Target) -> Target:
    return replace(target, values=1 - target.values, classes=target.classes[::-1])


def _say_frequent(target: Target) -> tuple[str, ...]:
    if len(target.classes) != 2 or np.mean(target.values == 1) < FREQUENT:
        return ()
    rare, frequent = target.classes
    return (
        f"The metrics f1, precision, recall and average_precision look at the second class, '{frequent}', which is the "
        f"frequent one. To look at '{rare}', say evaluate.positive: {rare}; or choose mcc, balanced_accuracy or roc_auc.",
    )
