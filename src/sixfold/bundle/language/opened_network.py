"""The network of a GGUF file for what the engine does not give, which generates and so gives tokens alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
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


class OpenedNetwork:
    """Opened when it is first asked. `model`: what is made of the network. Calls may come from several threads at
    once; one text is read after the other.
    """

    def __init__(
        self, path: Path, header: GgufHeader, model: Callable[[NetworkGraph], openvino.Model]
    ) -> None:
        self._path, self._header, self._model = path, header, model
        self._request: Any = None
        self._graph: NetworkGraph | None = None  # the weights, as long as they are read
        self._lock = threading.Lock()

    def read(self, ids: Sequence[int]) -> Single:
        """What the model gives for the tokens of a text."""
        given = np.array([ids], dtype=np.int64)
        with self._lock:
            if self._request is None:
                self._graph = NetworkGraph(self._path, self._header)
                compiled = openvino.Core().compile_model(self._model(self._graph), "CPU", EXACT)
                self._request = compiled.create_infer_request()
            places = np.arange(given.shape[1], dtype=np.int64)[None]
            found = self._request.infer({"input_ids": given, "position_ids": places})
            return np.array(found[0])
