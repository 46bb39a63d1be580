"""What every step may ask of the run it belongs to: say something, know the time left, derive a
seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sixfold.core.errors import BudgetError
from sixfold.core.seeds import derive

if TYPE_CHECKING:
    from sixfold.runs.rank_processes import RankProcesses
    from sixfold.runs.saves import Checkpoints

Emit = Callable[[str, dict[str, Any]], None]


def unwatched() -> None:
    """Looks at nothing: for fits outside a run."""


def silent(kind: str, facts: dict[str, Any]) -> None:
    """Emits nothing: for fits outside a run."""


@dataclass(frozen=True)
class Context:
    """Passed to every step. `deadline`: time.monotonic() seconds at which work has to stop, or
    None. `device`: cpu or cuda, where networks train.

    `facts` are added to every event (`candidate`, `fold`), so that what works inside need not know
    them. `saves`: where long work leaves what it has so far; None keeps nothing. `check_memory`
    raises BudgetError where more is held than the budget allows; `recover`: less is needed from now on, so that what was
    held counts no longer. `ranks`: processes that train every network together with this one; None for none.
    """

    seed: int = 0
    emit_to: Emit = silent
    deadline: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    saves: Checkpoints | None = None
    device: str = "cpu"
    check_memory: Callable[[], None] = unwatched
    recover: Callable[[], None] = unwatched
    ranks: RankProcesses | None = None

    def emit(self, kind: str, **facts: Any) -> None:
        """One event: a fact that happened, as plain JSON values."""
        self.emit_to(kind, {**self.facts, **facts})

    def within(self, *names: str | int, **facts: Any) -> Context:
        """The context of a part: its own seed, its own facts on every event."""
        return replace(self, seed=derive(self.seed, *names), facts={**self.facts, **facts})

    def left_s(self) -> float:
        """Seconds left; infinite without a deadline."""
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    def check_time(self, doing: str) -> None:
        """Raises BudgetError when no time is left, or more memory is held than the budget
        allows.
        """
        self.check_memory()
        if self.left_s() <= 0:
            raise BudgetError(
                "budget.time",
                "work that ends in time",
                f"no time left while {doing}",
                "Raise budget.time.",
            )
