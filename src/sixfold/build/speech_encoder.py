"""A local speech checkpoint that is fine-tuned: wav2vec 2.0 or HuBERT, with a head for characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from sixfold.build._ctc_family import CtcFamily, alphabet_of, blank_start, numbered
from sixfold.build._fine_tuning import DEFAULTS, FineTuning
from sixfold.build._fitted_audio import samples_at
from sixfold.build._fitted_ctc import CtcNetwork
from sixfold.build._fitted_speech_encoder import (
    FittedSpeechEncoder,
    TunedSpeechEncoder,
    TunedSpeechShape,
    Waveform,
)
from sixfold.build.family import TrainDefaults
from sixfold.bundle.transcription import paths
from sixfold.core.errors import FitError
from sixfold.core.units import counted
from sixfold.parts import speech_checkpoint
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.speech_checkpoint import (
    VOCABULARY,
    CtcHead,
    SpeechCheckpoint,
    SpeechEmbedding,
    SpeechEncoderShape,
    read_head,
    read_speech_checkpoint,
    read_speech_shape,
)
from sixfold.parts.table import IntArray, Task
from sixfold.parts.transcripts import texts_of
from sixfold.recipe.ctc_decoder import CtcDecoder
from sixfold.train.module import ExampleReader
from sixfold.train.sound_augment import (
    DRAWS,
    Noise,
    Room,
    Shift,
    SoundAugment,
    Speed,
    TimeMask,
    changed_samples,
    masked,
)

NAME: Final = "speech_encoder"
SHOWN: Final = 10  # characters that a message names
LOOP: Final = {"batch_size": 8, "epochs": 30}  # guessed


class Settings(FineTuning, CtcFamily):
    """A local checkpoint of the kind of wav2vec 2.0 or HuBERT, fine-tuned by CTC to write down what is
    said in a column of recordings alone, on augmented recordings. The folder holds config.json,
    model.safetensors and preprocessor_config.json, which say at what rate it hears; and vocab.json where
    it has a head for characters, which it goes on with. Its convolutions over samples stay as they are.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"transcription"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"samples"})

    checkpoint: str = Field(
        min_length=1, description="The folder; relative to where the command is started."
    )
    characters: Literal["checkpoint", "texts"] = Field(
        "checkpoint",
        description="Those of the checkpoint's own head, where it has one; or those of the training texts, with a new head.",
    )
    dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the numbers before the head left out in each training step.",
    )
    shift: Shift = 0.02
    speed: Speed = 0.1
    room: Room = 0.0
    noise: Noise = 0.0
    time_mask: TimeMask = 0.03

    @property
    def needs(self) -> Needs:
        """Samples at the checkpoint's rate. Raises DataError."""
        rate = self._encoder.rate
        return Needs(precision="float32", stored=True, audio="whole_samples", audio_rate=rate)

    @property
    def train_defaults(self) -> TrainDefaults:
        """AdamW with one cycle of the rate, which is small for what was trained before."""
        why = f"the rate of what is learned of a checkpoint ({self.adapt}), and more epochs: CTC takes them"
        return TrainDefaults({**DEFAULTS[self.adapt].options, **LOOP}, why)

    @property
    def augmentation(self) -> SoundAugment:
        """How training recordings are changed."""
        return SoundAugment(
            shift=self.shift,
            speed=self.speed,
            room=self.room,
            noise=self.noise,
            time_mask=self.time_mask,
            band_mask=0.0,
        )

    @property
    def _encoder(self) -> SpeechEncoderShape:
        return read_speech_shape(Path(self.checkpoint))

    def content_digest(self) -> str:
        """SHA-256 of the checkpoint's files."""
        return speech_checkpoint.digest(Path(self.checkpoint))

    def derived(self, fit: Fit) -> str:
        """What is taken of the checkpoint, its frames and characters, and texts that do not fit."""
        found = read_speech_checkpoint(Path(self.checkpoint))
        network = self._tuned(found, fit)
        shape, kind = network.shape, found.shape.checkpoint.kind
        own = "of its own head" if network.head_stays else "of the training texts, with a new head"
        long = sum(paths.needed(row[row > 0].tolist()) > shape.frames for row in fit.y)
        lost = counted(long, "text has", "texts have")
        lost = f" {lost} more characters than frames: they teach nothing." if long else ""
        return (
            f"{NAME}: checkpoint {Path(self.checkpoint).name} ({kind}, SHA-256 {found.digest[:12]}…): "
            f"{shape.frames:,} frames of {1000 * found.shape.hop / found.shape.rate:g} ms, "
            f"{counted(shape.symbols - 1, 'character')} {own}; {self.learned(network, network.embedding)}."
            f"{lost} {self.augmentation.describe()}"
        )

    def alphabet(self, fit: Fit) -> tuple[str, ...]:
        """The characters of the checkpoint's head, or of the training texts, in their order in Unicode;
        of a network that is trained further those that it has. Raises DataError, FitError.
        """
        if isinstance(fit.start, CtcNetwork):
            return fit.start.decoder.alphabet
        head = self._head()
        own = self._alphabet or alphabet_of(np.asarray(fit.y, dtype=np.int64))
        if head is None:
            return own
        _check_characters(own, head, Path(self.checkpoint))
        return head.alphabet

    def module(self, fit: Fit) -> nn.Module:
        """The checkpoint with its head, or a new one. Raises DataError, and FitError for other features
        than recordings at its rate.
        """
        return self._tuned(read_speech_checkpoint(Path(self.checkpoint)), fit)

    def _tuned(self, found: SpeechCheckpoint, fit: Fit) -> TunedSpeechEncoder:
        samples, head = samples_of(found.shape, fit), self._head()
        symbols = 1 + len(self.alphabet(fit))
        shape = TunedSpeechShape(found.shape, found.digest, samples, symbols, self.dropout)
        layer = nn.Linear(found.shape.width, symbols) if head is None else head.layer()
        blank = 0.0 if head else blank_start(np.asarray(fit.y), shape.frames, symbols - 1)
        return TunedSpeechEncoder(
            shape, self._adapted(found.module), layer, head is not None, blank
        )

    def _adapted(self, embedding: SpeechEmbedding) -> SpeechEmbedding:
        """Ready to be trained. Raises FitError where there is no product for an adapter."""
        made = self.adapted(embedding, NAME).train()
        made.freeze_convolutions()
        return made

    def _head(self) -> CtcHead | None:
        """The checkpoint's own, where it is what is asked for. Raises DataError."""
        if self.characters == "texts":
            return None
        return read_head(Path(self.checkpoint), self._encoder.width)

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state. Raises TypeError for what is none of this family, or in int8."""
        network = fitted.network if isinstance(fitted, CtcNetwork) else None
        if not isinstance(network, FittedSpeechEncoder):
            raise TypeError(f"{type(fitted).__name__} is no fine-tuned checkpoint of speech")
        found = network.module()
        return TunedSpeechEncoder(found.shape, self._adapted(found.embedding), found.head, True)

    def examples(self, fit: Fit) -> ExampleReader:
        """Recordings by batches, augmented; texts as numbers of the alphabet, from 1."""
        y = torch.from_numpy(numbered(np.asarray(fit.y, dtype=np.int64), self.alphabet(fit)))
        return SampledTexts(fit.x, y, fit.layout[0].rate, self.augmentation)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays, adapters merged into its weights, and the decoder of what it
        gives.
        """
        if not isinstance(module, TunedSpeechEncoder):
            raise TypeError(f"{type(module).__name__} is no TunedSpeechEncoder")
        network = FittedSpeechEncoder.of(self.merged(module), module.shape)
        return CtcNetwork(Waveform(), network, self.decoder(fit, module.shape))

    def decoder(self, fit: Fit, shape: TunedSpeechShape) -> CtcDecoder:
        """For the scores of a network of this shape."""
        encoder = shape.encoder
        found: dict[str, Any] = {
            "frames": shape.frames,
            "alphabet": self.alphabet(fit),
            "first_s": encoder.seen / 2 / encoder.rate,
            "frame_s": encoder.hop / encoder.rate,
        }
        return CtcDecoder(**found, **self.decoding(texts_of(np.asarray(fit.y))))


class SampledTexts:
    """An `ExampleReader`. `samples`: [rows, samples] at `rate` Hz, in memory or read when asked for;
    `y`: int64 [rows, characters].
    """

    def __init__(self, samples: Any, y: torch.Tensor, rate: int, augment: SoundAugment) -> None:
        self._samples, self._y, self._rate, self._augment = samples, y, rate, augment

    def __len__(self) -> int:
        return len(self._y)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [B, samples], whole numbers of 16 bits or between them, and int64 [B, characters]."""
        samples = torch.from_numpy(np.asarray(self._samples[rows]).astype(np.float32))
        y = self._y[torch.from_numpy(rows)]
        if draw is None:
            return samples, y
        draws = torch.rand((len(samples), DRAWS), generator=draw, dtype=torch.float64)
        changed = changed_samples(samples, self._augment, self._rate, draws, draw)
        return masked(changed[:, None], self._augment, draws)[:, 0], y  # as a single band


def samples_of(shape: SpeechEncoderShape, fit: Fit) -> int:
    """Of a recording. Raises FitError for other features than the samples of one column, at another
    rate, or too short for one frame.
    """
    samples = samples_at(shape.rate, fit, NAME)
    if not shape.frames(samples):
        raise FitError(
            f"build, {NAME}",
            f"recordings of at least {shape.seen / shape.rate:g} s, which make one frame",
            f"{samples / shape.rate:g} s",
            "Raise prepare.features.audio.seconds.",
        )
    return samples


def _check_characters(found: tuple[str, ...], head: CtcHead, folder: Path) -> None:
    """Raises FitError for characters that the head does not have."""
    lacking = sorted(set(found) - set(head.alphabet))
    if lacking:
        more = f" and {len(lacking) - SHOWN:,} more" if len(lacking) > SHOWN else ""
        raise FitError(
            f"build, {NAME}",
            f"texts of the {len(head.alphabet):,} characters of {folder.name}/{VOCABULARY}",
            f"{', '.join(map(repr, lacking[:SHOWN]))}{more}",
            "Write the texts as the checkpoint does (in capital letters, say), or give it a new head: characters: texts.",
        )
