"""Bands of frequency in windows of time: pieces of a recording that a filter takes out of its samples, so that nothing
is changed in the graph behind them.

The recording's spectrum is cut into bands that are equally wide in mel (Stevens, Volkmann and Newman, 1937, by the formula of
O'Shaughnessy, 1987), each goes back to samples, and windows fade into each other. All pieces together are the recording.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from sixfold.bundle.pieces import Floats, Kept, span_of

MOST_BANDS: Final = 6
LEAST_BANDS: Final = 3
MOST_SPANS: Final = 10  # windows of time
FADE_S: Final = (
    0.005  # of a window into the next one: no clicks, which have all frequencies; guessed
)
LOUDEST: Final = 32767.0


@dataclass(frozen=True)
class SpectrumPieces:
    """Of `samples` between the first and the last that is not silent, `rate` of them a second. Pieces are counted band by
    band, from the lowest. `at_s`: where in the recording the first of `samples` is.
    """

    samples: Floats
    rate: int
    start: int
    stop: int
    bands: int
    spans: int
    at_s: float = 0.0

    @classmethod
    def of(cls, samples: Floats, rate: int, most: int, at_s: float = 0.0) -> SpectrumPieces:
        """At most `most` pieces; none of silence."""
        loud = np.flatnonzero(samples)
        start, stop = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, 0)
        bands = max(LEAST_BANDS, min(MOST_BANDS, math.isqrt(most)))
        spans = min(max(1, most // bands), MOST_SPANS, stop - start)
        return cls(samples, rate, start, stop, bands, spans, at_s)

    @property
    def count(self) -> int:
        """Bands of all windows."""
        return self.bands * self.spans

    @property
    def edges(self) -> Floats:
        """[bands + 1] Hz."""
        top = 2595.0 * math.log10(1 + self.rate / 2 / 700.0)
        return np.asarray(
            700.0 * (10.0 ** (np.linspace(0, top, self.bands + 1) / 2595.0) - 1), dtype=np.float64
        )

    @cached_property
    def parts(self) -> Floats:
        """[bands, samples], which add up to the recording."""
        spectrum = np.fft.rfft(self.samples)
        frequencies = np.fft.rfftfreq(len(self.samples), 1 / self.rate)
        of_band = np.digitize(frequencies, self.edges[1:-1])
        some = [np.where(of_band == band, spectrum, 0) for band in range(self.bands)]
        return np.fft.irfft(np.stack(some), len(self.samples), axis=1)

    @cached_property
    def shares(self) -> Floats:
        """[windows, samples] how much of each sample is of a window, which add up to 1."""
        bounds = np.linspace(self.start, self.stop, self.spans + 1)
        fade = max(1.0, min(FADE_S * self.rate, (self.stop - self.start) / self.spans))
        at = np.arange(len(self.samples)) + 0.5
        begun = [np.clip((at - bound) / fade + 0.5, 0, 1) for bound in bounds[1:-1]]
        ramps = np.stack([np.ones(len(at)), *begun, np.zeros(len(at))])
        return np.asarray(ramps[:-1] - ramps[1:], dtype=np.float64)

    def features(self, kept: Kept) -> Floats:
        """[n, samples], whole numbers of 16 bits as of every recording."""
        if not self.count:
            return np.tile(self.samples, (len(kept), 1))
        found = np.zeros((len(kept), len(self.samples)))
        of_bands = kept.reshape(len(kept), self.bands, self.spans).astype(np.float64)
        for band, part in enumerate(self.parts):
            found += (of_bands[:, band] @ self.shares) * part
        return np.clip(np.rint(found), -LOUDEST - 1, LOUDEST)

    def record(self, changes: Sequence[float]) -> dict[str, Any]:
        """`bands`: from and to, in Hz; `changes`: of each band those of its windows, which `from` and `to` tell, in
        seconds of the recording.
        """
        seconds = span_of(self.start, self.stop, self.rate, self.at_s)
        edges = self.edges.tolist()
        bands = [list(pair) for pair in itertools.pairwise(edges)]
        starts = [band * self.spans for band in range(self.bands)]
        rows = [list(changes[start : start + self.spans]) for start in starts]
        return {"kind": "spectrum", **seconds, "bands": bands, "changes": rows}
