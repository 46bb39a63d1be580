"""Examples that are never cut, several to a window: conversations, prompts with their answers.

Each goes into the window with least room that it fits into, the longest first (best fit decreasing;
Johnson, Near-optimal bin packing algorithms, 1973: at most 11/9 of the fewest windows, and one). All
windows have one length, so that the first step takes as much memory as any.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch

from sixfold.parts.stored_tokens import StoredTokens
from sixfold.parts.table import IntArray
from sixfold.parts.token_windows import Span, WindowBatch, filled

SHORTEST: Final = 32  # tokens of a window at least; guessed


def whole_windows(inputs: Sequence[int], length: int) -> list[list[Span]]:
    """Windows of `length` tokens, in each the examples that share it; the first one holds the longest.
    `inputs`: tokens of each example that are read; of a longer one its first `length`.
    """
    windows: list[list[Span]] = []
    rooms: list[FreeTokens] = []  # sorted
    order = sorted(range(len(inputs)), key=lambda row: (-inputs[row], row))
    for row in order:
        size = min(inputs[row], length)
        at = bisect_left(rooms, FreeTokens(size, -1))
        room = rooms.pop(at) if at < len(rooms) else FreeTokens(length, len(windows))
        if room.window == len(windows):
            windows.append([])
        windows[room.window].append(Span(row, 0, size, 0))
        if room.tokens > size:
            insort(rooms, FreeTokens(room.tokens - size, room.window))
    return windows


@dataclass(frozen=True, order=True)
class FreeTokens:
    """`tokens` that are free in `window`."""

    tokens: int
    window: int


@dataclass(frozen=True)
class PackedExamples:
    """Whole examples in windows of at most `context` tokens: an `ExampleReader`, whose rows are windows."""

    tokens: StoredTokens
    context: int

    @property
    def length(self) -> int:
        """Tokens of a window: a power of two into which the longest example fits, or the context."""
        longest = max(self._inputs.tolist(), default=1)
        return int(min(self.context, max(SHORTEST, 1 << (longest - 1).bit_length())))

    @cached_property
    def _inputs(self) -> IntArray:
        """int64 [examples]; the last id of each is no input."""
        return self.tokens.lengths - 1

    @cached_property
    def windows(self) -> list[list[Span]]:
        """What stands in each."""
        return whole_windows(self._inputs.tolist(), self.length)

    def __len__(self) -> int:
        return len(self.windows)

    def read(self, rows: IntArray, draw: torch.Generator | None) -> WindowBatch:
        """As in `ExampleReader`."""
        return filled([self.windows[row] for row in rows.tolist()], self.tokens, self.length)

    def describe(self) -> str:
        """What `facts` says, for people."""
        facts = self.facts()
        share = facts["filling"] / max(1, len(self) * self.length)
        return (
            f"{facts['examples']:,} examples in {facts['windows']:,} windows: {facts['tokens']:,} tokens, of which "
            f"{facts['learned']:,} are learned; {share:.0%} of the windows is filling."
        )

    def facts(self) -> dict[str, Any]:
        """Examples, windows, their length, tokens that are read, that are learned, and that fill up."""
        learned = sum(int(np.sum(ids[1:] >= 0)) for ids in self.tokens.texts())
        read = int(np.minimum(self._inputs, self.length).sum())
        room = len(self) * self.length
        return {
            "examples": len(self.tokens),
            "windows": len(self),
            "length": self.length,
            "tokens": read,
            "learned": learned,
            "filling": room - read,
        }
