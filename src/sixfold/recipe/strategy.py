"""`budget.strategy`: how trainings of networks are made to fit into memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from pydantic import Field

from sixfold.recipe.section import Section


class AskedStrategy(Section):
    """What is traded for memory. Nothing here changes the batch of a step (`train.batch_size`): its gradient is
    the same mean over the same rows, whatever is computed at once.
    """

    fits_at_once: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Networks that are trained side by side at most. Left out: by cores and memory.",
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="Rows whose gradient is computed at once; the gradients of a batch are added up. Left out: a batch's part.",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Keep the inputs of blocks of layers alone, and compute each block again for its gradient.",
    )
    offload: bool = Field(
        False,
        description="What the optimizer remembers lies in files of the run's scratch folder (beside a GPU in the memory of "
        "the processor), and is in memory piece by piece.",
    )
    shard: bool = Field(
        False,
        description="With `data_parallel`, of language models: each process keeps a part of the weights, of their gradients "
        "and of what the optimizer remembers (FSDP2), and layers are put together while they are computed.",
    )
    adapt: bool = Field(
        False,
        description="A training that runs out of memory takes the next stronger strategy and goes on, instead of ending.",
    )


class Strategy(AskedStrategy):
    """What a recipe asks for, and what `auto` found besides of keys that have a place of their own in it, and that it left
    open: `train.precision`, and `adapt` and `base` of a language model. These change what is learned.
    """

    precision: Literal["bfloat16"] | None = Field(None, description="As `train.precision`.")
    adapter: Literal["lora"] | None = Field(None, description="As `adapt` of a language model.")
    base: Literal["int8", "int4"] | None = Field(
        None, description="As `base` of a language model: below its adapters."
    )

    def and_of(self, other: Strategy) -> Strategy:
        """What is traded by one of the two, or by both."""
        return Strategy(
            fits_at_once=_least((self.fits_at_once, other.fits_at_once)),
            micro_batch=_least((self.micro_batch, other.micro_batch)),
            gradient_checkpointing=self.gradient_checkpointing or other.gradient_checkpointing,
            offload=self.offload or other.offload,
            shard=self.shard or other.shard,
            adapt=self.adapt or other.adapt,
            precision=self.precision or other.precision,
            adapter=self.adapter or other.adapter,
            base="int4" if "int4" in (self.base, other.base) else self.base or other.base,
        )


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


PLAIN: Final = Strategy()


class MemoryStep(NamedTuple):
    """A stronger strategy. `change`: what it changes, as the section `section` of a recipe says it; `why`: what it does,
    and what it costs.
    """

    strategy: Strategy
    change: str
    why: str
    section: str = "budget.strategy"
