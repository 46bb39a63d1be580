"""Metrics of language models, from sums over texts: −ln of the probabilities of their tokens, the tokens, the
bytes (`parts.table.LOSS_SUMS`).
"""

from __future__ import annotations

import math
from typing import ClassVar, Final

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import LOSS_SUMS, FloatArray, Target, Task

PLUGINS: Final = {"bits_per_byte": "BitsPerByte", "perplexity": "Perplexity"}
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
