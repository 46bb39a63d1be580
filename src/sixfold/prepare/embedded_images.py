"""A column of images as the embeddings of a local checkpoint: one fitted state, beside the blocks
of other columns.

Shape letters: B images, S pixels a side, D width of an embedding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from sixfold.core.cores import cores
from sixfold.core.errors import DataError
from sixfold.parts import image_checkpoint, image_column
from sixfold.parts.fit import FeatureGroup
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_checkpoint import ImageCheckpoint, Preparation
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import ImageCache
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, Table
from sixfold.prepare.image_block import image_input

AT_ONCE: Final = (
    4  # images embedded in one piece, always so many: an image's numbers depend on no other image
)
READ: Final = 64  # images whose pixels are held at once
CACHE_BYTES: Final = (
    256 << 20
)  # of embeddings that are kept for other folds and candidates; guessed
CHANGED: Final = "Put the old files back, or run the recipe again in a new folder."
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddedImages(State):
    """A checkpoint by its folder and what that held (`digest`, SHA-256): its weights are read from
    there, and stand in no fold's state. `side`: pixels of an image; `width`: numbers an image.
    """

    columns: tuple[str, ...]
    folder: str
    digest: str
    side: int
    width: int

    @property
    def shape(self) -> ImageShape:
        """What every image becomes before it is embedded."""
        return ImageShape(self.side, self.side, 3)

    @property
    def steps(self) -> tuple[Any, ...]:
        """As of a `Block`."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """`scan embedding 17`."""
        return tuple(f"{self.columns[0]} embedding {at}" for at in range(self.width))

    @property
    def sources(self) -> tuple[str, ...]:
        """The column."""
        return self.columns * self.width

    @property
    def levels(self) -> tuple[int, ...]:
        """All are numbers."""
        return (0,) * self.width

    def group(self, start: int) -> FeatureGroup:
        """What its features are, the first of which is feature `start`."""
        return FeatureGroup("numbers", self.columns, start, start + self.width)

    def reader(self, table: Table) -> Callable[[slice], FloatArray]:
        """Gives the embeddings of some rows, float64 [rows, width]. Raises DataError where the
        folder has changed.
        """
        pixels = image_column.resized(table.columns[self.columns[0]], self.shape)
        embedder = _embedder(self.folder, self.digest)
        return lambda rows: embedder.embedded(pixels.take(np.arange(len(pixels))[rows])).astype(
            np.float64
        )

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The checkpoint's nodes behind the front end's pixels of the column, double."""
        found = _unchanged(self.folder, self.digest)
        pixels = graph.cast(
            inputs.encoded("image", image_input(self.columns[0], self.shape)), TensorProto.FLOAT
        )
        images = graph.op(
            "Reshape", pixels, graph.constant([-1, self.side, self.side, 3], np.int64)
        )
        nodes = image_checkpoint.embedding_nodes(
            found.module, found.shape.preparation, graph, images
        )
        return graph.cast(nodes, TensorProto.DOUBLE)


def fit_embedded(name: str, folder: Path) -> EmbeddedImages:
    """Reads the folder, and no image. Raises DataError for a folder that is no such checkpoint."""
    folder = folder.resolve()
    embedder = _embedder(str(folder), image_checkpoint.digest(folder))
    return EmbeddedImages(
        (name,), str(folder), embedder.digest, embedder.preparation.side, embedder.width
    )


def _unchanged(folder: str, digest: str) -> ImageCheckpoint:
    """Raises DataError where the folder holds something else than it did."""
    found = image_checkpoint.digest(Path(folder))
    if found != digest:
        raise DataError(
            folder, f"the checkpoint {digest[:12]}…", f"another one, {found[:12]}…", CHANGED
        )
    return image_checkpoint.read_image_checkpoint(Path(folder))


@cache
def _embedder(folder: str, digest: str) -> ImageEmbedder:
    return ImageEmbedder(_unchanged(folder, digest))


class ImageEmbedder:
    """A checkpoint in memory, once a process, and the embeddings of images that it has met: equal
    files are computed once.
    """

    def __init__(self, found: ImageCheckpoint) -> None:
        self.preparation: Preparation = found.shape.preparation
        self.width, self.digest = found.width, found.digest
        graph, side = Graph(), self.preparation.side
        images = graph.input_of("images", TensorProto.UINT8, ["rows", side, side, 3])
        nodes = image_checkpoint.embedding_nodes(found.module, self.preparation, graph, images)
        graph.output("embedding", nodes, TensorProto.FLOAT, ["rows", self.width])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            packed(graph.model()), options, providers=["CPUExecutionProvider"]
        )
        self._lock = threading.Lock()
        self._known: dict[bytes, Vectors] = {}

    def embedded(self, images: ImageCache) -> Vectors:
        """[rows, width] of a view of stored images, whose pixels are read a few at a time."""
        keys = [images.digests[place] for place in images.rows]
        with self._lock:
            first = {
                key: row for row, key in enumerate(keys) if key not in self._known
            }  # a row of each
            fresh: dict[bytes, Vectors] = {}
            for some in _parts(list(first), READ):
                pixels = images.images(np.array([first[key] for key in some]))
                fresh |= zip(some, self._computed(pixels), strict=True)
            found = np.zeros((len(keys), self.width), dtype=np.float32)
            for row, key in enumerate(keys):
                found[row] = fresh[key] if key in fresh else self._known[key]
            if (len(self._known) + len(fresh)) * self.width * 4 > CACHE_BYTES:
                self._known.clear()
            self._known.update(fresh)
        return found

    def _computed(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        """uint8 [B, S, S, 3] → [B, D], on all cores."""

        def run(some: npt.NDArray[np.uint8]) -> Vectors:
            images = np.zeros((AT_ONCE, *pixels.shape[1:]), dtype=np.uint8)
            images[: len(some)] = some
            found: Vectors = self._session.run(None, {"images": images})[0]
            return found[: len(some)]

        with ThreadPoolExecutor(cores()) as pool:
            return np.concatenate(list(pool.map(run, _parts(pixels, AT_ONCE))))


def _parts(values: Any, size: int) -> Iterator[Any]:
    """Of a list or an array, in order."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
