"""How much two columns act together on the answers: the H-statistic of pairs (Friedman and Popescu,
2008, equation 44).

With the partial dependence F_j of one column and F_jk of two, each less its mean over the stored
rows, at the values that these rows have:

    H²_jk = Σ_i (F_jk(x_ij, x_ik) - F_j(x_ij) - F_k(x_ik))² / Σ_i F_jk(x_ij, x_ik)²

0: what the two do is a sum; 1: nothing of it is. Of several outputs both sums go over all of them.
Where the two hardly move the answers, the quotient says little: the size of its numerator is told,
too, in the unit of the answers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from sixfold.bundle.explain.attributions import Floats
from sixfold.bundle.explain.sampling import Players

ROWS: Final = 40  # stored rows, whose values are put into each of them


class ColumnPair(NamedTuple):
    """Numbers of two columns, H (0 to 1, and above where they work against each other), and the mean
    size of what they do together.
    """

    one: int
    other: int
    strength: float
    size: float


def answered(columns: int) -> int:
    """Rows that the model answers for all pairs of so many columns, at most."""
    return (columns + math.comb(columns, 2)) * ROWS * ROWS


def pairs(players: Players, columns: Sequence[int]) -> list[ColumnPair]:
    """All pairs of `columns`, those that do most together first; where two move nothing at all, 0."""
    single = {column: _dependence(players, [column]) for column in columns}
    found = []
    for one, other in itertools.combinations(columns, 2):
        both = _dependence(players, [one, other])
        together = both - single[one] - single[other]
        whole = float((both**2).sum())
        strength = math.sqrt(float((together**2).sum()) / whole) if whole > 0.0 else 0.0
        size = float(np.sqrt((together**2).mean(axis=0)).max())
        found.append(ColumnPair(one, other, strength, size))
    return sorted(found, key=lambda pair: -pair.size)


def _dependence(players: Players, columns: Sequence[int]) -> Floats:
    """[rows, K] at the values of each stored row, less their mean."""
    rows = min(ROWS, players.rows)
    mixed = {name: np.tile(array[:rows], (rows, 1)) for name, array in players.background.items()}
    for column in columns:
        place = players.columns[column]
        values = players.background[place.group][:rows, place.place]
        mixed[place.group][:, place.place] = np.repeat(values, rows)
    found = players.answer(mixed).reshape(rows, rows, -1).mean(axis=1)
    return np.asarray(found - found.mean(axis=0))
