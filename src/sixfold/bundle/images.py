"""Bytes of an image file to pixels, the same for training and serving. What is too large is refused
from its header alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from sixfold.bundle.file_values import seeming
from sixfold.core.errors import DataError
from sixfold.core.units import show_bytes

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
ENDINGS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"})
BACKGROUND: Final = (255, 255, 255)  # what shows through where an image is transparent
ANOTHER_FORMAT: Final = "Save it again as PNG or JPEG, or remove it."
Pixels = npt.NDArray[np.uint8]
Channels = Literal[1, 3]


@dataclass(frozen=True)
class ImageLimits:
    """What may be decoded: bytes of the file, and pixels of its header (a pixel takes up to four
    bytes while it is decoded).
    """

    most_bytes: int = 64 << 20
    most_pixels: int = 50_000_000


LIMITS: Final = ImageLimits()


def read(path: Path, channels: Channels, limits: ImageLimits = LIMITS) -> Pixels:
    """The pixels of a file, uint8 [height, width, channels]. Raises DataError with the file's name,
    SystemFault never.
    """
    try:
        size = path.stat().st_size
        if size > limits.most_bytes:
            raise _too_many_bytes(str(path), size, limits)
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            str(path), "an image that can be read", reason, "Check the path and its permissions."
        ) from None
    return decode(content, str(path), channels, limits)


def decode(content: bytes, name: str, channels: Channels, limits: ImageLimits = LIMITS) -> Pixels:
    """The pixels of an encoded image, uint8 [height, width, channels], upright (EXIF), of a GIF the
    first frame.

    Color becomes gray by ITU-R 601, gray becomes three equal channels; 16 bits become 8 by
    rounding; transparency shows white. `name` stands in messages. Raises DataError for what is no
    image, damaged, or larger than `limits`.
    """
    _check_not_empty(content, name)
    if len(content) > limits.most_bytes:
        raise _too_many_bytes(name, len(content), limits)
    with _refused(name), _opened(content, name) as image:
        _check_size(image, name, limits)
        return _pixels(image, name, channels)


def size_of(content: bytes, name: str) -> tuple[int, int]:
    """Height and width by the header, as stored (before EXIF turns it). Raises DataError for what
    is no image.
    """
    _check_not_empty(content, name)
    with _refused(name), _opened(content, name) as image:
        return image.height, image.width


def is_color(content: bytes, name: str) -> bool:
    """Whether the header says that an image has colors. Raises DataError for what is no image."""
    with _refused(name), _opened(content, name) as image:
        if image.mode == "P":
            palette = np.asarray(image.getpalette() or (), dtype=np.int64).reshape(-1, 3)
            return bool((palette != palette[:, :1]).any())
        return image.mode not in ("1", "L", "LA", "La") and not image.mode.startswith(("I", "F"))


def center_crop(image: Pixels, height: int, width: int) -> Pixels:
    """The largest middle part, a view, whose sides are as `height` to `width`: what is resized
    next, so that a picture of 1 × 50,000,000 pixels costs nothing.
    """
    has_height, has_width = image.shape[:2]
    kept_height = min(has_height, max(1, round(has_width * height / width)))
    kept_width = min(has_width, max(1, round(has_height * width / height)))
    top, left = (has_height - kept_height) // 2, (has_width - kept_width) // 2
    return image[top : top + kept_height, left : left + kept_width]


def _check_not_empty(content: bytes, name: str) -> None:
    if not content:
        raise DataError(name, "an image", "an empty file", "Remove it, or export it again.")


def _too_many_bytes(name: str, size: int, limits: ImageLimits) -> DataError:
    allowed = f"an image file of at most {show_bytes(limits.most_bytes)}"
    return DataError(name, allowed, show_bytes(size), "Make the image smaller.")


def _check_size(image: Image.Image, name: str, limits: ImageLimits) -> None:
    """By the header: nothing is decoded yet. Raises DataError."""
    if image.width * image.height > limits.most_pixels:
        allowed = f"an image of at most {limits.most_pixels:,} pixels"
        raise DataError(
            name, allowed, f"{image.width:,} × {image.height:,}", "Make the image smaller."
        )


@contextmanager
def _opened(content: bytes, name: str) -> Iterator[Image.Image]:
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise DataError(name, f"an image ({known})", seeming(content), ANOTHER_FORMAT) from None
    with image:
        yield image


@contextmanager
def _refused(name: str) -> Iterator[None]:
    """Inside, what Pillow raises is a DataError. Its decoders raise a dozen classes for damaged
    files, IndexError among them.
    """
    try:
        yield
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            name, "an image of a usual size", str(error)[:200], "Make the image smaller."
        ) from None
    except Exception as error:
        reason = f"a damaged one ({type(error).__name__}: {str(error)[:120]})"
        raise DataError(name, "a whole image", reason, "Export it again, or remove it.") from None


def _pixels(image: Image.Image, name: str, channels: Channels) -> Pixels:
    """Decode, turn upright, and bring to one byte a channel."""
    if image.mode.startswith("F"):
        raise DataError(
            name, "an image of whole numbers", "one of floating-point numbers", ANOTHER_FORMAT
        )
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        return _of_16_bits(np.asarray(upright), channels)
    if "transparency" in upright.info or upright.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        upright = _on_background(upright)
    return _stacked(np.asarray(upright.convert("L" if channels == 1 else "RGB")), channels)


def _on_background(image: Image.Image) -> Image.Image:
    """What is transparent shows BACKGROUND."""
    above = image.convert("RGBA")
    below = Image.new("RGBA", above.size, (*BACKGROUND, 255))
    return Image.alpha_composite(below, above).convert("RGB")


def _of_16_bits(values: npt.NDArray[Any], channels: Channels) -> Pixels:
    """65535 becomes 255: a byte is 257 steps of 16 bits."""
    clipped = np.clip(values.astype(np.int64), 0, 65535)
    return _stacked(((clipped + 128) // 257).astype(np.uint8), channels)


def _stacked(pixels: npt.NDArray[np.uint8], channels: Channels) -> Pixels:
    """[height, width] gets as many equal channels as are asked for."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], channels, axis=2)
    return np.ascontiguousarray(pixels)
