"""`budget.strategy`: how trainings of networks are made to fit into memory."""

from __future__ import annotations

from typing import Final, NamedTuple

from pydantic import Field

from sixfold.recipe.section import Section


class Strategy(Section):
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
    adapt: bool = Field(
        False,
        description="A training that runs out of memory takes the next stronger strategy and goes on, instead of ending.",
    )


PLAIN: Final = Strategy()


class MemoryStep(NamedTuple):
    """A stronger strategy. `change`: what it changes, as a recipe says it; `why`: what it does, and what it costs;
    `slower`: times as long.
    """

    strategy: Strategy
    change: str
    why: str
    slower: float = 1.0
