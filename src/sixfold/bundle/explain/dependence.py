"""Partial dependence (Friedman, 2001) and individual curves (ICE; Goldstein et al., 2015): the answers
to stored rows when one column has one value in all of them, value after value.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from sixfold.bundle.explain.attributions import Floats
from sixfold.bundle.explain.sampling import Players
from sixfold.recipe.signature import NUMBERS

ROWS: Final = 100  # stored rows that a curve is the mean of
LINES: Final = 20  # of single rows, that are kept
VALUES: Final = 16  # of a column


class PartialDependence(NamedTuple):
    """`values` [points] of a column, as its feed holds them; `mean` [points, K] answers, and `lines`
    [rows, points, K] of single rows.
    """

    values: list[Any]
    mean: Floats
    lines: Floats


def answered() -> int:
    """Rows that the model answers for one column, at most."""
    return ROWS * VALUES


def dependence(players: Players, column: int) -> PartialDependence:
    """Of column number `column`, over its own stored values: quantiles of numbers, the most frequent
    of the rest.
    """
    place, rows = players.columns[column], min(ROWS, players.rows)
    stored = players.background[place.group][:, place.place]
    if place.group == NUMBERS:
        known = np.sort(stored[~np.isnan(stored)])
        at = np.linspace(0, len(known) - 1, min(VALUES, len(known))).round().astype(int)
        values: list[Any] = np.unique(known[at]).tolist()
    else:
        texts, counts = np.unique(stored.astype(str), return_counts=True)
        values = texts[np.argsort(-counts, kind="stable")[:VALUES]].tolist()
    base = {
        name: np.tile(array[:rows], (len(values), 1)) for name, array in players.background.items()
    }
    for number, value in enumerate(values):
        base[place.group][number * rows : (number + 1) * rows, place.place] = value
    answers = players.answer(base).reshape(len(values), rows, -1)
    return PartialDependence(values, answers.mean(axis=1), answers[:, :LINES].transpose(1, 0, 2))
