"""What the loop asks of an optimizer: fields of its Settings, and abilities of what they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol, runtime_checkable

from sixfold.recipe.section import Section


class OptimizerSettings(Section):
    """The base of a file in `train/optimizers`. `full_batch`: it asks for gradients itself, several
    a step, all of the same rows; `shaped`: it works on each parameter as it is, not on all numbers
    alike; `schedule_free`: it takes no schedule and no warm-up, and keeps two points: what it makes
    has `train` and `eval`, after which the parameters are where it trains, or the model; `rate_of`:
    the optimizer whose learning rate a range test finds for it, and what that is multiplied by.
    """

    full_batch: ClassVar[bool] = False
    shaped: ClassVar[bool] = False
    schedule_free: ClassVar[bool] = False
    rate_of: ClassVar[tuple[str, float] | None] = None

    @property
    def remembers(self) -> float:
        """Numbers that are kept of each weight from one step to the next."""
        return 2.0


@runtime_checkable
class Quick(Protocol):
    """Ability of a torch optimizer: a step without what stands around it in torch."""

    def quick(self) -> Callable[[], None]:
        """The same as `step()`, until one of its tensors is replaced."""
