"""Paths through the frames of a recording (Graves, Fernández, Gomez and Schmidhuber, Connectionist temporal
classification, ICML 2006).

A path has one symbol a frame: a character's number from 1, or BLANK. Its text is what is left when equal
neighbors are one and blanks are gone; the probability of a path is the product over its frames.

Shape letters: T frames, V symbols, L characters of a text.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

BLANK: Final = 0
Scores = npt.NDArray[np.float64]


class FrameSpan(NamedTuple):
    """The first and the last frame of a character."""

    first: int
    last: int


def log_probabilities(scores_TV: npt.NDArray[Any]) -> Scores:
    """ln of the softmax of each frame, float64."""
    scores = np.asarray(scores_TV, dtype=np.float64)
    above = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(above - np.log(np.exp(above).sum(axis=1, keepdims=True)))


def greedy(logs_TV: Scores) -> tuple[int, ...]:
    """The symbols of the most probable path."""
    return collapsed(logs_TV.argmax(axis=1).tolist())


def collapsed(path: Sequence[int]) -> tuple[int, ...]:
    """The symbols of a path's text."""
    before = [BLANK, *path[:-1]]
    return tuple(
        one for one, other in zip(path, before, strict=True) if one != BLANK and one != other
    )


def margin(logs_TV: Scores) -> float:
    """How far the most probable path is from another one: the smallest difference of the two most probable
    symbols of a frame.
    """
    two = np.partition(logs_TV, -2, axis=1)[:, -2:]
    return float(np.abs(two[:, 1] - two[:, 0]).min())


def fits(symbols: Sequence[int], frames: int) -> bool:
    """Whether some path of so many frames has this text: equal neighbors need a blank between them."""
    return needed(symbols) <= frames


def needed(symbols: Sequence[int]) -> int:
    """Frames that a path of this text has at least."""
    return len(symbols) + sum(one == other for one, other in itertools.pairwise(symbols))


def aligned(logs_TV: Scores, symbols: Sequence[int]) -> list[FrameSpan]:
    """Of each character the frames that it has on the most probable path of this text (Viterbi over the
    text with a blank around every character). Raises ValueError for a text that no path has.
    """
    if not symbols:
        return []
    if not fits(symbols, len(logs_TV)):
        raise ValueError(f"{needed(symbols):,} frames are needed, and {len(logs_TV):,} are there")
    states = np.zeros(2 * len(symbols) + 1, dtype=np.int64)
    states[1::2] = symbols
    skips = np.zeros(len(states), dtype=np.bool_)  # may be reached from two before
    skips[3::2] = states[3::2] != states[1:-2:2]
    best = np.full(len(states), -np.inf)
    best[:2] = logs_TV[0, states[:2]]
    came = np.zeros((len(logs_TV), len(states)), dtype=np.int8)
    for frame in range(1, len(logs_TV)):
        ways = np.full((3, len(states)), -np.inf)
        ways[0], ways[1, 1:] = best, best[:-1]
        ways[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        came[frame] = ways.argmax(axis=0)
        best = ways.max(axis=0) + logs_TV[frame, states]
    return _spans(came, int(best[-2:].argmax()) + len(states) - 2, len(symbols))


def _spans(came: npt.NDArray[np.int8], state: int, characters: int) -> list[FrameSpan]:
    """From the last state back to the first frame."""
    firsts, lasts = [0] * characters, [0] * characters
    seen: set[int] = set()
    for frame in range(len(came) - 1, -1, -1):
        if state % 2:
            at = state // 2
            firsts[at] = frame
            if at not in seen:
                lasts[at] = frame
                seen.add(at)
        state -= int(came[frame, state])
    return [FrameSpan(*pair) for pair in zip(firsts, lasts, strict=True)]
