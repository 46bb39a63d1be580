"""Texts that are nearly the same, found by MinHash: they stay on one side of every split.

Broder, On the resemblance and containment of documents, 1997: the share of hash functions whose
smallest value over the n-grams of two texts is equal estimates what share of their n-grams the two
have in common (Jaccard). Texts that agree in all rows of a band of their signatures are compared
(Leskovec, Rajaraman and Ullman, Mining of massive datasets, chapter 3).

Shape letters: T texts, S n-grams of all texts, H hash functions.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sixfold.core.texts import Grams, TextForm, words
from sixfold.parts.table import IntArray

Words32 = npt.NDArray[np.uint32]

BANDS: Final = 32
BAND_ROWS: Final = 4  # two texts that share 0.8 of their n-grams meet in a band with probability 1 - (1 - 0.8^4)^32 > 1 - 1e-7
HASHES: Final = BANDS * BAND_ROWS  # the estimate of a share 0.8 has standard deviation 0.035
ALIKE: Final = (
    0.8  # estimated share of n-grams in common, from which on texts are near duplicates; guessed
)
WORDS: Final = 3  # of an n-gram; of a shorter text all words are one
BLOCK: Final = 1 << 16  # n-grams hashed at once: 32 MB


def near_duplicates(texts: Sequence[str], seed: int = 0) -> IntArray:
    """[T] equal numbers for texts that are near duplicates, directly or through others; a text
    without words is alone.
    """
    hashes, starts = _hashes(texts)
    full = np.flatnonzero(np.diff(starts))
    signatures = _signatures(hashes, starts[:-1][full], seed)
    first, second = _alike_pairs(signatures)
    links = coo_array(
        (np.ones(len(first), dtype=np.int8), (full[first], full[second])),
        shape=(len(texts), len(texts)),
    )
    _, groups = connected_components(links, directed=False)
    return np.asarray(groups, dtype=np.int64)


def _hashes(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint64], IntArray]:
    """[S] a hash of each distinct n-gram of words; and where those of each text start, [T + 1]."""
    form, grams = TextForm(), Grams("words", WORDS, WORDS)
    found, counts = list[int](), [0]
    for text in texts:
        read = form.normalized(text)
        own = set(grams.of(read)) or {" ".join(words(read))} - {""}
        found += sorted(zlib.crc32(gram.encode()) for gram in own)
        counts.append(len(own))
    return np.array(found, dtype=np.uint64), np.cumsum(counts, dtype=np.int64)


def _signatures(hashes: npt.NDArray[np.uint64], starts: IntArray, seed: int) -> Words32:
    """[T, H] the smallest value of each hash function a·x + b (modulo 2^64, the upper half) over
    each text's n-grams.
    """
    rng = np.random.default_rng(seed)
    factor = rng.integers(0, 1 << 63, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offset = rng.integers(0, 1 << 63, HASHES, dtype=np.uint64)
    result = np.empty((len(starts), HASHES), dtype=np.uint32)
    ends = np.append(starts[1:], len(hashes))
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + BLOCK, side="right")))
        part = hashes[starts[first] : ends[last - 1]]
        values = (part[:, None] * factor + offset) >> np.uint64(32)
        result[first:last] = np.minimum.reduceat(values, starts[first:last] - starts[first], axis=0)
        first = last
    return result


def _alike_pairs(signatures: Words32) -> tuple[IntArray, IntArray]:
    """Pairs of texts that agree in a band, and in enough of the whole signature. Each is compared
    with the first of its band's bucket, so that a bucket of n texts costs n comparisons.
    """
    firsts, seconds = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for band in range(BANDS):
        columns = np.ascontiguousarray(signatures[:, band * BAND_ROWS : (band + 1) * BAND_ROWS])
        keys = columns.view(np.dtype((np.void, columns.dtype.itemsize * BAND_ROWS))).ravel()
        _, first, bucket = np.unique(keys, return_index=True, return_inverse=True)
        own, other = np.arange(len(keys)), first[bucket]
        pairs = np.flatnonzero(own != other)
        alike = (signatures[own[pairs]] == signatures[other[pairs]]).mean(axis=1) >= ALIKE
        firsts.append(other[pairs[alike]])
        seconds.append(own[pairs[alike]])
    return np.concatenate(firsts), np.concatenate(seconds)
