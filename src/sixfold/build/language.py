"""A language model: a decoder-only transformer that learns texts, from scratch or from a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from sixfold.build._language_compression import compression_work
from sixfold.build._language_epochs import SAMPLED, EpochObserver
from sixfold.build._language_samples import sampling
from sixfold.build._language_shape import (
    SIZES,
    LanguageShape,
    derived_heads,
    derived_mlp,
    derived_size,
    kept_numbers,
    shape_of_config,
    windows_at_once,
)
from sixfold.build._language_tuning import ADAPTERS, STORED_BYTES, LanguageTuning
from sixfold.build._language_work import PairExamples, preferring, shortened, student
from sixfold.build.family import CompressionWork, FitCost, FitWork, TrainDefaults
from sixfold.build.module_family import (
    STEP_CALLS,
    BatchRows,
    ModuleFamily,
    at_once,
    beside,
    halves,
    remembered_bytes,
)
from sixfold.core.cores import cores
from sixfold.core.errors import FitError
from sixfold.core.seeds import derive
from sixfold.parts.fit import DocumentNeeds, FeatureKind, Fit, Fitted, Needs
from sixfold.parts.language_checkpoint import LanguageFolder, digest, read_language
from sixfold.parts.language_model import AT_ONCE, LanguageModel
from sixfold.parts.language_network import PackedNetwork, check_extra, token_losses
from sixfold.parts.stored_tokens import StoredTokens, stored_tokens
from sixfold.parts.table import Task
from sixfold.parts.text_tokenizer import LEAST_VOCABULARY
from sixfold.parts.token_windows import IGNORED, PackedTexts
from sixfold.parts.whole_windows import PackedExamples
from sixfold.recipe.compression import Compress
from sixfold.recipe.strategy import MemoryStep, Strategy
from sixfold.runs.context import Context
from sixfold.train.choosing import FitShape
from sixfold.train.distillation import Distillation, Losses
from sixfold.train.distilled_texts import DistilledTexts, TextDistillation, labels
from sixfold.train.memory_steps import RECOMPUTED, StepShape
from sixfold.train.module import ExampleReader, ModuleFit
from sixfold.train.token_objectives import PAIR

PART_TOKENS: Final = (
    256  # of a part of a batch at least; measured: fewer are slower on two threads than on one
)
MOST_PARTS: Final = 4
STEP_POINTS: Final = 40  # of an epoch's curve
MOST_VOCABULARY: Final = 200_000
LONGEST: Final = 1_024  # tokens of a window of a checkpoint, where nothing is said
SIDE_PARAMETERS: Final = (
    30_000_000  # of a model, beyond which folds are trained one after the other
)
KEPT_HALVED: Final = 2.9  # bytes of such a number where products are in bfloat16: norms and the stream stay; traced: 2.8 to 3.0
LAYER_CALLS: Final = 111  # of torch for a layer, forward and backward: counted
# Seconds of report and bundle for each byte of the weights, and of the libraries and what is asked of any model: measured
# with 1M to 28M parameters.
ENDING_BYTE_S, ENDING_S = 1e-7, 1.8
MOVED: Final = 10  # times what is kept is read and written: counted

# Muon reaches AdamW's loss in about half of the steps (bench/language_target.py). The rate: AdamW's
# best one on tinyshakespeare; β2 0.95, decay 0.1 and clipping at 1 as GPT-3's.
FROM_SCRATCH: Final = TrainDefaults(
    {
        "optimizer": {"name": "auto", "learning_rate": 0.002, "beta2": 0.95, "weight_decay": 0.1},
        "schedule": "cosine",
        "warm_up": 0.05,
        "batch_size": 16,
        "epochs": 3,
        "clip": 1.0,
    },
    "a language model from scratch: Muon where its extra work is small, a rate that rises and falls, gradients that are "
    "clipped",
)
FROM_CHECKPOINT: Final = TrainDefaults(
    {
        "optimizer": {"name": "adamw", "learning_rate": 5e-5, "beta2": 0.95, "weight_decay": 0.01},
        "schedule": "cosine",
        "warm_up": 0.05,
        "batch_size": 16,
        "epochs": 1,
        "clip": 1.0,
    },
    "a language model that was trained before: a small rate, few epochs",
)


class Settings(LanguageTuning, ModuleFamily):
    """A language model: a decoder-only transformer with rotary places, RMS norms, a gated MLP and
    grouped heads (as Llama), that learns to go on with texts. From scratch it has a size, or any shape,
    and tokens that are learned from the training texts; or it goes on from a checkpoint (llama, mistral,
    qwen2 or qwen3) with that one's tokens, of which all weights are learned, or adapters.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"generation"})
    layers_compile: ClassVar[bool] = True
    shards: ClassVar[bool] = True
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"documents"})

    size: Literal["auto", "nano", "micro", "small", "medium", "base", "large"] = Field(
        "auto",
        description="Of a model from scratch, about 1M, 6M, 28M, 90M, 310M or 1.1B parameters; auto: by the texts.",
    )
    layers: int | None = Field(None, ge=1, le=200, description="Left out: by the size.")
    width: int | None = Field(None, ge=8, le=16_384, description="Left out: by the size.")
    heads: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Of attention; they divide the width. Left out: by the size.",
    )
    kv_heads: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Heads of keys and values; they divide the heads. Left out: by the size.",
    )
    mlp_width: int | None = Field(
        None,
        ge=8,
        le=65_536,
        description="Of the gated MLP. Left out: 8/3 of the width, or by the size.",
    )
    context: int | None = Field(
        None,
        ge=8,
        le=131_072,
        description="Tokens that it sees at once. Left out: by the size; of a checkpoint at most 1,024.",
    )
    vocabulary: Literal["bytes"] | int | None = Field(
        None,
        description="Tokens that are learned from the training texts, 260 to 200,000; `bytes`: none but single bytes. Left "
        "out: by the texts.",
    )
    short_first: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the training over which windows grow, from the first quarter of their tokens to all of them.",
    )
    checkpoint: str | None = Field(
        None,
        min_length=1,
        description="Folder of a checkpoint to go on from, relative to where the command is started; or its name on the hub "
        "(org/name), of which safetensors, configuration and tokenizer are fetched once. Left out: from scratch.",
    )

    keep_epochs: int = Field(
        0,
        ge=0,
        le=100,
        description="Of the last training on all rows so many last epochs' models are kept, each as a bundle of its own.",
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        shape = ("layers", "width", "heads", "kv_heads", "mlp_width", "vocabulary")
        said = [name for name in shape if getattr(self, name) is not None]
        if self.checkpoint is not None and (said or self.size != "auto"):
            raise ValueError(
                f"{(said or ['size'])[0]} is for a model from scratch; a checkpoint has its own"
            )
        if self.checkpoint is None and self.tunes_some:
            key = "adapt" if self.adapter is not None else "freeze"
            raise ValueError(f"{key} is for a checkpoint, whose folder is missing")
        size = LEAST_VOCABULARY if self.vocabulary in (None, "bytes") else int(self.vocabulary or 0)
        if not LEAST_VOCABULARY <= size <= MOST_VOCABULARY:
            raise ValueError(
                f"a vocabulary of {LEAST_VOCABULARY} to {MOST_VOCABULARY:,} tokens, or bytes"
            )
        return self

    @property
    def needs(self) -> Needs:
        """Texts, as tokens."""
        size = LEAST_VOCABULARY if self.vocabulary == "bytes" else int(self.vocabulary or 0)
        return Needs(precision="float32", documents=DocumentNeeds(size, self.checkpoint or ""))

    @property
    def train_defaults(self) -> TrainDefaults:
        """AdamW with half a cosine."""
        if self.adapter is not None:
            return ADAPTERS
        return FROM_SCRATCH if self.checkpoint is None else FROM_CHECKPOINT

    def check_task(self, task: Task) -> None:
        """Raises FitError for a shape that does not divide, DataError for a folder that is no checkpoint, SystemFault where the
        extra is missing.
        """
        check_extra()
        if self.checkpoint is None:
            self.shape(0)
        else:
            self._of_checkpoint(read_language(Path(self.checkpoint)))

    def content_digest(self) -> str:
        """SHA-256 of the files of the checkpoint, and of the teacher."""
        folders = [folder for folder in (self.checkpoint, self.teacher) if folder is not None]
        return "".join(digest(Path(folder)) for folder in folders)

    def origin(self) -> Fitted | None:
        """The checkpoint as it is."""
        if self.checkpoint is None:
            return None
        found = read_language(Path(self.checkpoint))
        context = self._of_checkpoint(found).context
        arrays = found.network().arrays()
        return LanguageModel(found.config, arrays, found.tokenizer, context, found.stops)

    def shape(self, tokens: int) -> LanguageShape:
        """From scratch, for so many tokens of training texts. Raises FitError for heads that do not
        divide.
        """
        preset = SIZES[derived_size(tokens) if self.size == "auto" else self.size]
        width = self.width or preset.width
        same = width == preset.width
        heads = self.heads or (preset.heads if same else derived_heads(width))
        kv_heads = self.kv_heads or (preset.kv_heads if heads == preset.heads else heads)
        mlp = self.mlp_width or (preset.mlp if same else derived_mlp(width))
        found = LanguageShape(
            self.layers or preset.layers,
            width,
            heads,
            kv_heads,
            mlp,
            self.context or preset.context,
        )
        if width % heads or (width // heads) % 2:
            raise FitError(
                "build, language, heads",
                f"heads that divide the width {width:,} into even parts",
                f"{heads}",
                "Change heads or width.",
            )
        if heads % kv_heads:
            raise FitError(
                "build, language, kv_heads",
                f"a number that divides the {heads} heads",
                f"{kv_heads}",
                "Change kv_heads.",
            )
        return found

    def derived(self, fit: Fit) -> str:
        """The size that was chosen and why; or what is taken of the checkpoint."""
        tokens = _tokens(fit)
        shape, vocabulary = self.shape_of(fit), tokens.tokenizer.vocabulary
        if self.checkpoint is not None:
            head = f"checkpoint {Path(self.checkpoint).name}"
        else:
            count = f"{tokens.of_file:,} tokens to learn from"
            size = derived_size(tokens.of_file) if self.size == "auto" else self.size
            head = f"size {size} ({count if self.size == 'auto' else 'as asked'})"
        return (
            f"language: {head}: {shape.parameters(vocabulary):,} parameters, {shape.layers} layers of width "
            f"{shape.width}, {shape.heads} heads ({shape.kv_heads} of keys and values), {vocabulary:,} tokens, windows of "
            f"{self.window(fit)}.{self._described(fit)}"
        )

    def _described(self, fit: Fit) -> str:
        """What of a checkpoint is learned, and from what examples."""
        tokens, context = _tokens(fit), self.shape_of(fit).context
        told = list[str]()
        if self.checkpoint is not None:
            told.append(self.learned(read_language(Path(self.checkpoint)).config))
        if tokens.rejected is not None:
            told.append(f"Preferences (DPO, beta {self.beta:g}): {len(tokens):,} pairs of answers.")
        elif tokens.whole:
            told.append(PackedExamples(tokens, context).describe())
        if tokens.whole:
            told.append(self.check_lengths(tokens, context))
        return "".join(f" {text}" for text in told if text)

    def shape_of(self, fit: Fit) -> LanguageShape:
        """Of the network for the tokens of `fit`. Raises FitError for a context that is longer than the
        checkpoint's.
        """
        if self.checkpoint is None:
            return self.shape(_tokens(fit).of_file)
        return self._of_checkpoint(read_language(Path(self.checkpoint)))

    def _of_checkpoint(self, found: LanguageFolder) -> LanguageShape:
        if self.context is not None and self.context > found.longest:
            raise FitError(
                "build, language, context",
                f"at most {found.longest:,} tokens, which {found.folder.name} sees at once",
                f"{self.context:,}",
                "Lower it, or leave it out.",
            )
        return shape_of_config(found.config, self.context or min(found.longest, LONGEST))

    def module(self, fit: Fit) -> nn.Module:
        """A network for the tokens of `fit`."""
        if self.checkpoint is not None:
            seed = derive(fit.setting.initialize.seed, fit.seed, "adapters")
            return self.tuned(read_language(Path(self.checkpoint)).network(), seed)
        return PackedNetwork(self.shape_of(fit).config(_tokens(fit).tokenizer))

    def fit_shape(self, fit: Fit) -> FitShape:
        """In tokens: each is a vector that the matrices are multiplied with."""
        with torch.device("meta"):
            found = super().fit_shape(fit)
        steps = self._sized(fit, len(_tokens(fit))).steps
        full = steps.batch == self._window_count(fit, len(_tokens(fit)))
        return found._replace(rows=steps.batch * self.window(fit), full=full, unit="tokens")

    def examples(self, fit: Fit) -> ExampleReader:
        """Windows of packed texts, or of whole examples; or pairs of answers. Raises FitError for
        examples that are too long.
        """
        tokens, context = _tokens(fit), self.shape_of(fit).context
        if not tokens.whole:
            return PackedTexts(tokens, context)
        self.check_lengths(tokens, context)
        if tokens.rejected is not None:
            return PairExamples(tokens, context)
        return PackedExamples(tokens, context)

    def window(self, fit: Fit) -> int:
        """Tokens of a window."""
        tokens, context = _tokens(fit), self.shape_of(fit).context
        return PackedExamples(tokens, context).length if tokens.whole else context

    def work_of(self, fit: Fit, context: Context) -> ModuleFit:
        """As of any module; of preferences the scores of both answers are compared."""
        work = super().work_of(fit, context)
        if self.short_first:
            if _tokens(fit).whole:
                raise FitError(
                    "build, language, short_first",
                    "texts that may be cut",
                    "examples, which are learned whole",
                    "Leave it out.",
                )
            work = replace(work, shorten=partial(shortened, share=self.short_first))
        if _tokens(fit).rejected is None:
            return work
        network: Any = work.module
        return preferring(work, network, self.beta)

    def _compared(self, fit: Fit) -> tuple[ExampleReader, Losses]:
        """With the teacher that the recipe names, where it names one."""
        if fit.teacher is not None or self.teacher is None:
            return super()._compared(fit)
        teacher = self.taught_by(_tokens(fit).tokenizer)
        settings = Distillation(self.temperature, self.teacher_weight)
        return DistilledTexts(self.examples(fit)), TextDistillation(teacher, self.losses, settings)

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of each window the sum over its tokens, [B]."""
        return token_losses(outputs, targets).sum(dim=1)

    def counted(self, targets: torch.Tensor) -> int:
        """Tokens that are learned."""
        return int((labels(targets) != IGNORED).sum())

    def distilled(self, fit: Fit, teacher: nn.Module) -> tuple[ExampleReader, Losses]:
        """Of every token that is learned the teacher's distribution, too."""
        return DistilledTexts(self.examples(fit)), TextDistillation(teacher, self.losses)

    def parts(self, fit: Fit) -> Callable[[int], int]:
        """Parts of PART_TOKENS or more: 1, 2 or 4 of them."""
        return partial(_parts, max(1, PART_TOKENS // self.window(fit)))

    def rows_at_once(self, fit: Fit) -> int:
        """As many windows as there is room for what they keep for their gradients."""
        return windows_at_once(self.shape_of(fit), self._vocabulary(fit), self.window(fit))

    def folds_at_once(self, size: int) -> int:
        """One of a large model, whose batches have all cores to themselves."""
        return 1 if self._is_large() else super().folds_at_once(size)

    def _is_large(self) -> bool:
        """As far as is known before the texts are."""
        folder = self.checkpoint
        shape = self._of_checkpoint(read_language(Path(folder))) if folder else self.shape(0)
        return shape.parameters(LEAST_VOCABULARY) > SIDE_PARAMETERS

    @property
    def step_points(self) -> int:
        """As an epoch is long."""
        return STEP_POINTS

    def observer(self, fit: Fit, context: Context) -> Callable[[nn.Module, int], None] | None:
        """Samples of the text that it writes, at some epochs, of the first fold and of the last
        training.
        """
        if "candidate" not in context.facts or context.facts.get("fold", 0) != 0:
            return None
        tokens, epochs = _tokens(fit), fit.setting.train.epochs
        fitted = partial(self.fitted, fit=fit)
        return EpochObserver(tokens, epochs, self._stops(), self.keep_epochs, fitted, context)

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network of a state, ready to be trained further. Raises TypeError for another family's."""
        if not isinstance(fitted, LanguageModel):
            raise TypeError(f"{type(fitted).__name__} is no LanguageModel")
        return self.tuned(fitted.network())

    def fitted(self, module: nn.Module, fit: Fit) -> LanguageModel:
        """The trained network as arrays, with its tokenizer."""
        trained: Any = student(module)
        tokens = replace(_tokens(fit), rejected=None)
        network = self.untuned(trained, self.examples(replace(fit, x=tokens)))
        context, stops = self.shape_of(fit).context, self._stops()
        return LanguageModel(
            network.config, network.arrays(), _tokens(fit).tokenizer, context, stops=stops
        )

    def _stops(self) -> tuple[int, ...]:
        """Ids that end an answer of the checkpoint."""
        return () if self.checkpoint is None else read_language(Path(self.checkpoint)).stops

    def work(self, rows: int) -> float:
        """Texts."""
        return float(rows)

    def lighter(self, few: Sequence[Fit], rows: int, closed: bool = False) -> Iterator[MemoryStep]:
        """As of any module; at last adapters, and a base of fewer bits."""
        now = few[0].setting.strategy
        for found in super().lighter(few, rows, closed):
            yield found
            now = found.strategy
        yield from self.changed(now, self.checkpoint is not None, closed)

    def under(self, strategy: Strategy) -> Self:
        """With the adapters that a strategy chose."""
        changes = self.chosen_by(strategy)
        return self.model_copy(update=changes) if changes else self

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """Weights; of those that are learned gradients and what the optimizer remembers; and what is kept
        of the tokens of a batch for their gradients (what torch traces says the same within a tenth).
        """
        fit, strategy = few[0], few[0].setting.strategy
        shape, steps = self._sized(fit, rows)
        vocabulary = self._vocabulary(fit)
        kept = kept_numbers(shape, vocabulary)
        if strategy.gradient_checkpointing:  # what enters each layer, and one layer
            one = shape._replace(layers=1)
            kept = shape.layers * shape.width + kept_numbers(one, vocabulary)
        parts = self.parts(fit)(steps.batch)
        of_part = min(steps.at_once, strategy.micro_batch or steps.at_once)
        together = 1 if self._is_large() else at_once(fit)
        windows = min(steps.batch, beside(together, parts) * of_part)
        weights = 4 * shape.parameters(vocabulary)
        learned = self._learned_bytes(weights)
        answers = 1 if _tokens(fit).rejected is None else PAIR
        activations = answers * windows * self.window(fit) * kept
        shares = {
            "parameters": self._stored_bytes(shape, vocabulary),
            "gradients": parts * learned,
            "optimizer": remembered_bytes(fit, learned),
            "activations": int((KEPT_HALVED if halves(fit) else 4) * activations),
            "scoring": self._scoring_bytes(fit, shape, rows),
        }
        held = sum(shares.values()) + weights + 2 * learned
        whole = 1 if strategy.micro_batch else parts
        return FitCost(held, weights, together, shares, whole)

    def ending_bytes(self, model_bytes: int) -> int:
        """Of a checkpoint that is gone on from its own weights, and its network, are held as well."""
        origin = 0 if self.checkpoint is None else 2 * model_bytes
        return super().ending_bytes(model_bytes) + origin

    def ending_s(self, model_bytes: int) -> float:
        """It is written in two forms, served, asked and measured; so is the checkpoint that it went on from."""
        return ENDING_S + (1 if self.checkpoint is None else 2) * ENDING_BYTE_S * model_bytes

    def observing(self, few: Sequence[Fit], rows: int) -> FitWork:
        """Texts that it writes, by one thread."""
        fit, (shape, _) = few[0], self._sized(few[0], rows)
        times = min(fit.setting.train.epochs, SAMPLED) + 1
        return FitWork(flops=times * sampling(2 * shape.parameters(self._vocabulary(fit))))

    def compressing(
        self, few: Sequence[Fit], rows: int, section: Compress
    ) -> CompressionWork | None:
        """Counted: fewer bits, and units that go."""
        fit = few[0]
        shape, _ = self._sized(fit, rows)
        tokens = self._token_count(fit, rows)
        return compression_work(shape, self._vocabulary(fit), tokens, section)

    def _scoring_bytes(self, fit: Fit, shape: LanguageShape, rows: int) -> int:
        """Of the windows that each thread scores at once when a fold is judged: their scores and the logarithms, and what
        a layer makes of them.
        """
        vocabulary = self._vocabulary(fit)
        at_once = AT_ONCE // _tokens(fit).tokenizer.vocabulary
        tokens = min(at_once, self._token_count(fit, rows))
        return 4 * cores() * tokens * (3 * vocabulary + 3 * shape.mlp + 8 * shape.width)

    def _stored_bytes(self, shape: LanguageShape, vocabulary: int) -> int:
        """Of the weights as they are kept in training: those of products below adapters may have fewer bits."""
        products = shape.parameters(0)
        others = shape.parameters(vocabulary) - products
        stored = STORED_BYTES[self.base] if self.adapter is not None else 4
        return int(stored * products + 4 * others)

    def _learned_bytes(self, weights: int) -> int:
        """Of the weights that are learned, of `weights` bytes."""
        if self.checkpoint is None or not self.tunes_some:
            return weights
        return 4 * self.learned_weights(read_language(Path(self.checkpoint)).config)

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """Six times the weights for every token, twelve times the width for every two tokens of a
        window and layer (Kaplan and others, Scaling laws for neural language models, 2020).
        """
        fit, epochs = few[0], few[0].setting.train.epochs
        shape, steps = self._sized(fit, rows)
        vocabulary = self._vocabulary(fit)
        windows, weights = self._window_count(fit, rows), shape.parameters(vocabulary)
        tokens = float(epochs * windows * self.window(fit))
        attention = 12 * shape.layers * shape.width * self.window(fit)
        again = RECOMPUTED if fit.setting.strategy.gradient_checkpointing else 1.0
        parts = self.parts(fit)(steps.batch)
        aside = self.observing(few, rows).flops
        of_part = min(steps.at_once, fit.setting.strategy.micro_batch or steps.at_once)
        moved = 4 * tokens * MOVED * kept_numbers(shape, vocabulary)
        batches = epochs * -(-windows // steps.batch)
        return FitWork(
            flops=again * tokens * (6 * weights + attention) + min(cores(), parts) * aside,
            calls=epochs * windows / of_part * (LAYER_CALLS * shape.layers + STEP_CALLS),
            moved_bytes=again * moved + 28 * weights * batches,
            parts=parts,
        )

    def step_shape(self, fit: Fit, rows: int) -> StepShape:
        """In windows."""
        shape, steps = self._sized(fit, rows)
        return StepShape(steps.batch, steps.at_once, shape.layers)

    def _sized(self, fit: Fit, rows: int) -> SizedSteps:
        """The shape that so many texts get, and the windows of a step."""
        shape = self.shape_of(fit)
        if self.checkpoint is None:
            shape = self.shape(self._token_count(fit, rows))
        windows, wanted = self._window_count(fit, rows), fit.setting.train.batch_size
        batch = windows if wanted == "full" else min(windows, wanted)
        length, vocabulary = self.window(fit), self._vocabulary(fit)
        part = -(-batch // _parts(max(1, PART_TOKENS // length), batch))
        return SizedSteps(
            shape, BatchRows(batch, min(part, windows_at_once(shape, vocabulary, length)))
        )

    def _vocabulary(self, fit: Fit) -> int:
        """Scores of a token: of a checkpoint as its configuration says, which may have room for more than there are."""
        if self.checkpoint is None:
            return _tokens(fit).tokenizer.vocabulary
        return int(json.loads(read_language(Path(self.checkpoint)).config)["vocab_size"])

    def _token_count(self, fit: Fit, rows: int) -> int:
        tokens = _tokens(fit)
        return int(tokens.lengths.sum() * rows / max(1, len(tokens)))

    def _window_count(self, fit: Fit, rows: int) -> int:
        return max(1, self._token_count(fit, rows) // self.window(fit))


class SizedSteps(NamedTuple):
    """A network's shape, and the windows of its steps."""

    shape: LanguageShape
    steps: BatchRows


def _parts(rows_of_part: int, rows: int) -> int:
    """Of a batch of so many rows: a power of two."""
    most = max(1, min(MOST_PARTS, rows // rows_of_part))
    return int(1 << (most.bit_length() - 1))


def _tokens(fit: Fit) -> StoredTokens:
    return stored_tokens(fit.x)
