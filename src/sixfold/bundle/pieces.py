"""Pieces of a raw value that can be left out: words of a text, patches of an image, windows of a
recording. What occlusion takes away, one after the other (Zeiler and Fergus, 2014, there of
images; Li et al., 2016, of texts).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Kept = npt.NDArray[np.bool_]  # [n, pieces]
MOST_WORDS: Final = 200  # of a text; a longer one is cut into as many phrases
MOST_PATCHES: Final = 8  # a side of an image
MOST_WINDOWS: Final = 20  # of a recording
# What has no spaces between its words is cut into signs: kana, and Chinese characters.
SIGNS: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
WORD: Final = re.compile(rf"(?:[{SIGNS}]|[^\s{SIGNS}]+)\s*")


class ValuePieces(Protocol):
    """Of one value of one column."""

    @property
    def count(self) -> int:
        """How many there are; 0 of what is missing."""

    def features(self, kept: Kept) -> Floats:
        """[n, cells] for the graph, with the pieces that are `kept`."""

    def record(self, changes: Sequence[float]) -> dict[str, Any]:
        """As JSON, with a number for each piece."""


@dataclass(frozen=True)
class TextPieces:
    """`texts`: words, each with the space behind it; all of them together are the text. A word is
    left out, as if it had not been written.
    """

    texts: tuple[str, ...]
    encode: Callable[[Sequence[str]], Floats]

    @classmethod
    def of(cls, text: str, encode: Callable[[Sequence[str]], Floats], most: int) -> TextPieces:
        """At most `most`: neighbors stay together where there are more words."""
        words = WORD.findall(text)
        count = min(len(words), most, MOST_WORDS)
        bounds = np.linspace(0, len(words), count + 1).round().astype(int).tolist() if count else []
        joined = ("".join(words[a:b]) for a, b in itertools.pairwise(bounds))
        return cls(tuple(joined), encode)

    @property
    def count(self) -> int:
        """Words, or phrases."""
        return len(self.texts)

    def features(self, kept: Kept) -> Floats:
        """Of the words that are kept, one after the other."""
        texts = np.array(self.texts, dtype=object)
        return self.encode(["".join(texts[row]).strip() for row in kept])

    def record(self, changes: Sequence[float]) -> dict[str, Any]:
        """`words`: text and change of each."""
        pairs = zip(self.texts, changes, strict=True)
        return {"kind": "text", "words": [{"text": text, "change": each} for text, each in pairs]}


@dataclass(frozen=True)
class ImagePieces:
    """Patches of a grid over `pixels` [height, width, channels], which is what the model sees of an
    image. A patch is left out by giving it the mean color of the image.
    """

    pixels: Floats
    side: int

    @classmethod
    def of(cls, pixels: Floats, most: int) -> ImagePieces:
        """At most `most` patches: as many up as across."""
        return cls(pixels, max(1, min(MOST_PATCHES, math.isqrt(most))))

    @property
    def count(self) -> int:
        """Patches; of an image smaller than the grid some are empty."""
        return self.side * self.side

    @cached_property
    def patch(self) -> npt.NDArray[np.int64]:
        """[height, width] the number of the patch that a pixel is of."""
        height, width, _ = self.pixels.shape
        row, column = (np.arange(size) * self.side // size for size in (height, width))
        return np.asarray(row[:, None] * self.side + column, dtype=np.int64)

    def features(self, kept: Kept) -> Floats:
        """[n, height · width · channels]."""
        mean = np.rint(self.pixels.mean(axis=(0, 1)))
        shown = kept[:, self.patch][:, :, :, None]
        return np.asarray(np.where(shown, self.pixels, mean).reshape(len(kept), -1))

    def record(self, changes: Sequence[float]) -> dict[str, Any]:
        """`changes`: rows of patches, from the top left of the `height` × `width` pixels that the
        model sees, which are the middle of an image of another shape.
        """
        height, width, _ = self.pixels.shape
        rows = [
            list(changes[start : start + self.side]) for start in range(0, self.count, self.side)
        ]
        return {"kind": "image", "height": height, "width": width, "changes": rows}


@dataclass(frozen=True)
class AudioPieces:
    """Windows of equal length between the first and the last of `samples` that is not silent.
    A window is left out by silencing it. `rate`: samples a second; `at_s`: where in the recording the first
    of `samples` is, below 0 where zeros are before it.
    """

    samples: Floats
    rate: int
    start: int
    stop: int
    count: int
    at_s: float = 0.0

    @classmethod
    def of(cls, samples: Floats, rate: int, most: int, at_s: float = 0.0) -> AudioPieces:
        """At most `most` windows; none of silence."""
        loud = np.flatnonzero(samples)
        start, stop = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, 0)
        return cls(samples, rate, start, stop, min(most, MOST_WINDOWS, stop - start), at_s)

    @property
    def bounds(self) -> list[int]:
        """Of the windows, in samples."""
        found = np.linspace(self.start, self.stop, self.count + 1).round().astype(int)
        return list(map(int, found))

    def features(self, kept: Kept) -> Floats:
        """[n, samples]."""
        found = np.tile(self.samples, (len(kept), 1))
        for number, (begin, end) in enumerate(itertools.pairwise(self.bounds)):
            found[~kept[:, number], begin:end] = 0.0
        return found

    def record(self, changes: Sequence[float]) -> dict[str, Any]:
        """`from` and `to`: seconds of the recording, where the first window begins and the last one ends."""
        seconds = span_of(self.start, self.stop, self.rate, self.at_s)
        return {"kind": "audio", **seconds, "changes": list(changes)}


def span_of(start: int, stop: int, rate: int, at_s: float) -> dict[str, float]:
    """Of samples of which the first is at `at_s`: seconds of the recording."""
    return {"from": max(0.0, at_s + start / rate), "to": max(0.0, at_s + stop / rate)}
