"""Metrics of language models, from sums over texts: −ln of the probabilities of their tokens, the tokens, the
bytes (`parts.table.LOSS_SUMS`).
"""

from __future__ import annotations

import math
from typing import ClassVar, Final

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import LOSS_SUMS, MARGIN, FloatArray, Target, Task

PLUGINS: Final = {
    "bits_per_byte": "BitsPerByte",
    "perplexity": "Perplexity",
    "preference_accuracy": "PreferenceAccuracy",
}
LOSS, TOKENS, BYTES = range(len(LOSS_SUMS))
LARGEST: Final = 700.0  # whose exponential is a number yet


class Perplexity(Metric):
    """exp of the mean −ln probability of a token, over all texts: among how many tokens the model is
    as good as undecided. Tokens of another vocabulary are other ones: compare bits_per_byte then.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"generation"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, 3] sums."""
        sums = predicted.sum(axis=0)
        return math.exp(min(sums[LOSS] / sums[TOKENS], LARGEST)) if sums[TOKENS] > 0 else math.nan


class BitsPerByte(Metric):
    """Bits that the model would take to write a byte of the texts (UTF-8), their ends included: the
    sum of −log2 probabilities over the number of bytes, whatever the tokens are.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"generation"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, 3] sums."""
        sums = predicted.sum(axis=0)
        return float(sums[LOSS] / sums[BYTES] / math.log(2)) if sums[BYTES] > 0 else math.nan


class PreferenceAccuracy(Metric):
    """Of preferences between two answers: the share of which the model finds the better one more
    probable; equally probable ones count half. Only rows of preferences define it.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"generation"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "value"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, 4], sums and the margin."""
        if MARGIN not in target.names or not len(predicted):
            return math.nan
        margins = predicted[:, target.names.index(MARGIN)]
        return float(((margins > 0) + 0.5 * (margins == 0)).mean())
