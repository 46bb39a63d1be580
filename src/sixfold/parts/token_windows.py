"""Texts packed into windows of one length, for a network that keeps them apart: a token sees the tokens
before it in its own text, and places are counted from where the text begins in the window.

Shape letters: B windows, T tokens of a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import torch

from sixfold.parts.stored_tokens import Ids, StoredTokens
from sixfold.parts.table import IntArray

IGNORED: Final = -100  # a target that no loss is counted of, as torch and transformers have it
IDS, PLACES, TEXTS = range(3)  # of the second axis of a network's input


class Span(NamedTuple):
    """Ids of one text, from `start` up to `stop`, that are read as input, of which the targets from
    `scored` on count. `row`: of the view.
    """

    row: int
    start: int
    stop: int
    scored: int


class WindowBatch(NamedTuple):
    """`x`: int64 [B, 3, T]: ids, places in the text, and numbers of the texts of a window; `y`: int64
    [B, T] the ids that follow, IGNORED where there is none to learn.
    """

    x: torch.Tensor
    y: torch.Tensor


def filled(windows: Sequence[Sequence[Span]], tokens: StoredTokens, length: int) -> WindowBatch:
    """Windows as arrays; what is left of one is a text of its own, of which nothing is learned."""
    ids = tokens.opened()
    x = np.zeros((len(windows), 3, length), dtype=np.int64)
    y = np.full((len(windows), length), IGNORED, dtype=np.int64)
    for window, spans in enumerate(windows):
        at = 0
        for number, span in enumerate(spans):
            first = int(tokens.starts[tokens.rows[span.row]])
            own = ids[first + span.start : first + span.stop + 1].astype(np.int64)
            here = slice(at, at + span.stop - span.start)
            x[window, IDS, here] = np.where(own[:-1] < 0, ~own[:-1], own[:-1])
            x[window, PLACES, here] = np.arange(span.stop - span.start)
            x[window, TEXTS, here] = number
            y[window, here] = np.where(own[1:] < 0, IGNORED, own[1:])
            y[window, at : at + span.scored - span.start] = IGNORED
            at = here.stop
        x[window, IDS, at:] = tokens.tokenizer.end
        x[window, PLACES, at:] = np.arange(length - at)
        x[window, TEXTS, at:] = len(spans)
    return WindowBatch(torch.from_numpy(x), torch.from_numpy(y))


@dataclass(frozen=True)
class PackedTexts:
    """All texts one after the other, cut into windows of `length`: an `ExampleReader`, whose rows are
    windows. Nothing is left out but the last window's rest, which is filled.
    """

    tokens: StoredTokens
    length: int

    @cached_property
    def _ends(self) -> IntArray:
        """int64 [texts + 1], of inputs: each text's last id follows, and is no input."""
        return np.concatenate([[0], np.cumsum(self.tokens.lengths - 1)])

    def __len__(self) -> int:
        return -(-int(self._ends[-1]) // self.length)

    def read(self, rows: IntArray, draw: torch.Generator | None) -> WindowBatch:
        """As in `ExampleReader`."""
        return filled([list(self._spans(int(row))) for row in rows], self.tokens, self.length)

    def _spans(self, window: int) -> Iterator[Span]:
        at, end = window * self.length, min((window + 1) * self.length, int(self._ends[-1]))
        row = int(np.searchsorted(self._ends, at, side="right")) - 1
        while at < end:
            first, stop = int(self._ends[row]), min(int(self._ends[row + 1]), end)
            if stop > at:
                yield Span(row, at - first, stop - first, at - first)
            at, row = max(at, stop), row + 1


def scoring_windows(lengths: Sequence[int], context: int) -> list[list[Span]]:
    """Windows in which every token of every text is scored once. `lengths`: ids of each text.

    A text that is longer than `context` is read in spans that overlap by half: but for its first
    ones, every token is scored with at least context / 2 tokens before it. Short texts share windows.
    """
    windows: list[list[Span]] = []
    room = 0
    for row, count in enumerate(lengths):
        for span in _overlapping(row, count - 1, context):
            if span.stop - span.start > room:
                windows.append([])
                room = context
            windows[-1].append(span)
            room -= span.stop - span.start
    return windows


def _overlapping(row: int, inputs: int, context: int) -> Iterator[Span]:
    scored = 0
    while scored < inputs:
        stop = min(inputs, context if scored == 0 else scored + max(1, context // 2))
        yield Span(row, max(0, stop - context), stop, scored)
        scored = stop


def losses_of_texts(
    spans: Sequence[Sequence[Span]], losses: torch.Tensor, y: torch.Tensor, rows: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """[rows, 2] of each text the sum of its tokens' losses and how many these are. `losses`, `y`: [B,
    T] of the windows `spans`.
    """
    owners = np.full(y.shape, -1, dtype=np.int64)
    for window, own in enumerate(spans):
        at = 0
        for span in own:
            owners[window, at : at + span.stop - span.start] = span.row
            at += span.stop - span.start
    counted = (y != IGNORED).numpy() & (owners >= 0)
    which = owners[counted]
    values = losses.to(torch.float64).numpy()[counted]
    return np.stack(
        [np.bincount(which, values, rows), np.bincount(which, minlength=rows).astype(np.float64)],
        axis=1,
    )


def one_text(ids: Sequence[int]) -> torch.Tensor:
    """A window of one text, as a network takes it: [1, 3, T]."""
    return torch.tensor([[list(ids), list(range(len(ids))), [0] * len(ids)]])


def ids_of(tokens: Ids) -> IntArray:
    """Stored ids as they are, whether they are learned or not."""
    return np.where(tokens < 0, ~tokens, tokens).astype(np.int64)
