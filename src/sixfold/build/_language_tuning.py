"""How a language model is fine-tuned: what of it is learned, from whom, and what becomes of examples
that are longer than its context.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator

from sixfold.build.family import TrainDefaults
from sixfold.core.errors import FitError
from sixfold.core.units import counted
from sixfold.parts.language_checkpoint import read_language
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.stored_tokens import StoredTokens
from sixfold.parts.text_tokenizer import TextTokenizer
from sixfold.parts.token_windows import ids_of
from sixfold.recipe.strategy import MemoryStep, Strategy
from sixfold.train.adapters.adapt import SEED, Adapter, adapted, freeze, merged
from sixfold.train.adapters.stored_product import GROUP, Storage
from sixfold.train.distilled_texts import OF_TEXTS
from sixfold.train.module import ExampleReader
from sixfold.train.token_objectives import BETA

LAST_PRODUCT: Final = "network.lm_head"  # has no adapter, as it may be the table of vectors
PROBED: Final = 2  # windows by which a merge is checked
SHOWN: Final = 12  # tokens of an example that is too long
# Bytes of a weight below adapters, with its share of a scale of two bytes.
STORED_BYTES: Final[Mapping[Storage, float]] = {
    "float32": 4.0,
    "bfloat16": 2.0,
    "int8": 1 + 2 / GROUP,
    "int4": 0.5 + 2 / GROUP,
}
OF_ADAPTERS: Final = ("rank", "alpha", "dropout", "targets", "base")

# Hu and others, LoRA, 2021, table 12 (2e-4 for GPT-2), and Dettmers and others, QLoRA, 2023, table 9
# (2e-4 up to 13B parameters); batches and epochs are guessed: examples are few.
ADAPTERS: Final = TrainDefaults(
    {
        "optimizer": {"name": "adamw", "learning_rate": 2e-4, "beta2": 0.95, "weight_decay": 0.0},
        "schedule": "cosine",
        "warm_up": 0.05,
        "batch_size": 4,
        "epochs": 3,
        "clip": 1.0,
    },
    "low-rank adapters of a language model: a larger rate than for all of its weights",
)


class LanguageTuning(BaseModel):
    """The settings of a language model that goes on from a checkpoint."""

    adapt: Literal["whole", "lora", "rslora", "dora", "pissa"] = Field(
        "whole",
        description="What is learned: all weights, or low-rank adapters beside the products of all layers, merged at the end.",
    )
    rank: int = Field(
        8, ge=1, le=1024, description="Of adapters: columns of the two matrices of each product."
    )
    alpha: float = Field(
        16.0,
        gt=0,
        description="What adapters add is multiplied by alpha / rank (rslora: alpha / √rank).",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of a product's inputs that its adapter does not see."
    )
    targets: str = Field(
        "*",
        min_length=1,
        description="Products with adapters: patterns of names, | between them: *.q_proj|*.v_proj.",
    )
    base: Storage = Field(
        "float32",
        description="How the weights below adapters are kept in training: float32, bfloat16, or int8 or int4 with a scale "
        "for every 32.",
    )
    freeze: str | None = Field(
        None,
        min_length=1,
        description="Weights that are not learned: patterns of names, | between them, such as *embed_tokens*.",
    )
    too_long: Literal["refuse", "truncate"] = Field(
        "refuse",
        description="Examples (conversations, prompts with completions) that are longer than the context: an error, or "
        "their first tokens alone.",
    )
    beta: float = Field(
        BETA,
        gt=0,
        description="Of preferences (DPO): how dear it is to leave the model that it started as.",
    )
    teacher: str | None = Field(
        None,
        min_length=1,
        description="Folder of a checkpoint with the same tokens, to whose probabilities those of the model are drawn.",
    )
    temperature: float = Field(
        OF_TEXTS.temperature, gt=0, description="Of a teacher: above 1 its distribution is flatter."
    )
    teacher_weight: float = Field(
        OF_TEXTS.weight, gt=0, le=1, description="How much a teacher counts against the texts."
    )

    @model_validator(mode="after")
    def _adapters_alone_have_a_rank(self) -> Self:
        said = [name for name in OF_ADAPTERS if name in self.model_fields_set]
        if self.adapt == "whole" and said:
            raise ValueError(f"{said[0]} is for adapters, such as adapt: lora")
        of_teacher = self.model_fields_set & {"temperature", "teacher_weight"}
        if self.teacher is None and of_teacher:
            raise ValueError(f"{min(of_teacher)} is for a teacher, whose folder is missing")
        if self.adapt != "whole" and self.freeze is not None:
            raise ValueError("freeze is for adapt: whole; adapters freeze all other weights")
        return self

    @property
    def adapter(self) -> Adapter | None:
        """None where all weights are learned."""
        if self.adapt == "whole":
            return None
        return Adapter(
            method=self.adapt,
            rank=self.rank,
            alpha=self.alpha,
            dropout=self.dropout,
            targets=self.targets,
            base=self.base,
        )

    def tuned(self, network: PackedNetwork, seed: int = SEED) -> PackedNetwork:
        """The network with what is not learned frozen, and what is added. Raises FitError for patterns
        that name nothing.
        """
        if self.freeze is not None:
            return freeze(network, self.freeze)
        if self.adapter is not None:
            return adapted(network, self.adapter, "language", seed, LAST_PRODUCT)
        return network

    def untuned(self, network: PackedNetwork, examples: ExampleReader) -> PackedNetwork:
        """The network with its adapters merged into its weights, checked on some examples. Raises
        FitError where the merged one says something else.
        """
        if self.adapter is None:
            return network
        x, _ = examples.read(np.arange(min(PROBED, len(examples))), None)
        return merged(network, lambda module: module(x), self.base)

    def learned(self, config: str) -> str:
        """In words, of the network of a configuration; '' where all of it is learned."""
        if not self.tunes_some:
            return ""
        few, kept = self.learned_weights(config), ""
        if self.base != "float32":
            kept = f", those of the products below them are kept in {self.base}"
        return f"{few:,} weights are learned ({self.adapt}){kept}."

    def changed(self, now: Strategy, checkpoint: bool, closed: bool) -> Iterator[MemoryStep]:
        """Less that is learned, or a base of fewer bits: what changes the result. Only where the recipe left it open, or
        `closed`.
        """
        whole = self.adapt == "whole" and self.freeze is None
        if checkpoint and whole and (closed or "adapt" not in self.model_fields_set):
            now = now.model_copy(update={"adapter": "lora"})
            why = "adapters are learned in the place of all weights, which changes the result; they are merged at the end"
            yield MemoryStep(now, "adapt: lora", why, "build")
        elif self.adapter is None:
            return
        if not closed and "base" in self.model_fields_set:
            return
        for base in ("int8", "int4"):
            if STORED_BYTES[base] < STORED_BYTES[self.base]:
                now = now.model_copy(update={"base": base})
                why = f"the weights below the adapters are kept in {base[3:]} bits, which changes the result"
                yield MemoryStep(now, f"base: {base}", why, "build")

    def chosen_by(self, strategy: Strategy) -> dict[str, str]:
        """What a strategy changes of these settings."""
        found = {"adapt": strategy.adapter, "base": strategy.base}
        return {key: value for key, value in found.items() if value is not None}

    @property
    def tunes_some(self) -> bool:
        """Whether some weights are learned, and others stay."""
        return self.adapter is not None or self.freeze is not None

    def learned_weights(self, config: str) -> int:
        """How many; no memory is taken for them."""
        with torch.device("meta"):
            network = PackedNetwork(config)
        # Where adapters start from, and how the base is kept, adds no weight.
        plain = {"adapt": "lora" if self.adapt == "pissa" else self.adapt, "base": "float32"}
        tuned = self.model_copy(update=plain).tuned(network)
        return sum(one.numel() for one in tuned.parameters() if one.requires_grad)

    def check_lengths(self, tokens: StoredTokens, context: int) -> str:
        """What is cut, in words. Raises FitError for examples that are longer than the context, unless
        they are to be cut and something to learn is left of each.
        """
        sides = [tokens] if tokens.rejected is None else [tokens, tokens.rejected]
        long = [
            (side, row)
            for side in sides
            for row in np.flatnonzero(side.lengths - 1 > context).tolist()
        ]
        if not long:
            return ""
        if self.too_long == "refuse":
            remedy = "Raise context, set too_long: truncate, or leave such rows out."
            raise _too_long(
                long[0][0], long[0][1], f"at most {context:,} tokens, the context", remedy
            )
        for side, row in long:
            ids = side.opened()[side.starts[side.rows[row]] :][: context + 1]
            if not (ids[1:] >= 0).any():
                remedy = "Raise context, or leave such rows out."
                raise _too_long(side, row, f"an answer within {context:,} tokens", remedy)
        return (
            f"{counted(len(long), 'example')} longer than {context:,} tokens: the rest is left out."
        )

    def taught_by(self, tokenizer: TextTokenizer) -> PackedNetwork:
        """The teacher. Raises FitError for one with other tokens."""
        found = read_language(Path(self.teacher or ""))
        own, other = (one.library(False).get_vocab() for one in (tokenizer, found.tokenizer))
        if own != other:
            raise FitError(
                "build, language, teacher",
                f"a model of the same {len(own):,} tokens",
                f"{len(own.items() - other.items()):,} that it has not",
                "Choose a checkpoint with the same tokenizer.",
            )
        return found.network()


def _too_long(tokens: StoredTokens, row: int, expected: str, remedy: str) -> FitError:
    first = int(tokens.starts[tokens.rows[row]])
    ids = ids_of(tokens.opened()[first : first + SHOWN])
    text = tokens.tokenizer.decode(ids.tolist())
    found = f"{int(tokens.lengths[row]) - 1:,} in the example that begins {text!r}"
    return FitError("build, language", expected, found, remedy)
