"""Recognition of speech: a network over spectrograms that learns where characters, or pieces of words, are,
by CTC.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field
from torch import nn

from sixfold.build._ctc_family import CtcFamily, alphabet_of, blank_start, numbered
from sixfold.build._fitted_audio import MelRows, recordings_of, scaling_of
from sixfold.build._fitted_ctc import CtcNetwork, SpeechNetwork
from sixfold.build._subwords import divided, learned, spelled_out
from sixfold.build.family import TrainDefaults
from sixfold.build.networks.speech_encoder import SpeechEncoder, SpeechShape
from sixfold.bundle.transcription import paths
from sixfold.core.units import counted
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.log_mel import LogMel
from sixfold.parts.table import IntArray, Task
from sixfold.parts.transcripts import texts_of
from sixfold.recipe.ctc_decoder import CtcDecoder
from sixfold.train.module import ExampleReader
from sixfold.train.sound_augment import Shift, SoundAugment, Speed, TimeMask
from sixfold.train.sound_examples import SoundExamples

SpeechSize = Literal["nano", "small", "medium", "large"]
ROWS: Final = {"nano": 2_000, "small": 20_000}  # recordings below which a size is chosen; guessed
DEFAULTS: Final = TrainDefaults(
    {
        "optimizer": {"name": "adamw", "learning_rate": 0.002},
        "schedule": {"name": "one_cycle", "rise": 0.2},
        "batch_size": 16,
        "epochs": 40,
        "clip": 5.0,
    },
    "CTC finds where characters are in some thousand small steps at this rate",
)


class EncoderSize(NamedTuple):
    """Of a network: numbers of a frame, convolutions, and layers of attention with their heads."""

    width: int
    convolutions: int
    layers: int
    heads: int = 4


SIZES: Final[dict[SpeechSize, EncoderSize]] = {  # guessed
    "nano": EncoderSize(64, 4, 0),
    "small": EncoderSize(128, 3, 2),
    "medium": EncoderSize(256, 3, 6),
    "large": EncoderSize(384, 4, 12, 6),
}


class Settings(SoundAugment, CtcFamily):
    """Recognizes speech: a convolution front over log-mel spectrograms and, from size small on, layers of
    attention say how probable each character, or piece of a word, is in every frame; CTC sums over all ways
    in which a text can lie in time, so that nobody has to say where a word is. Trained from scratch. The
    alphabet is that of the training texts; the spectrogram is part of the bundle's graph, which takes
    samples.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"transcription"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"samples"})
    needs: ClassVar[Needs] = Needs(precision="float32", stored=True, audio="whole_samples")

    size: Literal["auto", "nano", "small", "medium", "large"] = Field(
        "auto", description="Width and depth; auto: by the number of rows."
    )
    units: Literal["characters", "subwords"] = Field(
        "characters",
        description="What the network writes: characters, or pieces of words that are learned from the training texts (BPE).",
    )
    vocabulary: int = Field(
        256,
        ge=2,
        le=4096,
        description="Of subwords: pieces in all, the single characters among them.",
    )
    bands: int = Field(40, ge=8, le=128, description="Mel bands of the spectrogram.")
    center: bool = Field(
        True,
        description="Neither how loud a recording is counts nor how its microphone colors it.",
    )
    step: int = Field(
        2,
        ge=1,
        le=8,
        description="Frames of the spectrogram, 10 ms each, for one of the network: a character, or subword, needs one.",
    )
    dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of the numbers left out in each training step."
    )
    shift: Shift = 0.02
    speed: Speed = 0.1
    time_mask: TimeMask = 0.03

    @property
    def train_defaults(self) -> TrainDefaults:
        """AdamW with one cycle of the rate."""
        return DEFAULTS

    def derived(self, fit: Fit) -> str:
        """The size that was chosen and why, the frames, the alphabet, and texts that do not fit."""
        shape, alphabet = self.shape(fit), self.alphabet(fit)
        why = f", for {counted(fit.rows, 'recording')}" if self.size == "auto" else ""
        mel = self.mel(fit)
        seconds = shape.step * mel.hop / mel.rate
        long = sum(paths.needed(row[row > 0].tolist()) > shape.steps for row in self.targets(fit))
        lost = ""
        if long:
            told = counted(long, "text has", "texts have")
            lost = f" {told} more {self.units} than frames, and {'teaches' if long == 1 else 'teach'} nothing: lower step."
        symbols = counted(len(alphabet), self.units.removesuffix("s"))
        return (
            f"ctc: size {self.sized(fit.rows)}{why}; {shape.steps:,} frames of {1000 * seconds:g} ms, {symbols}."
            f"{lost} {self.describe()}"
        )

    def sized(self, rows: int) -> SpeechSize:
        """The size for so many rows."""
        if self.size != "auto":
            return self.size
        if rows < ROWS["nano"]:
            return "nano"
        return "small" if rows < ROWS["small"] else "medium"

    def mel(self, fit: Fit) -> LogMel:
        """The spectrogram of the fit's recordings. Raises FitError for other features than the samples of
        one column.
        """
        remedy = "Drop the other columns: data.drop."
        group = recordings_of(fit, "ctc", remedy)
        return LogMel.of(group.rate, group.stop - group.start, self.bands, self.center)

    def alphabet(self, fit: Fit) -> tuple[str, ...]:
        """The characters of the training texts, in their order in Unicode, and pieces of their words; of a
        network that is trained further those that it has.
        """
        if isinstance(fit.start, CtcNetwork):
            return fit.start.decoder.alphabet
        if self._alphabet:
            return self._alphabet
        codes = np.asarray(fit.y, dtype=np.int64)
        if self.units == "characters":
            return alphabet_of(codes)
        return learned(texts_of(codes), self.vocabulary)

    def targets(self, fit: Fit) -> IntArray:
        """[rows, symbols] the texts as places in the alphabet, from 1; 0 behind a text's end."""
        codes, alphabet = np.asarray(fit.y, dtype=np.int64), self.alphabet(fit)
        if self.units == "characters":
            return numbered(codes, alphabet)
        return divided(texts_of(codes), alphabet)

    def shape(self, fit: Fit) -> SpeechShape:
        """Of the network."""
        mel, size = self.mel(fit), SIZES[self.sized(fit.rows)]
        symbols = 1 + len(self.alphabet(fit))
        return SpeechShape(mel.bands, mel.frames, symbols, *size, self.step, self.dropout)

    def module(self, fit: Fit) -> nn.Module:
        """The network of this size with the scaling of the fit's spectrograms."""
        scaling = scaling_of(MelRows(fit.x, self.mel(fit)))
        shape = self.shape(fit)
        blank = blank_start(self.targets(fit), shape.steps, shape.symbols - 1)
        return SpeechEncoder(shape, float(scaling.mean[0]), float(scaling.deviation[0]), blank)

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state. Raises TypeError for what is no network of this family, or in int8."""
        if not isinstance(fitted, CtcNetwork) or not isinstance(fitted.network, SpeechNetwork):
            raise TypeError(f"{type(fitted).__name__} is no CtcNetwork that can be trained")
        return fitted.network.module()

    def examples(self, fit: Fit) -> ExampleReader:
        """Recordings by batches, augmented, as spectrograms; texts as numbers of the alphabet, from 1."""
        y = torch.from_numpy(self.targets(fit))
        return SpokenTexts(SoundExamples(fit.x, y, self.mel(fit), self))

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays, and the decoder of what it gives."""
        if not isinstance(module, SpeechEncoder):
            raise TypeError(f"{type(module).__name__} is no SpeechEncoder")
        return CtcNetwork(self.mel(fit), SpeechNetwork.of(module), self.decoder(fit, module.shape))

    def decoder(self, fit: Fit, shape: SpeechShape) -> CtcDecoder:
        """For the numbers of a network of this shape."""
        mel, alphabet = self.mel(fit), self.alphabet(fit)
        found: dict[str, Any] = {
            "frames": shape.steps,
            "alphabet": alphabet,
            "first_s": mel.window / 2 / mel.rate,
            "frame_s": shape.step * mel.hop / mel.rate,
        }
        texts = texts_of(np.asarray(fit.y))
        spelled = texts if self.units == "characters" else list(map(spelled_out, texts))
        return CtcDecoder(**found, **self.decoding(spelled))

    def of_rows(self, fit: Fit, rows: int) -> Self:
        """Of the size that so many rows get."""
        return self.model_copy(update={"size": self.sized(rows)})


class SpokenTexts:
    """An `ExampleReader` whose inputs have no axis of channels."""

    def __init__(self, sounds: SoundExamples) -> None:
        self._sounds = sounds

    def __len__(self) -> int:
        return len(self._sounds)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [B, M, T] and int64 [B, symbols]."""
        spectrograms, y = self._sounds.read(rows, draw)
        return spectrograms[:, 0], y
