"""Decoding: every format and mode against Pillow's own conversion or a formula; what is refused,
and by which words.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sixfold.bundle.images import FORMATS, ImageLimits, center_crop, decode, is_color, read, size_of
from sixfold.core.errors import DataError

COLORS = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
LOSSLESS = ("PNG", "TIFF", "BMP")


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and then nothing."""
    chunks = [
        b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(b""),
        b"IEND",
    ]
    written = [
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        for body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


@pytest.mark.parametrize("form", LOSSLESS)
def test_formats_without_loss_give_the_very_pixels(form: str) -> None:
    assert np.array_equal(decode(encoded(Image.fromarray(COLORS), form), "a", 3), COLORS)


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in LOSSLESS])
def test_formats_with_loss_give_about_the_pixels(form: str) -> None:
    smooth = np.linspace(0, 255, 13 * 17 * 3).reshape(13, 17, 3).astype(np.uint8)
    found = decode(encoded(Image.fromarray(smooth), form), "a", 3)
    assert found.shape == smooth.shape
    assert np.abs(found.astype(int) - smooth).mean() < 8


def test_of_a_moving_picture_the_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(content, "a.gif", 3) == (255, 0, 0)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = {
        1: COLORS,
        2: COLORS[:, ::-1],
        3: COLORS[::-1, ::-1],
        4: COLORS[::-1],
        5: COLORS.transpose(1, 0, 2),
    }
    stored |= {
        6: np.rot90(COLORS),
        7: COLORS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(COLORS, -1),
    }
    content = encoded(Image.fromarray(np.ascontiguousarray(stored[orientation])), exif=exif)
    assert np.array_equal(decode(content, "a", 3), COLORS)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "RGB"])
@pytest.mark.parametrize("channels", [1, 3])
def test_modes_become_gray_or_color_as_pillow_converts_them(mode: str, channels: Any) -> None:
    image = Image.fromarray(COLORS).convert(mode)
    content = encoded(image, "TIFF")
    wanted = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(13, 17, -1)
    assert np.array_equal(
        decode(content, "a", channels), np.broadcast_to(wanted, (13, 17, channels))
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_rounded_to_eight(form: str, channels: Any) -> None:
    values = np.arange(0, 65536, 37, dtype=np.uint16)[:1768].reshape(34, 52)
    wanted = np.floor(values / 257 + 0.5).astype(np.uint8)
    found = decode(encoded(Image.fromarray(values), form), "a", channels)
    assert found.shape == (34, 52, channels)
    assert (found == wanted[:, :, None]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_white(mode: str) -> None:
    color: Any = (0, 0, 0, 0) if mode == "RGBA" else (0, 0)
    half: Any = (0, 0, 0, 51) if mode == "RGBA" else (0, 51)
    image = Image.new(mode, (2, 1), color)
    image.putpixel((1, 0), half)
    assert decode(encoded(image), "a", 3).tolist() == [[[255] * 3, [204] * 3]]  # 255 · (1 - 51/255)


def test_a_transparent_color_of_a_palette_shows_white() -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert decode(encoded(image, transparency=0), "a", 3).tolist() == [[[255] * 3, [40, 50, 60]]]


@pytest.mark.parametrize(
    ("mode", "colored"), [("1", False), ("L", False), ("LA", False), ("RGB", True), ("RGBA", True)]
)
def test_whether_there_are_colors(mode: str, colored: bool) -> None:
    content = encoded(Image.fromarray(COLORS).convert(mode))
    assert is_color(content, "a") is colored
    assert size_of(content, "a") == (13, 17)


@pytest.mark.parametrize("gray", [True, False])
def test_a_palette_has_colors_where_its_entries_do(gray: bool) -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 10, 10, 40, 40, 40] if gray else [10, 20, 30, 40, 40, 40])
    assert is_color(encoded(image), "a") is not gray


@pytest.mark.parametrize(
    ("content", "expected", "found"),
    [
        (b"", "an image", "an empty file"),
        (b"name,age\n1,2\n", "an image (JPEG, PNG, WEBP, GIF, TIFF, BMP)", "text"),
        (
            b"\x7fELF\x02\x01\x01\0\0\0",
            "an image (JPEG",
            "bytes that begin with 7f 45 4c 46 02 01 01 00",
        ),
        (b"%PDF-1.7", "an image (JPEG", "text"),
    ],
)
def test_what_is_no_image_is_told_by_name(content: bytes, expected: str, found: str) -> None:
    with pytest.raises(DataError) as caught:
        decode(content, "cats/1.png", 3)
    assert caught.value.where == "cats/1.png"
    assert caught.value.expected.startswith(expected)
    assert caught.value.found == found


@pytest.mark.parametrize("form", FORMATS)
def test_a_cut_file_is_damaged(form: str) -> None:
    content = encoded(Image.fromarray(np.repeat(np.repeat(COLORS, 9, 0), 9, 1)), form)
    with pytest.raises(DataError, match=r"expected (a whole image; found a damaged one|an image)"):
        decode(content[: len(content) // 2], "a", 3)


@pytest.mark.parametrize("side", [50_000, 8_000])
def test_a_header_of_a_huge_image_is_refused_before_it_is_decoded(side: int) -> None:
    content = png_header(side, side)
    with pytest.raises(DataError, match=r"usual size|at most 50,000,000 pixels"):
        decode(content, "huge.png", 3)


def test_a_bomb_within_the_bytes_is_refused_by_its_pixels() -> None:
    content = encoded(Image.new("L", (3000, 3000)))
    assert len(content) < 20_000
    with pytest.raises(DataError, match="at most 1,000,000 pixels; found 3,000 × 3,000"):
        decode(content, "a", 1, ImageLimits(most_pixels=1_000_000))


def test_too_many_bytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(1001))
    with pytest.raises(DataError, match=r"a\.png: expected an image file of at most"):
        read(path, 3, ImageLimits(most_bytes=1000))
    with pytest.raises(DataError, match="expected an image file of at most"):
        decode(bytes(1001), "a", 3, ImageLimits(most_bytes=1000))


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(COLORS)))
    assert np.array_equal(read(path, 3), COLORS)
    with pytest.raises(
        DataError, match=r"none\.png: expected an image that can be read; found No such file"
    ):
        read(tmp_path / "none.png", 3)


def test_floating_point_images_are_refused() -> None:
    content = encoded(Image.fromarray(np.ones((3, 3), dtype=np.float32)), "TIFF")
    with pytest.raises(DataError, match="expected an image of whole numbers"):
        decode(content, "a", 1)


STARTS = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"II*\0"]


@given(st.binary(min_size=1, max_size=200), st.sampled_from(STARTS))
def test_no_bytes_raise_anything_else(content: bytes, start: bytes) -> None:
    try:
        found = decode(start + content, "a", 3)
    except DataError as error:
        assert error.where == "a"
    else:
        assert found.dtype == np.uint8 and found.shape[2] == 3


@given(*[st.integers(1, 60)] * 4)
def test_the_middle_has_the_shape_asked_for(
    has_height: int, has_width: int, height: int, width: int
) -> None:
    image = np.zeros((has_height, has_width, 1), dtype=np.uint8)
    kept = center_crop(image, height, width)
    assert kept.base is image
    assert kept.shape[0] == has_height or kept.shape[1] == has_width
    assert (
        abs(kept.shape[0] * width / height - kept.shape[1]) <= max(1.0, width / height)
        or 1 in kept.shape[:2]
    )
