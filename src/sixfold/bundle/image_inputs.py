"""Images at serving: from the bytes of a file to the pixels that the graph takes, through the
resizing that training used.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.file_values import refused_rows
from sixfold.bundle.graph import CheckedModel, answering
from sixfold.bundle.pieces import ImagePieces
from sixfold.core.errors import BundleError
from sixfold.core.json_limits import JsonLimits
from sixfold.recipe.images import ImageInput

DESCRIPTION: Final = JsonLimits(1 << 17, values=64)  # of what one input is described by
AGAIN: Final = "Copy the bundle again from where it was made."
LARGE_PIXELS: Final = 4_000_000  # of an image; larger ones are decoded one at a time, as each takes up to seven bytes a pixel
_one_large: Final = threading.Lock()


class ImageEncoder:
    """The features of one input of the graph. Calls may come from several threads at once. Raises
    BundleError for a resizing that Sixfold does not write.
    """

    def __init__(self, described: ImageInput, where: str = "model.onnx") -> None:
        self.described, self._where = described, f"{where}, {described.name}"
        self.column, self.cells = described.column, described.cells
        self._images = _reader(where)
        try:
            graph = base64.b64decode(described.resize, validate=True)
        except (binascii.Error, ValueError):
            raise BundleError(self._where, "a graph as base64", "other text", AGAIN) from None
        self._session = CheckedModel.of(graph, self._where).session(self._where)
        found = [(node.name, node.type, list(node.shape)) for node in self._session.get_outputs()]
        wanted = [
            ("resized", "tensor(uint8)", [described.height, described.width, described.channels])
        ]
        taken = [node.name for node in self._session.get_inputs()]
        if found != wanted or taken != ["image"]:
            raise BundleError(
                self._where, f"a graph from 'image' to {wanted}", f"{taken} to {found}"[:300], AGAIN
            )

    def encode(self, images: Sequence[bytes], first_row: int = 1) -> npt.NDArray[np.float64]:
        """Encoded images → [rows, cells]. Raises RowError; rows are counted from `first_row`."""
        found = np.empty((len(images), self.cells))
        for row, content in enumerate(images):
            found[row] = self._pixels(
                content, f"row {first_row + row}, column '{self.described.column}'"
            ).reshape(-1)
        return found

    encode_in_place = encode

    def pieces(self, content: bytes, features: npt.NDArray[np.float64], most: int) -> ImagePieces:
        """Patches of what the model sees."""
        shape = self.described.height, self.described.width, self.described.channels
        return ImagePieces.of(features.reshape(shape), most)

    def describe(self) -> str:
        """What every image becomes."""
        return self.described.describe()

    def decoded_values(self, images: Sequence[bytes], first_row: int = 1) -> int:
        """Of all of them together, by their headers alone. Raises RowError for what is no image."""
        found = 0
        for row, content in enumerate(images, start=first_row):
            height, width = self._size(content, f"row {row}, column '{self.described.column}'")
            found += height * width
        return found

    def _size(self, content: bytes, name: str) -> tuple[int, int]:
        with refused_rows():
            size: tuple[int, int] = self._images.size_of(content, name)
            return size

    def _pixels(self, content: bytes, name: str) -> npt.NDArray[np.uint8]:
        height, width = self._size(content, name)
        with _one_large if height * width > LARGE_PIXELS else nullcontext():
            middle = self._middle(content, name)
        with answering(self._where):
            found: npt.NDArray[np.uint8] = self._session.run(None, {"image": middle})[0]
        return found

    def _middle(self, content: bytes, name: str) -> npt.NDArray[np.uint8]:
        with refused_rows():
            pixels = self._images.decode(content, name, self.described.channels)
            shape = self.described.height, self.described.width
            return np.ascontiguousarray(self._images.center_crop(pixels, *shape))


def _reader(where: str) -> Any:
    """What decodes images. It takes Pillow, which a model without images does not. Raises
    BundleError where that is not there.
    """
    try:
        return importlib.import_module("sixfold.bundle.images")
    except ImportError:
        raise BundleError(
            where, "Pillow, as the model takes images", "none", 'pip install "sixfold[image]"'
        ) from None
