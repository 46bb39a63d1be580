"""A fine-tuned speech checkpoint: its vectors in time with a linear head, as a module, as arrays and as
nodes of the graph from samples to scores of characters.
"""

# Shape letters: B recordings, L samples, S frames, V symbols.
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sixfold.build._fitted_ctc import Flattened
from sixfold.build._fitted_images import stored_weights
from sixfold.build._network_export import embedded
from sixfold.build.networks.speech_encoder import fill_biases
from sixfold.parts.draws import own_draws
from sixfold.parts.fit import OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.node_trace import ROWS
from sixfold.parts.speech_checkpoint import SpeechEmbedding, SpeechEncoderShape
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.train import threads
from sixfold.train.adapters.adapt import learns_nothing, start_adapters
from sixfold.train.network import Scheme


@dataclass(frozen=True)
class TunedSpeechShape(State):
    """`digest`: of the folder that the encoder came from; of a recording `samples`; `symbols`: blank and
    characters, V; `dropout`: before the head.
    """

    encoder: SpeechEncoderShape
    digest: str
    samples: int
    symbols: int
    dropout: float

    @property
    def frames(self) -> int:
        """Of a recording, S."""
        return self.encoder.frames(self.samples)


@dataclass(frozen=True)
class Waveform(State):
    """The samples themselves, in the place of their spectrogram."""

    def spectrograms(self, samples_BL: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return samples_BL

    def export(self, graph: Graph, samples: str) -> str:
        """The same."""
        return samples


class TunedSpeechEncoder(nn.Module):
    """Samples → the vectors of a checkpoint → dropout → a linear head. `head_stays`: it is the
    checkpoint's own, or was trained before. `blank`: where the bias of the blank of another starts, over
    those of the other symbols.
    """

    def __init__(
        self,
        shape: TunedSpeechShape,
        embedding: SpeechEmbedding,
        head: nn.Linear,
        head_stays: bool,
        blank: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape, self.head_stays, self.blank = shape, head_stays, blank
        self.embedding, self.dropout, self.head = embedding, nn.Dropout(shape.dropout), head

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """A new head is filled by `initialize`, adapters as in their paper; what the checkpoint brought
        stays.
        """
        start_adapters(self, generator)
        if not self.head_stays:
            fill_biases(self.head, self.blank, biases, generator)
        return frozenset(
            name for name, _ in self.named_parameters() if self.head_stays or name != "head.weight"
        )

    def train(self, mode: bool = True) -> Self:
        """A frozen encoder stays as it is in evaluation: without dropout."""
        super().train(mode)
        if learns_nothing(self.embedding):
            self.embedding.eval()
        return self

    def forward(self, x_BL: torch.Tensor) -> torch.Tensor:
        """float [B, L], whole numbers of 16 bits or between them → [B, S, V]."""
        return self.head(self.dropout(self.embedding(x_BL)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class FittedSpeechEncoder(State):
    """`weights`: of the whole TunedSpeechEncoder, float32."""

    shape: TunedSpeechShape
    weights: dict[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, module: nn.Module, shape: TunedSpeechShape) -> Self:
        """What a trained network holds."""
        return cls(shape, stored_weights(module))

    @property
    def output(self) -> OutputKind:
        """Scores."""
        return "value"

    @cached_property
    def _answering(self) -> TunedSpeechEncoder:
        return self.module()

    def module(self) -> TunedSpeechEncoder:
        """The network, in evaluation; a new one each time."""
        symbols, width = self.weights["head.weight"].shape
        embedding = self.shape.encoder.network()
        with own_draws():  # it fills itself, in whatever thread
            head = nn.Linear(width, symbols)
        made = TunedSpeechEncoder(self.shape, embedding, head, head_stays=True)
        made.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()}
        )
        return made.eval()

    def predict(self, samples: npt.NDArray[np.float32]) -> FloatArray:
        """[B, L] → float64 [B, S · V]: one recording after the other, as some seconds of each take some
        hundred megabytes, on one thread, whose sums are the same on any machine's number of cores.
        """
        found = np.zeros((len(samples), self.shape.frames * self.shape.symbols))
        with threads.busy(0), torch.no_grad():
            for row, one in enumerate(samples):
                scores = self._answering(torch.from_numpy(one[None])).to(torch.float64)
                found[row] = scores.reshape(-1).numpy()
        return found

    def export(self, graph: Graph, samples: str) -> str:
        """The same as nodes; `samples` is float [rows, L]; double [rows, S · V]."""
        example = torch.zeros(ROWS, self.shape.samples)
        scores = embedded(Flattened(self.module()), graph, samples, example)
        return graph.cast(scores, TensorProto.DOUBLE)
