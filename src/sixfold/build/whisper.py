"""A local Whisper checkpoint that is fine-tuned to write down what is said, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from sixfold.build._fine_tuning import DEFAULTS, FineTuning
from sixfold.build._fitted_audio import samples_at
from sixfold.build._fitted_whisper import FittedWhisper
from sixfold.build.family import TrainDefaults
from sixfold.build.module_family import ModuleFamily
from sixfold.build.networks.whisper import Whisper
from sixfold.core.errors import DataError, FitError
from sixfold.core.units import counted
from sixfold.parts import whisper_checkpoint
from sixfold.parts.draws import own_draws
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.table import IntArray, Task
from sixfold.parts.transcripts import texts_of
from sixfold.parts.whisper_checkpoint import (
    WhisperDecoding,
    WhisperShape,
    WhisperTokens,
    read_decoding,
    read_tokens,
    read_whisper_shape,
    read_whisper_weights,
)
from sixfold.parts.whisper_mel import RATE, WhisperMel
from sixfold.recipe.token_decoder import LONGEST, TokenDecoder
from sixfold.train.module import ExampleReader
from sixfold.train.sound_augment import BandMask, Shift, SoundAugment, Speed, TimeMask
from sixfold.train.sound_examples import SoundExamples

NAME: Final = "whisper"
# The whole, or its decoder: half the rate at which other checkpoints are fine-tuned, about a fortieth of that
# of its own training (Radford and others, 2022, table 18: 1e-3 of the base size). Epochs are guessed.
RATE_OF_ALL: Final = 2.5e-5
LOOP: Final = {"batch_size": 8, "epochs": 10}
MOST_WEIGHTS: Final = 500_000_000  # in float32 the 2 GiB that a graph may have, less some
UNTAUGHT: Final = -1  # among targets: where nothing is to be told
SPARE_TOKENS: Final = 8  # of a text, beside twice as many as the longest of training has
SPARE_CHARACTERS: Final = 32


class Settings(SoundAugment, FineTuning, ModuleFamily):
    """A local checkpoint of Whisper, fine-tuned to write down what is said in a column of recordings alone,
    on augmented recordings. The folder holds config.json, model.safetensors, preprocessor_config.json and
    a tokenizer; generation_config.json says which tokens are never written. adapt: head trains its decoder
    alone, on what the encoder hears.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"transcription"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"samples"})

    checkpoint: str = Field(
        min_length=1, description="The folder; relative to where the command is started."
    )
    language: str | None = Field(
        None,
        pattern="^[a-z]{2,3}$",
        description="Of the texts, of a checkpoint of several languages: en, de, …; left out: what generation_config.json says.",
    )
    shift: Shift = 0.02
    speed: Speed = 0.1
    time_mask: TimeMask = 0.02
    band_mask: BandMask = 0.1

    @property
    def needs(self) -> Needs:
        """Samples at the checkpoint's rate. Raises DataError."""
        read_whisper_shape(Path(self.checkpoint))
        return Needs(precision="float32", stored=True, audio="whole_samples", audio_rate=RATE)

    @property
    def train_defaults(self) -> TrainDefaults:
        """AdamW with one cycle of the rate, which is small for what was trained before."""
        if self.has_adapters:
            options = DEFAULTS[self.adapt].options
        else:
            adamw = {"name": "adamw", "learning_rate": RATE_OF_ALL, "weight_decay": 0.01}
            options = {**DEFAULTS["whole"].options, "optimizer": adamw}
        return TrainDefaults({**options, **LOOP}, f"a small rate for a checkpoint ({self.adapt})")

    def content_digest(self) -> str:
        """SHA-256 of the checkpoint's files."""
        return whisper_checkpoint.digest(Path(self.checkpoint))

    def derived(self, fit: Fit) -> str:
        """What is taken of the checkpoint, the tokens before a text, and how long a text may become."""
        network, texts = self._adapted(self._read()), self._texts(fit)
        prompt = "".join(texts.names(texts.asked.prompt))
        share = f"{self.samples(fit) / network.shape.samples:.0%}"
        return (
            f"{NAME}: checkpoint {Path(self.checkpoint).name} (SHA-256 {self.content_digest()[:12]}…): hears "
            f"{network.shape.samples / RATE:g} s, of which recordings are {share}; texts begin with {prompt} and "
            f"have at most {counted(texts.most, 'token')}; {self.learned(network, network)}. {self.describe()}"
        )

    def samples(self, fit: Fit) -> int:
        """Of a recording. Raises FitError for other features than the samples of one column, at another
        rate, or longer than the checkpoint hears.
        """
        samples, most = samples_at(RATE, fit, NAME), self._shape.samples
        if samples > most:
            raise FitError(
                f"build, {NAME}",
                f"recordings of at most {most / RATE:g} s, which the checkpoint hears",
                f"{samples / RATE:g} s",
                f"Cut them at pauses, or set prepare.features.audio to name: whole_samples, seconds: {most // RATE}.",
            )
        return samples

    def module(self, fit: Fit) -> nn.Module:
        """The checkpoint, and adapters. Raises DataError, and FitError for other features than recordings
        at its rate.
        """
        self.samples(fit)
        return self._adapted(self._read())

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state. Raises TypeError for what is none of this family."""
        if not isinstance(fitted, FittedWhisper):
            raise TypeError(f"{type(fitted).__name__} is no fine-tuned Whisper")
        return self._adapted(fitted.module())

    def examples(self, fit: Fit) -> ExampleReader:
        """Spectrograms by batches, augmented, with the tokens of their texts."""
        shape = self._shape
        mel = WhisperMel(shape.bands, self.samples(fit), shape.samples)
        given, wanted = self._texts(fit).taught()
        rows = torch.arange(len(given))
        return TaughtTokens(SoundExamples(fit.x, rows, mel, self), given, wanted)

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean of −ln of the probability of each text's tokens and its end, given those before, [B].
        `outputs`: [B, N, V]; `targets`: int64 [B, N].
        """
        found = functional.cross_entropy(
            outputs.transpose(1, 2), targets, ignore_index=UNTAUGHT, reduction="none"
        )
        return found.sum(1) / targets.ne(UNTAUGHT).sum(1).clamp(min=1)

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays, adapters merged into its weights, and what makes texts of it."""
        if not isinstance(module, Whisper):
            raise TypeError(f"{type(module).__name__} is no Whisper")
        texts = self._texts(fit)
        weights = FittedWhisper.weights_of(self.merged(module))
        return FittedWhisper(
            module.shape,
            self.content_digest(),
            self.samples(fit),
            texts.allowed(),
            texts.most,
            texts.decoder(),
            weights,
        )

    @property
    def _shape(self) -> WhisperShape:
        return read_whisper_shape(Path(self.checkpoint))

    def _read(self) -> Whisper:
        folder = Path(self.checkpoint)
        with own_draws():  # it fills itself before
            made = Whisper(read_whisper_shape(folder))
        count = sum(one.numel() for one in made.parameters())
        if count > MOST_WEIGHTS:
            expected = f"at most {MOST_WEIGHTS:,} weights, which a bundle's graph may hold"
            raise DataError(str(folder), expected, f"{count:,}", "Choose a smaller checkpoint.")
        sizes = {name: value.shape for name, value in made.state_dict().items()}
        made.load_state_dict(read_whisper_weights(folder, sizes))
        return made

    def _adapted(self, network: Whisper) -> Whisper:
        """Ready to be trained; the encoder's places never are."""
        made = self.adapted(network, NAME).train()
        if self.adapt == "head":
            made.decoder.requires_grad_(True)
        made.encoder.embed_positions.requires_grad_(False)
        return made

    def _texts(self, fit: Fit) -> TaughtTexts:
        folder, shape = Path(self.checkpoint), self._shape
        tokens = read_tokens(folder, shape.vocabulary)
        asked = read_decoding(folder, tokens, self.language)
        return TaughtTexts(texts_of(np.asarray(fit.y)), tokens, asked, shape.most_tokens)


class TaughtTexts:
    """Training texts by the checkpoint's tokens, of which with the prompt it takes at most `places`."""

    def __init__(
        self, texts: Sequence[str], tokens: WhisperTokens, asked: WhisperDecoding, places: int
    ) -> None:
        self._texts, self._tokens, self.asked, self._places = texts, tokens, asked, places

    @cached_property
    def rows(self) -> list[list[int]]:
        """Numbers of tokens, without prompt and end. Raises DataError for a text that is too long, or that
        the tokenizer does not give back.
        """
        found, most = [], self._places - len(self.asked.prompt)
        for text in self._texts:
            numbers = self._tokens.encode(text)
            if len(numbers) >= most:
                raise DataError(
                    "data.target",
                    f"texts of at most {most - 1:,} tokens, which the checkpoint writes (max_target_positions)",
                    f"{len(numbers):,}: {text[:60]!r}…",
                    "Cut such recordings and their texts, or leave these rows out.",
                )
            if (back := self._tokens.spelled(numbers)) != text:
                raise DataError(
                    "data.target",
                    "texts that the checkpoint's tokens spell",
                    f"{text[:60]!r}, which would be {back[:60]!r}",
                    "Write names of tokens, such as <|en|>, otherwise.",
                )
            found.append(numbers)
        return found

    @property
    def most(self) -> int:
        """Tokens that are written, with the end: twice as many as the longest training text has, and some."""
        longest = max(map(len, self.rows), default=0)
        return min(self._places - len(self.asked.prompt), 2 * longest + SPARE_TOKENS)

    def names(self, numbers: Sequence[int]) -> list[str]:
        """Of tokens that stand for no text."""
        names = {number: name for name, number in self._tokens.special.items()}
        return [names.get(number, str(number)) for number in numbers]

    def taught(self) -> tuple[torch.Tensor, torch.Tensor]:
        """int64 [rows, N]: what is given, and what is to follow it."""
        prompt, end = list(self.asked.prompt), self.asked.end
        width = len(prompt) + max(map(len, self.rows), default=0)
        given = torch.full((len(self.rows), width), end)
        wanted = torch.full((len(self.rows), width), UNTAUGHT)
        for row, numbers in enumerate(self.rows):
            given[row, : len(prompt) + len(numbers)] = torch.tensor(prompt + numbers)
            wanted[row, len(prompt) - 1 :][: len(numbers) + 1] = torch.tensor([*numbers, end])
        return given, wanted

    def allowed(self) -> WhisperDecoding:
        """What a decoding writes: what training texts hold is never left out, and what stands for no text
        always is.
        """
        seen = {number for row in self.rows for number in row}
        first = {row[0] for row in self.rows if row}
        asked, silent = self.asked, {*self._tokens.special.values()} - {self.asked.end}
        suppressed = sorted(({*asked.suppressed} - seen) | silent)
        return WhisperDecoding(
            asked.prompt,
            asked.end,
            tuple(suppressed),
            tuple(sorted({*asked.suppressed_first} - first)),
        )

    def decoder(self) -> TokenDecoder:
        """What makes a text of tokens."""
        longest = max(map(len, self._texts), default=0)
        return TokenDecoder(
            cells=self.most,
            end=self.asked.end,
            pieces=self._tokens.pieces,
            longest=min(LONGEST, 2 * longest + SPARE_CHARACTERS),
        )


class TaughtTokens:
    """An `ExampleReader`: spectrograms, and behind each the tokens that are given."""

    def __init__(self, sounds: SoundExamples, given: torch.Tensor, wanted: torch.Tensor) -> None:
        self._sounds, self._given, self._wanted = sounds, given, wanted

    def __len__(self) -> int:
        return len(self._sounds)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [B, M · T + N], and int64 [B, N]."""
        spectrograms, places = self._sounds.read(rows, draw)
        given = self._given[places].to(spectrograms.dtype)
        return torch.cat([spectrograms.flatten(1), given], dim=1), self._wanted[places]
