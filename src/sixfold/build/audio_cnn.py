"""A small residual network over the log-mel spectrograms of recordings."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import nn

from sixfold.build._classes import present
from sixfold.build._fitted_audio import AudioNetwork, MelRows, recordings_of, scaling_of
from sixfold.build._fitted_images import FittedImages, ImageSize, ScaledImages
from sixfold.build._residual_network import (
    SIZES,
    ImageResidualNetwork,
    NetworkShape,
    NetworkSize,
)
from sixfold.build.cnn import DEFAULTS
from sixfold.build.family import TrainDefaults
from sixfold.build.module_family import ModuleFamily
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.log_mel import LogMel
from sixfold.parts.table import Task
from sixfold.train.module import ExampleReader
from sixfold.train.sound_augment import SoundAugment
from sixfold.train.sound_examples import SoundExamples

SMALL_ROWS: Final = 20_000  # from which on a wider network is chosen; guessed, as of images
MEDIUM_ROWS: Final = 200_000
BATCH: Final = 16  # of 16, 32, 64 the best for 1,200 recordings, above all of unheard speakers


class Settings(SoundAugment, ModuleFamily):
    """A convolutional network with residual blocks over log-mel spectrograms, for a column of
    recordings alone, trained from scratch on augmented recordings. See `train` for how; what is
    left out there is as for cnn. The spectrogram is part of the bundle's graph, which takes samples.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"samples"})
    needs: ClassVar[Needs] = Needs(precision="float32", stored=True, audio="samples")

    size: Literal["auto", "nano", "small", "medium", "large"] = Field(
        "auto", description="Width and depth; auto: by the number of rows."
    )
    bands: int = Field(40, ge=8, le=128, description="Mel bands of the spectrogram.")
    center: bool = Field(
        True,
        description="Neither how loud a recording is counts nor how its microphone colors it.",
    )

    @property
    def train_defaults(self) -> TrainDefaults:
        """Those of cnn, in smaller batches."""
        why = f"{DEFAULTS.why}; small batches, as recordings are few: more steps in as many epochs"
        return TrainDefaults({**DEFAULTS.options, "batch_size": BATCH}, why)

    def derived(self, fit: Fit) -> str:
        """The size that was chosen and why, the spectrogram, and how recordings are augmented."""
        mel = self.mel(fit)
        size, why = self.sized(fit.rows)
        return (
            f"audio_cnn: size {size}{why}; log-mel spectrograms of {mel.bands} bands and {mel.frames} frames, "
            f"{1000 * mel.window / mel.rate:g} ms each, every {1000 * mel.hop / mel.rate:g} ms. {self.describe()}"
        )

    def sized(self, rows: int) -> tuple[NetworkSize, str]:
        """The size for so many rows, and why where it was chosen."""
        if self.size != "auto":
            return self.size, ""
        why = f", for {rows:,} recordings"
        if rows < SMALL_ROWS:
            return "nano", why
        return ("small" if rows < MEDIUM_ROWS else "medium"), why

    def mel(self, fit: Fit) -> LogMel:
        """The spectrogram of the fit's recordings. Raises FitError for other features than the
        samples of one column.
        """
        remedy = (
            "Drop the other columns (data.drop), or use boosting, which takes statistics of "
            "recordings beside other columns."
        )
        group = recordings_of(fit, "audio_cnn", remedy)
        return LogMel.of(group.rate, group.stop - group.start, self.bands, self.center)

    def module(self, fit: Fit) -> nn.Module:
        """The network of this size with the scaling of the fit's spectrograms."""
        mel = self.mel(fit)
        present(fit, "audio_cnn")
        widths, blocks = SIZES[self.sized(fit.rows)[0]]
        structure = NetworkShape(1, fit.outputs, widths, blocks, stem_stride=2)
        return ScaledImages(ImageResidualNetwork(structure), scaling_of(MelRows(fit.x, mel)))

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state, as wide as that is."""
        if not isinstance(fitted, AudioNetwork):
            raise TypeError(f"{type(fitted).__name__} is no AudioNetwork")
        return ScaledImages(fitted.network.module(), fitted.network.scaling)

    def examples(self, fit: Fit) -> ExampleReader:
        """Recordings by batches, augmented, as spectrograms."""
        y = torch.from_numpy(np.array(fit.y, dtype=np.int64))
        return SoundExamples(fit.x, y, self.mel(fit), self)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays."""
        if not (
            isinstance(module, ScaledImages) and isinstance(module.network, ImageResidualNetwork)
        ):
            raise TypeError(f"{type(module).__name__} is no ScaledImages")
        mel = self.mel(fit)
        side = ImageSize(mel.bands, mel.frames)
        network = FittedImages.of(module.network, module.network.shape, side, module.scaling)
        return AudioNetwork(mel, network)

    def of_rows(self, fit: Fit, rows: int) -> Self:
        """Of the size that so many rows get."""
        return self.model_copy(update={"size": self.sized(rows)[0]})
