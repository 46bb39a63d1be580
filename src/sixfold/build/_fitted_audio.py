"""A trained network over the log-mel spectrograms of recordings: a state of arrays, and nodes of
the graph from samples to answers.
"""

# Letters: B rows of a batch, M bands, T frames, O outputs.
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from sixfold.build._fitted_images import FittedImages
from sixfold.core.errors import FitError
from sixfold.parts.fit import FeatureGroup, Fit, Matrix, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.log_mel import LogMel
from sixfold.parts.pixel_scaling import PixelScaling
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.train import threads

READ: Final = 64  # recordings whose spectrograms are made at once
LEAST_DEVIATION: Final = (
    1e-3  # of logarithms: recordings that are all alike are not divided by nothing
)


class SoundFront(Protocol):
    """What a network is given of recordings: spectrograms, or the samples themselves."""

    def spectrograms(self, samples_BL: torch.Tensor) -> torch.Tensor:
        """float32 [B, samples], whole numbers of 16 bits → float32 [B, …]."""

    def export(self, graph: Graph, samples: str) -> str:
        """The same as nodes."""


@dataclass(frozen=True)
class MelRows:
    """Rows of samples [rows, samples], in memory or read when asked for, as spectrograms."""

    x: Any
    mel: SoundFront

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.float32]:
        """float32 [B, M, T, 1], as an image of one channel. On one thread, whose sums are the same
        on any machine's number of cores.
        """
        samples = torch.from_numpy(np.asarray(self.x[rows]).astype(np.float32))
        with threads.busy(0), torch.no_grad():
            return self.mel.spectrograms(samples)[..., None].numpy()

    def batches(self) -> Iterator[npt.NDArray[np.float32]]:
        """All of them, in order."""
        for start in range(0, len(self.x), READ):
            yield self[start : start + READ]


def recordings_of(fit: Fit, family: str, remedy: str) -> FeatureGroup:
    """The samples of the one column of recordings. Raises FitError where there are other features."""
    group = fit.layout[0] if len(fit.layout) == 1 else None
    if group is None or not group.rate:
        raise FitError(
            f"build, {family}",
            "one column of recordings and no other",
            f"{fit.x.shape[1]:,} features of other kinds, or made from its samples",
            remedy,
        )
    return group


def samples_at(rate: int, fit: Fit, family: str) -> int:
    """Of each recording, of one column of recordings alone. Raises FitError for other features, and for
    another rate than that of the family's checkpoint, in Hz.
    """
    group = recordings_of(fit, family, "Drop the other columns: data.drop.")
    if group.rate != rate:
        raise FitError(
            f"build, {family}",
            f"recordings at {rate:,} Hz, which the checkpoint was trained on",
            f"{group.rate:,} Hz",
            "Leave rate out of prepare.features.audio: recordings are resampled.",
        )
    return group.stop - group.start


def scaling_of(rows: MelRows) -> PixelScaling:
    """Mean and standard deviation of the values of all training spectrograms, in double, in their
    order.
    """
    count, total, squares = 0, 0.0, 0.0
    for some in rows.batches():
        values = some.astype(np.float64)
        count += values.size
        total, squares = total + float(values.sum()), squares + float((values**2).sum())
    mean = total / count
    deviation = max(LEAST_DEVIATION, max(0.0, squares / count - mean**2) ** 0.5)
    return PixelScaling(np.array([mean], np.float32), np.array([deviation], np.float32))


@dataclass(frozen=True)
class AudioNetwork(State):
    """A fitted network: `mel` makes spectrograms, [M, T], which `network` takes as images of one
    channel.
    """

    mel: LogMel
    network: FittedImages

    @property
    def output(self) -> OutputKind:
        """As of the network."""
        return self.network.output

    @property
    def channels(self) -> int:
        """Of a spectrogram as an image."""
        return 1

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, samples], whole numbers of 16 bits → float64 [rows, outputs]."""
        return self.network.predict(MelRows(x, self.mel))  # type: ignore[arg-type]

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes of the graph."""
        return self.network.export(graph, spectrogram_nodes(self.mel, graph, x))


def spectrogram_nodes(mel: LogMel, graph: Graph, x: str) -> str:
    """[rows, samples] → float [rows, M, T, 1]."""
    values = mel.export(graph, graph.cast(x, TensorProto.FLOAT))
    return graph.op("Unsqueeze", values, graph.constant([3], np.int64))
