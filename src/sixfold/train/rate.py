"""The learning rate of every step: the schedule, after a warm-up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

from pydantic import BaseModel, GetJsonSchemaHandler

AUTO: Final = "auto"  # in a recipe, for a rate that is found by a range test


class _OrAuto:
    """The recipe may say `auto`; the plug-in is made with the number that was found."""

    def __get_pydantic_json_schema__(
        self, core: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(core), {"const": AUTO}]}


LearningRate = Annotated[
    float, _OrAuto()
]  # the option `learning_rate` of an optimizer for which a range test can find it


def takes_auto(settings: type[BaseModel]) -> bool:
    """Whether an optimizer's Settings has such an option."""
    return any(
        isinstance(mark, _OrAuto) for mark in settings.model_fields["learning_rate"].metadata
    )


class Schedule(Protocol):
    """What a file in `train/schedules` gives."""

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate of step `step` (0 to `steps` − 1) is multiplied by."""


@dataclass(frozen=True)
class Rate:
    """`base` · (step + 1) / W over the first W = ⌈warm_up · steps⌉ steps, then the schedule over
    the steps left.

    Goyal et al., Accurate, large minibatch SGD, 2017 (gradual warm-up).
    """

    base: float
    schedule: Schedule
    warm_up: float
    steps: int

    def at(self, step: int) -> float:
        """The learning rate of step 0, 1, …, steps − 1."""
        warm = math.ceil(self.warm_up * self.steps)
        rest = max(1, self.steps - warm)
        if step < warm:
            return self.base * self.schedule.factor(0, rest) * (step + 1) / warm
        return self.base * self.schedule.factor(step - warm, rest)
