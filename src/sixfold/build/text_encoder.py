"""A transformer over the tokens of texts: a small one from scratch, or a local checkpoint that is
fine-tuned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from sixfold.build._fine_tuning import DEFAULTS, FineTuning
from sixfold.build._token_network import ScaledOutputs, TokenFamily, TokenNetwork
from sixfold.build.family import TrainDefaults
from sixfold.build.networks.text_checkpoint import TunedEncoder, TunedShape, padding_first
from sixfold.build.networks.text_encoder import EncoderShape, TextTransformer
from sixfold.core.errors import DataError, FitError
from sixfold.parts import checkpoint, checkpoint_files
from sixfold.parts.checkpoint import Checkpoint, read_checkpoint
from sixfold.parts.checkpoint_files import CONFIG, TOKENIZER
from sixfold.parts.fit import FeatureGroup, Fit, Fitted, Needs

# Width, heads and layers. Guessed: as BERT's smallest (Turc and others, Well-read students learn
# better, 2019), and half of it.
SIZES: Final = {
    "nano": (64, 2, 2),
    "small": (128, 2, 2),
    "medium": (256, 4, 4),
    "large": (512, 8, 4),
}
ROWS: Final = {"nano": 20_000, "small": 200_000}  # texts below which a size is chosen; guessed
FROM_SCRATCH: Final = TrainDefaults(
    {
        "optimizer": {"name": "adamw", "learning_rate": 0.001, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle", "rise": 0.1},
        "epochs": 15,
        "clip": 1.0,
    },
    "a small transformer from scratch: a rate that rises and falls, and gradients that are clipped",
)
# As nodes, too.
ACTIVATIONS: Final = frozenset(
    {"gelu", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu"}
)


@dataclass(frozen=True)
class FittedTransformer(TokenNetwork):
    """A trained TextTransformer."""

    def network(self) -> nn.Module:
        """A network of this shape."""
        return TextTransformer(self.shape)


@dataclass(frozen=True)
class FittedCheckpoint(TokenNetwork):
    """A fine-tuned TunedEncoder, its adapters merged; `shape`, a TunedShape, holds its
    configuration.
    """

    def network(self) -> nn.Module:
        """A network of this shape."""
        return TunedEncoder(self.shape, self.shape.encoder.network())


class Settings(FineTuning, TokenFamily):
    """A transformer over the tokens of a column of text alone, for what the order of words tells: a
    small one from scratch, where there are many texts, or a local checkpoint of the kind of BERT,
    DistilBERT, ELECTRA or RoBERTa, fine-tuned. Both end in the mean over the tokens and a linear
    head. A checkpoint brings its tokens; its folder holds config.json, model.safetensors and
    tokenizer.json.
    """

    size: Literal["auto", "nano", "small", "medium", "large"] = Field(
        "auto", description="From scratch: width, heads and layers; auto: by the number of rows."
    )
    dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of a layer's units left out in each training step; of a checkpoint, before its head alone.",
    )
    checkpoint: str | None = Field(
        None,
        min_length=1,
        description="Folder of a checkpoint to go on from; relative to where the command is started. Left out: from scratch.",
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.checkpoint is None and self.adapt != "whole":
            raise ValueError("adapt is for a checkpoint, whose folder is missing")
        if self.checkpoint is not None and self.size != "auto":
            raise ValueError("size is for a network from scratch; a checkpoint has its own")
        return self

    @property
    def name(self) -> str:
        """As recipes write it."""
        return "text_encoder"

    @property
    def needs(self) -> Needs:
        """Tokens; those of the checkpoint, where there is one."""
        return super().needs._replace(text_checkpoint=self.checkpoint or "")

    @property
    def train_defaults(self) -> TrainDefaults:
        """AdamW with one cycle of the rate, which is small for what was trained before."""
        return FROM_SCRATCH if self.checkpoint is None else DEFAULTS[self.adapt]

    def content_digest(self) -> str:
        """SHA-256 of the checkpoint's files."""
        if self.checkpoint is None:
            return ""
        return checkpoint.digest(Path(self.checkpoint)) + _tokenizer(Path(self.checkpoint))

    def sized(self, rows: int) -> Self:
        """The size by the rows, where it is left out."""
        if self.checkpoint is not None or self.size != "auto":
            return self
        return self.model_copy(update={"size": derived_size(rows)})

    def derived(self, fit: Fit) -> str:
        """The size that was chosen and why; or what is taken of the checkpoint."""
        if self.checkpoint is not None:
            return self._described(_read(self.checkpoint), fit.outputs)
        size = self.sized(fit.rows).size
        width, heads, layers = SIZES[size]
        why = f"{fit.rows:,} texts" if self.size == "auto" else "as asked"
        return f"text_encoder: size {size} ({why}): width {width}, {heads} heads, {layers} layers."

    def _described(self, found: Checkpoint, outputs: int) -> str:
        network = self._tuned(found, outputs)
        learned = self.learned(network, network.encoder)
        unused = (
            f"; {len(found.unused)} arrays of it are not used: {', '.join(found.unused[:3])}"
            if found.unused
            else ""
        )
        name = Path(self.checkpoint or "").name
        return f"text_encoder: checkpoint {name} ({found.shape.kind}, SHA-256 {found.digest[:12]}…): {learned}{unused}."

    def network(self, fit: Fit, tokens: FeatureGroup) -> nn.Module:
        """A network for these tokens."""
        if self.checkpoint is not None:
            network = self._tuned(_read(self.checkpoint), fit.outputs)
            _check_tokens(network.shape, tokens, Path(self.checkpoint))
            return network
        width, heads, layers = SIZES[self.sized(fit.rows).size]
        length = tokens.stop - tokens.start
        return TextTransformer(
            EncoderShape(tokens.tokens, length, fit.outputs, width, heads, layers, self.dropout)
        )

    def _tuned(self, found: Checkpoint, outputs: int) -> TunedEncoder:
        shape = TunedShape(found.shape, found.digest, outputs, self.dropout)
        encoder = self.adapted(padding_first(found.module, shape.padding), self.name)
        return TunedEncoder(shape, encoder)

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state; of a checkpoint, ready to be trained further."""
        module: Any = super().resume(fitted)
        if self.checkpoint is not None:
            module.network.encoder = self.adapted(module.network.encoder, self.name)
        return module  # type: ignore[no-any-return]

    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network as arrays; adapters are merged into the weights."""
        network: Any = module.network if isinstance(module, ScaledOutputs) else module
        if not isinstance(network, TunedEncoder):
            return FittedTransformer.of(module, network.shape, fit)
        return FittedCheckpoint.of(self.merged(module), network.shape, fit)


def _read(folder: str) -> Checkpoint:
    """Raises DataError for a folder that is no checkpoint of texts, or one whose bundle could not
    be written.
    """
    found = read_checkpoint(Path(folder), checkpoint.OF_TEXTS)
    fields = found.shape.fields
    activation = fields.get("hidden_act", fields.get("activation", "gelu"))
    if activation not in ACTIVATIONS:
        expected = f"an activation of {', '.join(sorted(ACTIVATIONS))}"
        raise DataError(
            str(Path(folder) / CONFIG), expected, repr(activation)[:80], checkpoint.ANOTHER
        )
    return found


def _tokenizer(folder: Path) -> str:
    """SHA-256, as the tokens say it (`FeatureGroup.tokenizer`). Raises DataError where there is
    none.
    """
    checkpoint_files.present(folder, (TOKENIZER,))
    return checkpoint_files.digest(folder, (TOKENIZER,))


def _check_tokens(shape: TunedShape, tokens: FeatureGroup, folder: Path) -> None:
    """Raises FitError for other tokens than the checkpoint's own, DataError for more of them than
    it has vectors.
    """
    length, vectors = tokens.stop - tokens.start, int(shape.encoder.fields.get("vocab_size", 0))
    if tokens.tokenizer != _tokenizer(folder):
        found = (
            "those of another tokenizer"
            if tokens.tokenizer
            else "tokens that were learned from the training texts"
        )
        remedy = f"Leave prepare.features for texts out, or give its tokens checkpoint: {folder}."
        raise FitError("build, text_encoder", f"the tokens of {folder.name}", found, remedy)
    if tokens.tokens > vectors:
        found = f"{tokens.tokens:,} tokens in {TOKENIZER}"
        raise DataError(
            str(folder), f"at most vocab_size, {vectors:,}, tokens", found, checkpoint.ANOTHER
        )
    if length > shape.longest:
        raise FitError(
            "build, text_encoder",
            f"at most {shape.longest} tokens a text",
            str(length),
            "Lower tokens.length.",
        )


def derived_size(rows: int) -> Any:
    """By the number of training texts."""
    return next((size for size, most in ROWS.items() if rows < most), "medium")
