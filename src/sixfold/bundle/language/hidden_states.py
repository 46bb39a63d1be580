"""The last hidden states of a language model, of which embeddings are the mean: its network without what makes scores of tokens
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sixfold.bundle.gguf_header import GgufHeader
from sixfold.bundle.language.network_graph import NetworkGraph
from sixfold.bundle.language.opened_network import OpenedNetwork, Single


class HiddenStates:
    """Of one file."""

    def __init__(self, path: Path, header: GgufHeader) -> None:
        self._header = header
        self._network = OpenedNetwork(path, header, NetworkGraph.encoder)

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
        return np.asarray(self._network.read(ids)[0])
