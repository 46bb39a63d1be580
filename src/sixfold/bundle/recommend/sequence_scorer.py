"""What comes after a sequence of items, by layers of attention (Kang and McAuley, Self-attentive sequential
recommendation, 2018), in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.recommend.histories import Float32, Histories

Codes = npt.NDArray[np.int64]
PAD: Final = -1  # in a sequence of codes: nothing there
MASKED: Final = -1e9
SMALL: Final = 1e-5  # added to a variance, as torch does
AT_ONCE: Final = 64  # sequences
GELU: Final = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class SequenceScorer:
    """`items`: float32 [items, width]; `start` [width]: before the first item; `positions` [length, width]:
    the last one is that of the last item. `layers`: arrays of each layer, stacked; `heads`: of attention.
    """

    items: Float32
    start: Float32
    positions: Float32
    layers: Mapping[str, Float32]
    heads: int

    @property
    def item_count(self) -> int:
        """Items that it knows."""
        return len(self.items)

    def scores(self, users: Codes, histories: Histories) -> Float32:
        """As `Scorer`: by the last items of a history, in their order."""
        found: Float32 = self.queries(users, histories) @ self.items.T
        return found

    def queries(self, users: Codes, histories: Histories) -> Float32:
        """As `ScoresByVectors`: the states of the last place."""
        found = np.empty((histories.count, self.items.shape[1]), dtype=np.float32)
        codes = last_items(histories, len(self.positions), self.item_count)
        for first in range(0, histories.count, AT_ONCE):
            some = slice(first, first + AT_ONCE)
            found[some] = self.states(codes[some])[:, -1]
        return found

    @property
    def searched(self) -> Float32:
        """As `ScoresByVectors`."""
        return self.items

    def similar(self, item: int) -> Float32 | None:
        """Cosines."""
        lengths = np.maximum(np.linalg.norm(self.items, axis=1), np.finfo(np.float32).tiny)
        found: Float32 = (self.items @ self.items[item]) / (lengths * lengths[item])
        return found

    def contributions(self, history: Histories, items: Codes) -> Float32 | None:
        """It is no sum over the history."""
        return None

    def states(self, codes: Codes) -> Float32:
        """int64 [B, T] → [B, T, width]; T at most the number of positions."""
        table = np.concatenate([self.items, self.start[None]])
        there = codes != PAD
        x = table[np.where(there, codes, 0)] + self.positions[-codes.shape[1] :]
        allowed = np.tril(np.ones((codes.shape[1],) * 2, dtype=np.bool_)) & there[:, None, :]
        mask = np.where(allowed, 0.0, MASKED).astype(np.float32)[:, None]
        for layer in range(len(self.layers["attention_in"])):
            own = {name: array[layer] for name, array in self.layers.items() if "final" not in name}
            x = x + self._attended(_normed(x, own["norm_1"], own["shift_1"]), own, mask)
            h = _gelu(_normed(x, own["norm_2"], own["shift_2"]) @ own["wide"] + own["wide_bias"])
            x = x + h @ own["narrow"] + own["narrow_bias"]
        return _normed(x, self.layers["final_norm"], self.layers["final_shift"])

    def _attended(self, x: Float32, own: Mapping[str, Any], mask: Float32) -> Float32:
        rows, length, width = x.shape
        parts = np.split(x @ own["attention_in"] + own["attention_in_bias"], 3, axis=2)
        query, key, value = (
            part.reshape(rows, length, self.heads, -1).transpose(0, 2, 1, 3) for part in parts
        )
        scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(width // self.heads) + mask
        scores = np.exp(scores - scores.max(axis=3, keepdims=True))
        scores /= scores.sum(axis=3, keepdims=True)
        joined = (scores @ value).transpose(0, 2, 1, 3).reshape(rows, length, width)
        found: Float32 = joined @ own["attention_out"] + own["attention_out_bias"]
        return found


def last_items(histories: Histories, length: int, items: int) -> Codes:
    """int64 [users, length] the start (code `items`) and the last items of each history, which end in the
    last place; PAD before them.
    """
    lengths = histories.lengths()
    place = lengths[:, None] - length + np.arange(length)[None]  # from 0: the first item
    whole = np.append(histories.items, 0)
    at = np.clip(histories.starts[:-1, None] + place, 0, len(whole) - 1)
    found = np.where(place >= 0, whole[at], PAD).astype(np.int64)
    found[place == -1] = items
    return found


def _normed(x: Float32, scale: Any, shift: Any) -> Float32:
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = (centered**2).mean(axis=-1, keepdims=True)
    found: Float32 = centered / np.sqrt(variance + np.float32(SMALL)) * scale + shift
    return found


def _gelu(x: Float32) -> Float32:
    """By tanh."""
    found: Float32 = (
        np.float32(0.5) * x * (1 + np.tanh(np.float32(GELU) * (x + np.float32(0.044715) * x**3)))
    )
    return found
