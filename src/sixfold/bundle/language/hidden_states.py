"""The last hidden states of a language model, of which embeddings are the mean. The engine that generates gives tokens
alone, so the same graph is opened a second time, without what makes scores of tokens of them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import openvino

from sixfold.bundle.gguf_header import GgufHeader
from sixfold.bundle.language.network_graph import NetworkGraph

Single = npt.NDArray[np.float32]
# What the processor has by default may be less.
EXACT: Final = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


class HiddenStates:
    """Opened when it is first asked. Calls may come from several threads at once; one text is read after
    the other.
    """

    def __init__(self, path: Path, header: GgufHeader) -> None:
        self._path, self._header = path, header
        self._request: Any = None
        self._graph: NetworkGraph | None = None
        self._lock = threading.Lock()

    @property
    def width(self) -> int:
        """Numbers of a hidden state."""
        return self._header.number("embedding_length")

    def mean(self, ids: Sequence[int]) -> Single:
        """[D] the mean over the tokens of a text, of length 1."""
        found = self.last(ids).mean(axis=0)
        return np.asarray(found / max(float(np.linalg.norm(found)), 1e-12), dtype=np.float32)

    def last(self, ids: Sequence[int]) -> Single:
        """[T, D] after the last norm."""
        given = np.array([ids], dtype=np.int64)
        with self._lock:
            if self._request is None:
                self._graph = NetworkGraph(self._path, self._header)
                compiled = openvino.Core().compile_model(self._graph.encoder(), "CPU", EXACT)
                self._request = compiled.create_infer_request()
            places = np.arange(given.shape[1], dtype=np.int64)[None]
            found = self._request.infer({"input_ids": given, "position_ids": places})
            return np.array(found[0][0])
