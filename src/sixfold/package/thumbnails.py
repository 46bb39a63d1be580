"""Images of the report as data URIs, which are small."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence

from PIL import Image, features

from sixfold.bundle.images import Pixels, center_crop, decode, is_color
from sixfold.package.data_uris import DataUris, shown_files
from sixfold.parts.table import Table
from sixfold.recipe.report import ExampleList, Explained

SIDE = 96  # pixels of the longer side, at most
SMALL = 72  # pixels as wide as a page shows it: smaller images are enlarged to about that, so that pixels stay sharp
QUALITY = 75  # of WebP


def thumbnails(table: Table, lists: Iterable[ExampleList]) -> DataUris:
    """Of the images that the lists show, as many as a page can bear."""
    return shown_files(table, lists, "image", thumbnail)


def of_stored(rows: Sequence[Mapping[str, str]], explained: Explained | None) -> DataUris:
    """Of the images among stored rows (as base64) that the report explains, by row and column: the
    part that the model sees.
    """
    found = {}
    for row in () if explained is None else explained.examples:
        for each in row.pieces:
            if each.kind == "image":
                content = base64.b64decode(rows[row.row][each.column])
                pixels = decode(content, each.column, 3 if is_color(content, each.column) else 1)
                middle = center_crop(pixels, each.height, each.width)
                found[row.row, each.column] = _data_uri(middle)
    return found


def thumbnail(content: bytes, name: str) -> str:
    """The data URI of an image, as PNG or WebP, whichever is smaller. Raises DataError for what is
    no image.
    """
    return _data_uri(decode(content, name, 3 if is_color(content, name) else 1))


def _data_uri(pixels: Pixels) -> str:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None)
    if (times := SMALL // max(image.size)) > 1:
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    written = {"png": _written(image, "PNG", optimize=True)}
    if features.check("webp"):
        written["webp"] = _written(image, "WEBP", quality=QUALITY, method=6)
    kind = min(written, key=lambda one: len(written[one]))
    return f"data:image/{kind};base64,{base64.b64encode(written[kind]).decode()}"


def _written(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()
