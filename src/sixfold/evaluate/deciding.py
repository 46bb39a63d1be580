"""Which metrics are measured where the recipe names none, and which one decides: not accuracy where
a class is rare.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sixfold.evaluate.scoring import check
from sixfold.parts.table import MARGIN, Target

RARE = 0.4  # of an even share of the rows: below 20% of two classes, 4% of ten; guessed, Adult's 24% is not rare
# Two classes: how rows are ranked, whatever the shares are; decision values can be scored, and few
# rows make ROC AUC less noisy than average precision. More classes: every class counts the same.
# Accuracy is still measured.
TWO_CLASSES = ("roc_auc", "average_precision", "balanced_accuracy", "log_loss", "accuracy")
MORE_CLASSES = ("balanced_accuracy", "roc_auc", "log_loss", "accuracy")


class Defaults(NamedTuple):
    """`names`: the first one decides. `why`: a sentence where that is not what the task alone would
    give; else ''.
    """

    names: tuple[str, ...]
    why: str = ""


def rarest(target: Target) -> tuple[int, float] | None:
    """The rarest class that occurs and its share, where the target is imbalanced: the share is
    below RARE of an even one.
    """
    if target.task != "classification":
        return None
    counts = target.class_counts
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return None
    label = int(present[counts[present].argmin()])
    share = float(counts[label] / counts.sum())
    return (label, share) if share * len(present) < RARE else None


def defaults(target: Target, parts: Iterable[Target] = ()) -> Defaults:
    """The metrics of a target. `parts`: the validation rows that every fold scores; looked at for a
    rare class only.

    ROC AUC decides only where all parts have both classes: elsewhere no fold's mean would hold
    them.
    """
    rare = rarest(target)
    if rare is None:
        first = ("preference_accuracy",) if MARGIN in target.names else ()
        return Defaults((*first, *check((), target.task, quantiles=target.quantiles)))
    label, share = rare
    most = target.class_counts.max() / target.total
    start = (
        f"not accuracy: only {100 * share:.2g}% of the rows are of the class {target.classes[label]!r}, and always answering "
        f"the most frequent class is right for {100 * most:.4g}%"
    )
    if len(target.classes) > 2:
        return Defaults(
            MORE_CLASSES, f"balanced_accuracy decides, {start}; here every class counts the same."
        )
    if all(len(np.unique(part.values)) == 2 for part in parts):
        return Defaults(
            TWO_CLASSES, f"roc_auc decides, {start}; here the order of the rows counts."
        )
    names = tuple(sorted(TWO_CLASSES, key=lambda name: name != "balanced_accuracy"))
    return Defaults(
        names,
        f"balanced_accuracy decides, {start}; here every class counts the same (roc_auc is not "
        "defined on folds without that class).",
    )
