"""What the last stage makes, before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sixfold.package import receipt
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.report import Report
from sixfold.recipe.signature import Signature
from sixfold.select.winner import Winner


@dataclass(frozen=True)
class Made:
    """`files`: name → content of what the bundle's runtime needs, and of stored rows."""

    files: Mapping[str, bytes]
    signature: Signature
    report: Report


def settled(measured: Receipt, winner: Winner) -> Receipt:
    """With what is known of the fold that it is of, of members that an ensemble left out, of the fold
    models that it is the mean of, and of nested cross-validation.
    """
    trained = (
        None
        if winner.fold is None
        else receipt.TrainedFold(winner.fold, len(winner.plan.folds[winner.fold].train))
    )
    found = receipt.with_left_out(receipt.of_fold(measured, trained), winner.left_out)
    return receipt.with_nested(receipt.with_bag(found, winner.bag), winner.nested)
