"""Approximate neighbors of many items: those whose vectors have the largest product with a user's.

usearch keeps a graph over the vectors and walks it by the product itself (Malkov and Yashunin, Efficient and robust
approximate nearest neighbor search using hierarchical navigable small world graphs, 2018; Morozov and Babenko, Non-metric
similarity graphs for maximum inner product search, 2018). It is made of the bundle's vectors when it is loaded: a graph from a
stranger's file is not read.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.recommend.histories import Float32
from sixfold.core.errors import SystemFault

Codes = npt.NDArray[np.int64]
LIBRARY: Final = "usearch"
FROM: Final = 100_000  # items, from which on it is used
CONNECTIVITY: Final = 16  # neighbors of an item in the graph: the library's own default
EXPANSION: Final = 256  # items that are looked at when one is put in, and when one is searched
SPARE: Final = 32  # items more than are wanted: the order of the nearest is exact


def is_installed() -> bool:
    """Whether there is the library that keeps the graph."""
    return importlib.util.find_spec(LIBRARY) is not None


class ItemIndex:
    """Over `vectors`, float32 [items, width]. Calls may come from several threads at once."""

    def __init__(self, vectors: Float32) -> None:
        whole = np.ascontiguousarray(vectors, dtype=np.float32)
        self.vectors, self._lock = whole, threading.Lock()
        self._index = _library().Index(
            ndim=whole.shape[1],
            metric="ip",
            dtype="f32",
            connectivity=CONNECTIVITY,
            expansion_add=EXPANSION,
            expansion_search=EXPANSION,
        )
        self._index.add(np.arange(len(whole), dtype=np.uint64), whole)

    def nearest(self, query: Float32, count: int) -> Codes:
        """Codes of about the `count` items with the largest products with `query` [width], in no order; fewer where there
        are fewer.
        """
        wanted = min(count + SPARE, len(self.vectors))
        with self._lock:
            found = self._index.search(np.ascontiguousarray(query, dtype=np.float32), wanted)
        return np.asarray(found.keys, dtype=np.int64)


def _library() -> Any:
    try:
        return importlib.import_module(f"{LIBRARY}.index")
    except ImportError:
        raise SystemFault(
            "serve.neighbors: approximate",
            f"the library {LIBRARY}",
            "none",
            'pip install "sixfold[recommend]", or set serve.neighbors to exact.',
        ) from None
