"""Images that are equal, or look equal: rows that stay on one side of every split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sixfold.bundle.images import Pixels
from sixfold.core.units import counted
from sixfold.parts.image_store import ImageCache
from sixfold.parts.table import IntArray

HASH_SIDE: Final = 8  # the hash has 8 × 8 bits
# Bits that may differ. Saving a picture again as JPEG of quality 50 or 90, or at half its size,
# moved at most 2 of 64 (measured on 100 pictures made of waves). Of 4,000 handwritten digits 22,163
# pairs are as near: the pixels decide.
MOST_BITS: Final = 3
BANDS: Final = MOST_BITS + 1  # of which at least one is equal where at most MOST_BITS differ
NEIGHBORS: Final = (
    32  # images of an equal band that each is compared with: flat pictures share one hash
)
THUMBNAIL: Final = 16  # pixels a side, of which the correlation is taken
LEAST_CORRELATION: Final = (
    0.995  # measured: copies ≥ 0.9996; the nearest other digit of 99% of 4,000 ≤ 0.987
)
READ_AT_ONCE: Final = 64
Hashes = npt.NDArray[np.uint64]


def duplicate_groups(cache: ImageCache) -> IntArray:
    """int64 [rows]: equal numbers for images whose files are equal (SHA-256), or which look
    equal.
    """
    same = np.unique([cache.digests[row].hex() for row in cache.rows], return_inverse=True)[1]
    hashes, thumbnails = _looks(cache)
    pairs = _confirmed(_candidates(hashes), hashes, thumbnails)
    firsts = np.unique(same, return_index=True)[1]
    left = np.concatenate([np.arange(len(cache)), pairs[:, 0]])
    right = np.concatenate([firsts[same], pairs[:, 1]])
    links = coo_array(
        (np.ones(len(left), dtype=np.int8), (left, right)), shape=(len(cache), len(cache))
    )
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def describe_groups(groups: IntArray) -> str:
    """How many images have a copy, for the user; '' where none has."""
    counts = np.unique(groups, return_counts=True)[1]
    copies = int((counts[counts > 1] - 1).sum())
    if not copies:
        return ""
    one = "image is a copy of another, or looks like it: both stay"
    many = "images are copies of others, or look like them: they stay"
    return f"{counted(copies, one, many)} on one side of every split."


def difference_hash(images: Pixels) -> Hashes:
    """uint64 [B] of uint8 [B, H, W, C]: whether each of 8 × 8 fields is darker than its right
    neighbor (dHash).
    """
    fields = _averaged(images, HASH_SIDE, HASH_SIDE + 1)
    bits = (
        fields[:, :, 1:] - fields[:, :, :-1]
    ) > 0.5  # half a step of a byte: flat areas give zeros
    return np.packbits(bits.reshape(len(images), -1), axis=1).view(">u8").astype(np.uint64)[:, 0]


def hamming(first: Hashes, second: Hashes) -> IntArray:
    """Bits that differ."""
    return np.asarray(np.bitwise_count(first ^ second), dtype=np.int64)


def _looks(cache: ImageCache) -> tuple[Hashes, npt.NDArray[np.float32]]:
    """Hashes [rows], and thumbnails [rows, pixels] of mean 0 and length 1, of which products are
    correlations.
    """
    hashes, thumbnails = [], []
    for images in cache.batches(READ_AT_ONCE):
        hashes.append(difference_hash(images))
        small = _averaged(images, THUMBNAIL, THUMBNAIL).reshape(len(images), -1)
        small -= small.mean(axis=1, keepdims=True)
        length = np.sqrt((small**2).sum(axis=1, keepdims=True))
        thumbnails.append((small / np.maximum(length, 1e-6)).astype(np.float32))
    return np.concatenate(hashes), np.concatenate(thumbnails)


def _averaged(images: Pixels, height: int, width: int) -> npt.NDArray[np.float32]:
    """Gray means over a grid, float32 [B, height, width]."""
    gray = np.zeros(
        images.shape[:3], dtype=np.float32
    )  # channel by channel: ten times the speed of a mean over the last axis
    for channel in range(images.shape[3]):
        gray += images[..., channel]
    gray /= images.shape[3]
    return np.asarray(_areas(height, images.shape[1]) @ gray @ _areas(width, images.shape[2]).T)


def _areas(fields: int, pixels: int) -> npt.NDArray[np.float32]:
    """[fields, pixels]: the share of each pixel in each of so many equal fields; rows sum to 1."""
    edges = np.linspace(0, pixels, fields + 1)
    places = np.arange(pixels)
    left, right = np.maximum(edges[:-1, None], places), np.minimum(edges[1:, None], places + 1)
    return np.asarray(np.maximum(right - left, 0) * fields / pixels, dtype=np.float32)


def _candidates(hashes: Hashes) -> Iterator[npt.NDArray[np.int64]]:
    """Pairs [n, 2] of rows of which a band of bits is equal: by the pigeonhole principle all that
    differ in few bits.
    """
    width = 64 // BANDS
    for band in range(BANDS):
        values = (hashes >> np.uint64(band * width)) & np.uint64((1 << width) - 1)
        order = np.lexsort((hashes, values))  # within a band, those alike stand side by side
        for step in range(1, min(NEIGHBORS, len(order) - 1) + 1):
            equal = values[order[step:]] == values[order[:-step]]
            yield np.stack([order[:-step][equal], order[step:][equal]], axis=1)


def _confirmed(
    candidates: Iterator[npt.NDArray[np.int64]], hashes: Hashes, thumbnails: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Pairs of candidates that are near by their hashes and by their pixels."""
    found: list[npt.NDArray[np.int64]] = [np.zeros((0, 2), dtype=np.int64)]
    for pairs in candidates:
        near = pairs[hamming(hashes[pairs[:, 0]], hashes[pairs[:, 1]]) <= MOST_BITS]
        alike = (
            np.einsum("np,np->n", thumbnails[near[:, 0]], thumbnails[near[:, 1]])
            >= LEAST_CORRELATION
        )
        found.append(near[alike])
    return np.concatenate(found)
