"""What the report asks of a model to explain it, so that a plan can count it."""

from __future__ import annotations

from typing import Final

from sixfold.bundle.explain import dependence, faithfulness, interaction
from sixfold.bundle.pieces import MOST_WORDS

EXACT_ROWS: Final = 100  # that the report's attributions are the mean of
SAMPLED_ROWS: Final = 10
ANSWERS: Final = 2_000  # of the model, for a row whose attributions are sampled
MOST_S: Final = 10.0  # of each part; what would take longer is left out, or ends there
DRAWN: Final = 4  # columns whose dependence is drawn
PAIRED: Final = 4  # columns whose pairs are looked at
PIECED_ROWS: Final = 12  # of texts, images or recordings that pieces are left out of


def explaining_s(plain: int, pieces: bool, row_s: float) -> float:
    """Seconds for a model that answers a row in `row_s`, at most. `plain`: its columns of plain
    values; `pieces`: whether it has others, too.
    """
    asked = (MOST_WORDS + 2 + faithfulness.answered_pieces(MOST_WORDS)) * PIECED_ROWS * pieces
    found = min(MOST_S, asked * row_s)
    if not plain:
        return found
    parts = (
        SAMPLED_ROWS * faithfulness.answered(plain),
        min(DRAWN, plain) * dependence.answered(),
        interaction.answered(min(PAIRED, plain)),
    )
    found += min(MOST_S, SAMPLED_ROWS * ANSWERS * row_s)
    return found + sum(part * row_s for part in parts if part * row_s <= MOST_S)
