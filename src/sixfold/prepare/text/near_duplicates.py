"""Texts that are nearly the same, found by MinHash: they stay on one side of every split.

Broder, On the resemblance and containment of documents, 1997: the share of hash functions whose
smallest value over the n-grams of two texts is equal estimates what share of their n-grams the two
have in common (Jaccard). Texts that agree in all rows of a band of their signatures are compared
(Leskovec, Rajaraman and Ullman, Mining of massive datasets, chapter 3).

Shape letters: T texts, S n-grams of all texts, H hash functions.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sixfold.core.texts import Grams, TextForm, words
from sixfold.parts.scratch import SCRATCH
from sixfold.parts.table import IntArray

Words32 = npt.NDArray[np.uint32]
Words64 = npt.NDArray[np.uint64]

BANDS: Final = 32
BAND_ROWS: Final = 4  # two texts that share 0.8 of their n-grams meet in a band with probability 1 - (1 - 0.8^4)^32 > 1 - 1e-7
HASHES: Final = BANDS * BAND_ROWS  # the estimate of a share 0.8 has standard deviation 0.035
ALIKE: Final = (
    0.8  # estimated share of n-grams in common, from which on texts are near duplicates; guessed
)
WORDS: Final = 3  # of an n-gram; of a shorter text all words are one
BLOCK: Final = 1 << 16  # n-grams of texts that are looked at together
PART: Final = 1 << 9  # n-grams hashed at once: 512 KB, which stay in the processor's cache
SIGNATURE_BYTES: Final = 4 * HASHES
BANDS_AT_ONCE: Final = 4  # that are read together: 64 bytes a text
SCANNED: Final = 1 << 13  # signatures read at once: 4 MB


def near_duplicates(texts: Iterable[str], seed: int = 0) -> IntArray:
    """[T] equal numbers for texts that are near duplicates, directly or through others; a text
    without words is alone. Each text is asked for once; signatures are in a file while this works.
    """
    with tempfile.TemporaryFile(dir=SCRATCH.folder()) as file:
        has_words = _write_signatures(texts, file, seed)
        full = np.flatnonzero(has_words)
        first, second = _alike_pairs(Signatures(file, len(full)))
    links = coo_array(
        (np.ones(len(first), dtype=np.int8), (full[first], full[second])),
        shape=(len(has_words), len(has_words)),
    )
    _, groups = connected_components(links, directed=False)
    return np.asarray(groups, dtype=np.int64)


def _write_signatures(texts: Iterable[str], file: IO[bytes], seed: int) -> IntArray:
    """[T] 1 for each text that has words, whose signature stands in the file."""
    rng = np.random.default_rng(seed)
    factor = rng.integers(0, 1 << 63, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offset = rng.integers(0, 1 << 63, HASHES, dtype=np.uint64)
    counts = [np.empty(0, dtype=np.int64)]
    for hashes, own in _hashed(texts):
        some = own[own > 0]
        starts = np.cumsum(some) - some
        file.write(_signatures(hashes, starts, factor, offset).data)
        counts.append(np.minimum(own, 1))
    file.flush()
    return np.concatenate(counts)


def _hashed(texts: Iterable[str]) -> Iterator[tuple[Words64, IntArray]]:
    """Of some texts at a time a hash of each n-gram of words, and how many each text has."""
    form, grams = TextForm(), Grams("words", WORDS, WORDS)
    found, counts = list[int](), list[int]()
    for text in texts:
        read = form.normalized(text)
        own = grams.of(read) or [joined for joined in [" ".join(words(read))] if joined]
        found += [zlib.crc32(gram.encode()) for gram in own]
        counts.append(len(own))
        if len(found) >= BLOCK or len(counts) >= BLOCK:
            yield np.array(found, dtype=np.uint64), np.array(counts, dtype=np.int64)
            found, counts = [], []
    yield np.array(found, dtype=np.uint64), np.array(counts, dtype=np.int64)


def _signatures(hashes: Words64, starts: IntArray, factor: Words64, offset: Words64) -> Words32:
    """[T, H] the smallest value of each hash function a·x + b (modulo 2^64, the upper half) over
    each text's n-grams.
    """
    smallest = np.full((len(starts), HASHES), np.iinfo(np.uint64).max, dtype=np.uint64)
    values = np.empty((PART, HASHES), dtype=np.uint64)
    for first in range(0, len(hashes), PART):
        part = hashes[first : first + PART]
        own = values[: len(part)]
        np.multiply(part[:, None], factor, out=own)
        own += offset
        begin = int(np.searchsorted(starts, first, side="right")) - 1
        end = int(np.searchsorted(starts, first + len(part)))
        found = np.minimum.reduceat(own, np.maximum(starts[begin:end] - first, 0), axis=0)
        np.minimum(smallest[begin:end], found, out=smallest[begin:end])
    return (smallest >> np.uint64(32)).astype(np.uint32)


@dataclass(frozen=True)
class Signatures:
    """Of `texts` texts in a file, one behind the other."""

    file: IO[bytes]
    texts: int

    def bands(self, first: int) -> Words32:
        """[BANDS_AT_ONCE, T, BAND_ROWS] of bands from `first` on."""
        found = np.empty((BANDS_AT_ONCE, self.texts, BAND_ROWS), dtype=np.uint32)
        columns = slice(first * BAND_ROWS, (first + BANDS_AT_ONCE) * BAND_ROWS)
        buffer = np.empty((min(SCANNED, self.texts), HASHES), dtype=np.uint32)
        for row in range(0, self.texts, SCANNED):
            some = buffer[: self.texts - row]
            os.preadv(self.file.fileno(), [some.data], row * SIGNATURE_BYTES)
            own = some[:, columns].reshape(-1, BANDS_AT_ONCE, BAND_ROWS)
            found[:, row : row + SCANNED] = own.transpose(1, 0, 2)
        return found

    def alike(self, first: IntArray, second: IntArray) -> npt.NDArray[np.bool_]:
        """[pairs] whether enough of both signatures is equal."""
        found = np.empty(len(first), dtype=np.bool_)
        for start in range(0, len(first), SCANNED):
            some = slice(start, start + SCANNED)
            same = self._at(first[some]) == self._at(second[some])
            found[some] = same.mean(axis=1) >= ALIKE
        return found

    def _at(self, rows: IntArray) -> Words32:
        found = np.empty((len(rows), HASHES), dtype=np.uint32)
        for place, row in enumerate(rows.tolist()):
            os.preadv(self.file.fileno(), [found[place].data], row * SIGNATURE_BYTES)
        return found


def _alike_pairs(signatures: Signatures) -> tuple[IntArray, IntArray]:
    """Pairs of texts that agree in a band, and in enough of the whole signature. Each is compared
    with the first of its band's bucket, so that a bucket of n texts costs n comparisons; a pair that
    was found is not compared again.
    """
    firsts, seconds = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    like = np.full(signatures.texts, -1, dtype=np.int64)
    own = np.arange(signatures.texts)
    for number in range(BANDS):
        if number % BANDS_AT_ONCE == 0:
            bands = signatures.bands(number)
        columns = bands[number % BANDS_AT_ONCE]
        keys = columns.view(np.dtype((np.void, columns.dtype.itemsize * BAND_ROWS))).ravel()
        _, first, bucket = np.unique(keys, return_index=True, return_inverse=True)
        other = first[bucket]
        pairs = np.flatnonzero((own != other) & (like != other))
        pairs = pairs[signatures.alike(other[pairs], pairs)]
        like[pairs] = other[pairs]
        firsts.append(other[pairs])
        seconds.append(pairs)
    return np.concatenate(firsts), np.concatenate(seconds)
