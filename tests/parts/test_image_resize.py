"""The resizing graph against the formula of a triangle filter, and against Pillow where nothing
lies beyond the edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from sixfold.parts.image_resize import ImageShape, Resizer


def triangle(wants: int, has: int) -> npt.NDArray[np.float64]:
    """[wants, has]: weights of a triangle as wide as the step (1 at least); beyond the edge its
    pixel is repeated.
    """
    step = has / wants
    centers, beyond = (np.arange(wants) + 0.5) * step, has
    places = np.arange(-beyond, has + beyond)
    raw = np.maximum(0, 1 - np.abs(places + 0.5 - centers[:, None]) / max(step, 1))
    raw /= raw.sum(axis=1, keepdims=True)
    found = np.zeros((wants, has))
    np.add.at(found.T, np.clip(places, 0, has - 1), raw.T)
    return found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("has", "wants"), [((50, 50), (32, 32)), ((9, 12), (27, 36)), ((301, 301), (28, 28))]
)
def test_pixels_are_those_of_the_formula(
    channels: Any, has: tuple[int, int], wants: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*has, channels), dtype=np.uint8)
    found = Resizer(ImageShape(*wants, channels))(image)
    formula = np.einsum(
        "ah,hwc,bw->abc", triangle(wants[0], has[0]), image, triangle(wants[1], has[1])
    )
    assert np.abs(found - formula).max() <= 1.01  # rounded after each of the two axes


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 40])
def test_an_enlarged_image_is_that_of_pillow(channels: Any, side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28, channels), dtype=np.uint8)
    found = Resizer(ImageShape(side, side, channels))(image)
    pillow = Image.fromarray(image if channels == 3 else image[:, :, 0]).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    apart = np.abs(found.astype(int) - np.asarray(pillow).reshape(side, side, channels))
    assert apart.max() <= (0 if side == 28 else 1)


def test_of_a_wide_image_the_middle_is_taken() -> None:
    image = np.zeros((4, 40, 1), dtype=np.uint8)
    image[:, 18:22] = 200
    assert (Resizer(ImageShape(8, 8, 1))(image) == 200).all()


def test_a_line_of_a_million_pixels_is_resized() -> None:
    assert Resizer(ImageShape(8, 8, 1))(np.full((1, 1_000_000, 1), 7, dtype=np.uint8)).shape == (
        8,
        8,
        1,
    )


def test_what_an_image_becomes_is_said() -> None:
    assert ImageShape(28, 20, 1).describe() == "28 × 20, gray"
