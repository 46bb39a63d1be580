"""Equal images and images that look equal come into one group; others do not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sixfold.parts.decoded_rows import fill
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import ImageDecoder
from sixfold.prepare.image_duplicates import (
    describe_groups,
    difference_hash,
    duplicate_groups,
    hamming,
)


def picture(seed: int, side: int = 120) -> Image.Image:
    """Waves of some lengths and directions: smooth, as photographs are, and no two alike."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    total = sum(
        np.sin(random.uniform(1, 20) * x + random.uniform(1, 20) * y + random.uniform(0, 6))[
            :, :, None
        ]
        * random.uniform(0.2, 1, 3)
        for _ in range(6)
    )
    scaled = 255 * (total - total.min()) / (total.max() - total.min())
    return Image.fromarray(scaled.astype(np.uint8))


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def groups(
    images: list[bytes], folder: Path, shape: ImageShape | None = None
) -> npt.NDArray[np.int64]:
    for number, content in enumerate(images):
        (folder / f"{number:03}.image").write_bytes(content)
    names = sorted(map(str, folder.glob("*.image")))
    cache, _ = fill(names, ImageDecoder(shape or ImageShape(64, 64, 3)), folder / "cache")
    return duplicate_groups(cache)


def test_copies_and_look_alikes_share_a_group(tmp_path: Path) -> None:
    first, others = picture(0), [picture(seed) for seed in range(1, 12)]
    alike = [
        encoded(first),
        encoded(first),
        encoded(first, "JPEG", quality=50),
        encoded(first.resize((60, 60))),
        encoded(first.point(lambda value: value * 0.9)),
    ]
    found = groups([*alike, *map(encoded, others)], tmp_path)
    assert len(set(found[:5])) == 1
    assert len(set(found)) == 1 + len(others)
    assert describe_groups(found) == (
        "4 images are copies of others, or look like them: they stay on one side of every split."
    )
    assert describe_groups(np.arange(3)) == ""


def test_flat_images_of_other_colors_are_no_copies(tmp_path: Path) -> None:
    flat = [encoded(Image.new("RGB", (20, 20), (value, 0, 0))) for value in (10, 90, 200, 10)]
    found = groups(flat, tmp_path)
    assert found[0] == found[3]
    assert len(set(found)) == 3


def test_mirrored_and_turned_images_are_no_copies(tmp_path: Path) -> None:
    first = picture(3)
    turned = [first, first.transpose(Image.Transpose.FLIP_LEFT_RIGHT), first.rotate(90)]
    assert len(set(groups([encoded(image) for image in turned], tmp_path))) == 3


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_hamming_counts_the_bits(first: int, second: int) -> None:
    found = hamming(np.array([first], dtype=np.uint64), np.array([second], dtype=np.uint64))
    assert found.tolist() == [(first ^ second).bit_count()]


def test_the_hash_says_where_it_gets_brighter() -> None:
    rising = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))[None, :, :, None]
    assert difference_hash(rising).tolist() == [2**64 - 1]
    assert difference_hash(rising[:, :, ::-1]).tolist() == [0]


@pytest.mark.slow
def test_pairs_of_few_different_bits_are_found_as_by_comparing_all(tmp_path: Path) -> None:
    images = [
        encoded(picture(seed // 2), "JPEG", quality=40 + 50 * (seed % 2)) for seed in range(200)
    ]
    found = groups(images, tmp_path)
    assert all(found[at] == found[at + 1] for at in range(0, 200, 2))
    assert len(set(found)) == 100
