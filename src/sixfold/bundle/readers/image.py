"""An image as a raw value: the bytes of a file."""

from __future__ import annotations

from typing import ClassVar, Final

from sixfold.bundle.file_values import file_cell
from sixfold.bundle.image_inputs import DESCRIPTION, ImageEncoder
from sixfold.bundle.modality_reader import Cell, Shown, described_input
from sixfold.recipe.images import ImageInput
from sixfold.recipe.section import Section

# A gray PNG of one pixel, as base64.
ONE_PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


class Settings(Section):
    """An encoded image. A text is base64, never a path: rows may come from anywhere."""

    missing: ClassVar[str | None] = None
    in_files: ClassVar[bool] = True
    shown: ClassVar[Shown] = Shown(
        hint="JPEG, PNG, WebP, GIF, TIFF or BMP",
        example=ONE_PIXEL,
        in_csv="image.png",
        schema={"type": "string", "contentEncoding": "base64"},
        remedy="Send the file's bytes. A path is for this machine's callers alone: is the file there?",
        field="file",
        accept="image/jpeg,image/png,image/webp,image/gif,image/tiff,image/bmp",
        noun="an image",
    )

    def cell(self, missing: frozenset[str]) -> Cell:
        """From bytes, base64 or a path to bytes."""
        return file_cell(self.shown.noun)

    def encoder(self, name: str, described: bytes, where: str) -> ImageEncoder:
        """By the size that the fit on training rows wrote down. Raises BundleError, also where
        Pillow is not installed.
        """
        return ImageEncoder(described_input(ImageInput, name, described, DESCRIPTION, where), where)
