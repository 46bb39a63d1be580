"""A trained recognizer of speech: a state of arrays, and nodes of the graph from samples to scores of
characters.
"""

# Shape letters: B recordings, M bands, T frames of a spectrogram, S frames of the network, V symbols.
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sixfold.build._fitted_audio import MelRows, SoundFront
from sixfold.build._network_export import embedded
from sixfold.build.networks.speech_encoder import SpeechEncoder, SpeechShape
from sixfold.bundle.transcription.decoder import TranscriptDecoder
from sixfold.bundle.transcription.paths import Scores
from sixfold.parts.draws import own_draws
from sixfold.parts.fit import Matrix, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.parts.transcripts import code_points
from sixfold.recipe.ctc_decoder import CtcDecoder
from sixfold.train import threads

AT_ONCE: Final = 16  # recordings whose scores are made at once


@dataclass(frozen=True)
class SpeechNetwork(State):
    """A trained SpeechEncoder: `weights` are all that it holds, float32."""

    shape: SpeechShape
    weights: dict[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, module: SpeechEncoder) -> Self:
        """What a trained module holds."""
        weights = {
            name: value.detach().contiguous().to(torch.float32).numpy().copy()
            for name, value in module.state_dict().items()
        }
        return cls(module.shape, weights)

    @property
    def output(self) -> OutputKind:
        """Scores."""
        return "value"

    @cached_property
    def _answering(self) -> SpeechEncoder:
        return self.module()

    def module(self) -> SpeechEncoder:
        """The trained network, in evaluation; a new one each time."""
        with own_draws():  # layers fill themselves, in whatever thread
            module = SpeechEncoder(self.shape)
        module.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()}
        )
        return module.eval()

    def predict(self, spectrograms: npt.NDArray[np.float32]) -> FloatArray:
        """[B, M, T] → float64 [B, S · V], on one thread, whose sums are the same on any machine's number of
        cores.
        """
        with threads.busy(0), torch.no_grad():
            found = self._answering(torch.from_numpy(spectrograms)).to(torch.float64)
        return np.asarray(found.reshape(len(spectrograms), -1).numpy())

    def export(self, graph: Graph, spectrograms: str) -> str:
        """The same as nodes; `spectrograms` is float [rows, M, T]; double [rows, S · V]."""
        shape = self.shape
        example = torch.linspace(-1, 1, 2 * shape.bands * shape.frames)
        example = example.reshape(2, shape.bands, shape.frames)
        scores = embedded(Flattened(self.module()), graph, spectrograms, example)
        return graph.cast(scores, TensorProto.DOUBLE)


class Flattened(nn.Module):
    """The scores of all frames of a recording as one row."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, …] → [B, S · V]"""
        return self.network(x).flatten(1)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class CtcNetwork(State):
    """`mel` makes spectrograms, which `network` takes (a SpeechNetwork, or its graph in int8), or stands
    for the samples themselves (Waveform), which a checkpoint takes; `decoder` makes texts of what it gives.
    """

    mel: SoundFront
    network: Any
    decoder: CtcDecoder

    @property
    def output(self) -> OutputKind:
        """Code points."""
        return "value"

    @cached_property
    def _texts(self) -> TranscriptDecoder:
        return TranscriptDecoder(self.decoder)

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, samples], whole numbers of 16 bits → float64 [rows, characters] code points, 0 behind a
        text's end.
        """
        texts = [self._texts.text(logs) for logs in self._logs(x)]
        return code_points(texts, self.decoder.longest).astype(np.float64)

    def margins(self, x: Matrix) -> FloatArray:
        """[rows] as in `parts.fit.Decodes`."""
        return np.array([self._texts.margin(logs) for logs in self._logs(x)])

    def export(self, graph: Graph, x: str) -> str:
        """Double [rows, S · V], as the decoder takes them."""
        samples = graph.cast(x, TensorProto.FLOAT)
        return str(self.network.export(graph, self.mel.export(graph, samples)))

    def _logs(self, x: Matrix) -> Iterator[Scores]:
        for spectrograms in spectrograms_of(x, self.mel):
            yield from map(self._texts.logs, self.network.predict(spectrograms))


def spectrograms_of(x: Matrix, mel: SoundFront) -> Iterator[npt.NDArray[np.float32]]:
    """Some rows after the others, float32 [B, M, T], or [B, samples]."""
    rows = MelRows(x, mel)
    for start in range(0, len(rows), AT_ONCE):
        yield np.ascontiguousarray(rows[start : start + AT_ONCE][..., 0])
