"""How much every raw column adds to an answer: arrays for programs, records for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from sixfold.bundle.predictions import Predictions
from sixfold.core.errors import RowError, did_you_mean

Floats = npt.NDArray[np.float64]
Method = Literal["auto", "exact", "sampled", "gradients"]
Scale = Literal["log-odds", "score", "probability", "decision", "value"]
HOW: Final = {
    "trees": "exact: Shapley values of the trees, path-dependent (TreeSHAP)",
    "linear": "exact: weight times distance from the mean of the training rows",
    "sampled": "sampled: Shapley values by antithetic permutations over stored rows",
    "gradients": "integrated gradients: from the mean of the stored rows to the row",
}
DIFFERENCES: Final = ", by differences of answers"


@dataclass(frozen=True)
class Attributions:
    """`contributions`: [rows, columns, outputs], so that for every row `base` [rows, outputs] and
    their sum is `prediction` [rows, outputs], in the unit `scale`: log-odds, the score before a
    softmax, or what the model answers. `error`: [rows, columns, outputs] standard errors where they
    are sampled, None where they are exact. `asked`: rows that the model answered for it. `integration_error`:
    [rows, outputs] how far a contribution may be off, about, of integrated gradients; `held`: columns
    that stayed as they are; `by_slopes`: rows whose gradients the graph itself gave, as those of the
    others are differences of answers.
    """

    method: Literal["trees", "linear", "sampled", "gradients"]
    scale: Scale
    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    base: Floats
    contributions: Floats
    prediction: Floats
    predictions: Predictions
    error: Floats | None = None
    asked: int = 0
    integration_error: Floats | None = None
    held: frozenset[str] = frozenset()
    by_slopes: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.base)

    @property
    def how(self) -> str:
        """The method in words."""
        return HOW[self.method]

    def _how(self, row: int) -> str:
        """Of one row."""
        differs = self.method == "gradients" and row not in self.by_slopes
        return self.how + (DIFFERENCES if differs else "")

    def records(self, output: str | None = None) -> list[dict[str, Any]]:
        """One mapping a row, of the output named: `output`, `scale`, `method`, `base`,
        `prediction`, `contributions` (column → number, the largest first) and, where sampled,
        `standard_error`. None: the predicted class, or the first value.

        Raises RowError for an output that the model does not have.
        """
        return [self._record(row, at) for row, at in enumerate(self.places(output))]

    def places(self, output: str | None = None) -> list[int]:
        """Of every row the number of the output that is told of. Raises RowError."""
        return places_of(self.outputs, self.predictions, output)

    def _record(self, row: int, at: int) -> dict[str, Any]:
        given = self.contributions[row, :, at]
        ordered = np.argsort(-np.abs(given), kind="stable").tolist()
        order = [n for n in ordered if self.columns[n] not in self.held]
        record: dict[str, Any] = {
            "output": self.outputs[at],
            "scale": self.scale,
            "method": self._how(row),
            "base": float(self.base[row, at]),
            "prediction": float(self.prediction[row, at]),
            "contributions": {self.columns[n]: float(given[n]) for n in order},
        }
        if self.error is not None:
            error = self.error[row, :, at]
            record["standard_error"] = {self.columns[n]: float(error[n]) for n in order}
        if self.integration_error is not None:
            record["error"] = float(self.integration_error[row, at])
        return record


def places_of(outputs: Sequence[str], predictions: Predictions, output: str | None) -> list[int]:
    """Of every row the number of the output that is told of: the one named, the predicted class, or
    the first value. Raises RowError for one that the model does not have.
    """
    if output is not None:
        if output not in outputs:
            known, hint = ", ".join(outputs[:12]), did_you_mean(output, outputs)
            raise RowError("the output", f"one of {known}", f"'{output}'", hint or "Choose one.")
        return [outputs.index(output)] * len(predictions)
    labels = predictions.outputs.get("label")
    if labels is None:
        return [0] * len(predictions)
    return [outputs.index(str(label)) for label in labels]
