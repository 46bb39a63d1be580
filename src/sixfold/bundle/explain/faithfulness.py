"""Whether attributions tell what the model looks at: deletion and insertion curves (Petsiuk et al.,
2018, there of pixels), against a random order of the columns.

Deletion: columns become those of stored rows, the one that adds most first. Insertion: from stored
rows, columns become those of the explained row, in the same order. What is drawn is how far the
answer is from the one to the whole row, as a share of how far that of no column is: 0 is the same
answer. Good attributions move it soon: the area of deletion is large, that of insertion small.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.attributions import Attributions, Floats
from sixfold.bundle.explain.sampling import Players
from sixfold.bundle.frontend import Feeds

STORED: Final = 10  # rows that columns are taken from, for each explained one
STEPS: Final = 20  # of a curve, at most
ROWS: Final = 50  # that are looked at


class Faithfulness(NamedTuple):
    """Curves over `shares` of the columns, means over `rows` rows, and those of a random order."""

    rows: int
    shares: Floats
    deletion: Floats
    insertion: Floats
    random_deletion: Floats
    random_insertion: Floats

    def areas(self) -> dict[str, float]:
        """Below each curve."""
        names = ("deletion", "insertion", "random_deletion", "random_insertion")
        return {name: float(np.trapezoid(getattr(self, name), self.shares)) for name in names}

    def sentence(self) -> str:
        """In words."""
        area = self.areas()
        return (
            f"Faithfulness over {self.rows:,} rows: taking columns away in the order of their contributions moves "
            f"the answer by {area['deletion']:.2f} of its way on average ({area['random_deletion']:.2f} in a random "
            f"order, more is better); putting them in leaves {area['insertion']:.2f} of it "
            f"({area['random_insertion']:.2f} in a random order, less is better)."
        )

    def record(self) -> dict[str, Any]:
        """As JSON."""
        curves = {
            name: [float(value) for value in values]
            for name, values in self._asdict().items()
            if name != "rows"
        }
        return {"rows": self.rows, "areas": self.areas(), **curves}


def answered(columns: int) -> int:
    """Rows that the model answers for one row."""
    return 4 * STORED * (min(STEPS, columns) + 1)


def measure(players: Players, feeds: Feeds, found: Attributions, most: int = ROWS) -> Faithfulness:
    """Of the first rows of `found`, at most `most`, which are those of `feeds`, and of the output
    that each is told of.
    """
    rng, rows = np.random.default_rng(0), min(len(found), ROWS, most)
    count = len(players.columns)
    steps = np.unique(np.linspace(0, count, min(STEPS, count) + 1).round().astype(int))
    curves = np.zeros((4, len(steps)))
    weight = np.zeros(1)
    for row, output in enumerate(found.places(None)[:rows]):
        one = {name: array[row : row + 1] for name, array in feeds.items()}
        base = rng.permutation(players.rows)[:STORED]
        size = np.abs(found.contributions[row, :, output])
        for number, order in enumerate((np.argsort(-size, kind="stable"), rng.permutation(count))):
            turn = np.argsort(order)
            inserted = _answers(players, one, turn[None] < steps[:, None], base)[:, output]
            deleted = _answers(players, one, turn[None] >= steps[:, None], base)[:, output]
            curves[2 * number] += np.abs(deleted - deleted[0])
            curves[2 * number + 1] += np.abs(inserted - inserted[-1])
        weight += np.abs(inserted[0] - inserted[-1])
    curves /= max(float(weight[0]), np.finfo(np.float64).tiny)
    return Faithfulness(rows, steps / count, curves[0], curves[1], curves[2], curves[3])


def _answers(
    players: Players, row: Feeds, taken: npt.NDArray[np.bool_], base: npt.NDArray[np.int64]
) -> Floats:
    """[steps, K] the mean answer over the stored rows `base`, with the columns `taken` [steps, C]."""
    mixed = players.mixed(row, np.repeat(taken, len(base), axis=0), np.tile(base, len(taken)))
    found = players.answer(mixed)
    return np.asarray(found.reshape(len(taken), len(base), -1).mean(axis=1))
