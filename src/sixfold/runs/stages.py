"""Stages as plain values, and who does them: here, one after the other, or side by side
(`runs.side_by_side`) in processes of this machine or of a cluster.

What decides (a comparison, a search) is a generator: it hands out stages and is sent what came of
them. So it calls nobody that trains, and does not know where a stage is done.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from sixfold.core.errors import BudgetError, FitError
from sixfold.runs.context import Context
from sixfold.runs.folder import RunFolder

Result = TypeVar("Result")


class Action(Protocol):
    """What a stage does: a dataclass of plain values and arrays, so that another process can be
    told of it.
    """

    def perform(self, inputs: Any, context: Context, folder: Path) -> None:
        """Do it, and write the result into `folder`. `inputs`: what every stage of its kind reads,
        the data among it.
        """

    def parts(self, count: int) -> Sequence[Action]:
        """At most `count` actions that leave what they do in the stage's saved state
        (`Context.saves`), in any order or side by side: the whole action then has little left to
        do, and the same bytes to write. Fewer than two: it is not divided.
        """

    def save(self, folder: Path) -> None:
        """Write it into a folder, to be read by `evaluate.stage_requests`."""


@dataclass(frozen=True)
class Stage:
    """A named piece of a run's work, done once. `key`: the hash of all that its result depends on;
    `inputs`: what its action reads, known in every process that does stages. `context`: of the
    stage, with its deadline, its facts and its checkpoints. `memory_bytes`: of the process that
    does it, as planned; None where that is not known.
    """

    name: str
    key: str
    action: Action
    inputs: Any
    context: Context
    memory_bytes: int | None = None


Done: TypeAlias = Path | BudgetError | FitError
"""Where a stage's result is, or why there is none."""

Work: TypeAlias = Generator[Sequence[Stage], Sequence[Done], Result]
"""Hands out stages that do not depend on each other, is sent what came of them in the same order,
and returns a result.
"""


class Executor(Protocol):
    """Who does stages. A further one (on other machines) implements these two."""

    @property
    def workers(self) -> int:
        """How many stages it does side by side: as many are worth handing out at once."""

    @property
    def sharing(self) -> int:
        """How many of them share this machine's memory."""

    def complete(self, work: Work[Result]) -> Result:
        """Do all that `work` hands out, and return what it returns."""


@dataclass(frozen=True)
class Here:
    """In this process, one after the other."""

    folder: RunFolder

    @property
    def workers(self) -> int:
        """One."""
        return 1

    @property
    def sharing(self) -> int:
        """One."""
        return 1

    def complete(self, work: Work[Result]) -> Result:
        """Raises what a stage raises that is no lack of budget and no failed fit."""
        done: list[Done] = []
        while True:
            try:
                stages = work.send(done) if done else next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            done = []
            for stage in stages:
                try:
                    with self.folder.stage(stage.name, stage.key) as place:
                        if place.aside is not None:
                            stage.action.perform(stage.inputs, stage.context, place.aside)
                    done.append(place.folder)
                except (BudgetError, FitError) as error:
                    done.append(error)
