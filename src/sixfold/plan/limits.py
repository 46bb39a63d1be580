"""What fits into memory, what would make it fit, and what is said where nothing does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

import numpy as np
import psutil

from sixfold.build.candidate import Candidate, fits_of
from sixfold.core.errors import BudgetError, DataError, RecipeError
from sixfold.core.units import show_bytes, size_bytes
from sixfold.evaluate.cross_validation import MANY
from sixfold.evaluate.fold import Fold
from sixfold.parts.table import Dataset
from sixfold.plan.machines import Machine, free_bytes
from sixfold.plan.memory import MEMORY_ERROR, MemoryNeeds, Size, Stacks, needs_of, sizes, stacks_of
from sixfold.recipe.budget import Budget
from sixfold.recipe.strategy import MemoryStep, Strategy
from sixfold.runs.context import Context

REMEDY: Final = (
    "Group rare values (prepare.features: one_hot with max_levels), take a family that needs no one-hot "
    "features (tree, forest, boosting), or fewer rows or columns."
)
HALVINGS: Final = (
    12  # of the rows, in the search for how many would fit: to a four-thousandth of them
)


@dataclass(frozen=True)
class MemoryBounds:
    """Bytes that this process may hold, and those of the device where networks train (None: of no device). `where`: who
    says so; `error`: a forecast may be so many times too high before it is refused.
    """

    host: int
    device: int | None = None
    where: str = "memory"
    error: float = MEMORY_ERROR

    @classmethod
    def of(cls, budget: Budget, machine: Machine | None = None, device: str = "cpu") -> Self:
        """The budget's memory, or that of a machine: another one, or what is free on this one, and of its device."""
        there, on_device = limit(budget), free_bytes(device)
        if machine is not None:
            there, on_device = machine.memory_bytes, machine.device_bytes or None
        if budget.memory:
            return cls(min(size_bytes(budget.memory), there), on_device, "budget.memory", 1.0)
        return cls(there, on_device, "memory", MEMORY_ERROR if machine is None else 1.0)

    def holds(self, needs: MemoryNeeds) -> bool:
        """Whether there is room for them."""
        return needs.host_bytes / self.error <= self.host and (
            self.device is None or needs.device_bytes <= self.device
        )


class Placement(NamedTuple):
    """Candidates that are trained as one, as they would be: `beside`: folds at once, at most."""

    needs: MemoryNeeds
    size: Size
    stacks: Stacks
    beside: int


@dataclass(frozen=True)
class Work:
    """Candidates that are trained as one, on the folds of some rows; on `device`, by so many `ranks`."""

    alike: Sequence[Candidate]
    training: Dataset
    folds: Sequence[Fold]
    device: str = "cpu"
    ranks: int = 1

    def size(self) -> Size:
        """Raises DataError or RecipeError for what a few rows cannot show."""
        first = self.alike[0]
        return sizes(first, self.training, self.folds, Context(seed=first.initialize.seed))

    def placed(self, size: Size, room: MemoryBounds) -> Placement:
        """With as many folds at once as there is room for, one at least."""
        stacks = stacks_of(self.alike, size, len(self.folds))
        if self.alike[0].family.trained_by_the_loop:
            return Placement(self._needs(size, stacks), size, stacks, MANY)
        for beside in range(stacks.folds, 1, -1):
            part = Stacks(beside, beside * len(self.alike))
            needs = self._needs(size, part)
            if room.holds(needs):
                return Placement(needs, size, part, MANY if beside == stacks.folds else beside)
        alone = Stacks(1, len(self.alike))
        return Placement(self._needs(size, alone), size, alone, 1)

    def with_strategy(self, strategy: Strategy) -> Work:
        """The same, trained so."""
        return replace(self, alike=[one.under(strategy) for one in self.alike])

    def _needs(self, size: Size, stacks: Stacks) -> MemoryNeeds:
        needs = needs_of(self.alike, self.training, len(self.folds), size, stacks, self.device)
        return needs.in_ranks(self.ranks, self.alike[0].strategy.shard)


@dataclass(frozen=True)
class Placed:
    """Candidates that are trained as one, with the strategy by which there is room; `steps`: those that `auto` took."""

    work: Work
    placement: Placement
    steps: tuple[MemoryStep, ...] = ()

    @property
    def strategy(self) -> Strategy:
        """How they are trained."""
        return self.work.alike[0].strategy


def place(work: Work, size: Size, room: MemoryBounds, auto: bool) -> Placed:
    """As the recipe says; where there is no room and `auto` may look for some, with the weakest strategy that fits."""
    placement = work.placed(size, room)
    if room.holds(placement.needs) or not auto:
        return Placed(work, placement)
    steps = steps_that_fit(work, size, room)
    if not steps:
        return Placed(work, placement)
    work = work.with_strategy(steps[-1].strategy)
    return Placed(work, work.placed(size, room), steps)


def steps_that_fit(
    work: Work, size: Size, room: MemoryBounds, closed: bool = False
) -> tuple[MemoryStep, ...]:
    """The weakest strategy for which there is room, as steps of which each is stronger; () where even the strongest
    needs more. `closed`: also such as change what is learned, where the recipe decided otherwise.
    """
    first = work.alike[0]
    steps = list(first.family.lighter(fits_of(work.alike, [size.few]), size.rows, closed))
    low, high = 0, len(steps)
    while low < high:
        middle = (low + high) // 2
        if room.holds(work.with_strategy(steps[middle].strategy).placed(size, room).needs):
            high = middle
        else:
            low = middle + 1
    return () if low == len(steps) else _last_of_each(steps[: low + 1])


def _last_of_each(steps: Sequence[MemoryStep]) -> tuple[MemoryStep, ...]:
    """Of steps that change the same key, the last one."""
    return tuple({step.change.partition(":")[0]: step for step in steps}.values())


def check_memory(candidate: str, needed: int, budget: Budget, remedy: str = REMEDY) -> None:
    """Raises BudgetError when the budget has less than a candidate is forecast to need, or the
    machine less than two thirds of it.
    """
    room = MemoryBounds.of(budget)
    if needed / room.error > room.host:
        raise _refusal(candidate, needed, room, remedy)


def check_room(work: Work, placement: Placement, room: MemoryBounds) -> None:
    """Raises BudgetError where there is none, with the smallest change for which there would be."""
    if room.holds(placement.needs):
        return
    name, remedy = work.alike[0].name, smallest_change(work, placement, room)
    if placement.needs.host_bytes / room.error > room.host:
        raise _refusal(name, placement.needs.host_bytes, room, remedy)
    raise BudgetError(
        "budget.device",
        f"at most {show_bytes(room.device or 0)} on the device",
        f"a forecast of {show_bytes(placement.needs.device_bytes)} for {name}",
        remedy,
    )


def _refusal(candidate: str, needed: int, room: MemoryBounds, remedy: str) -> BudgetError:
    return BudgetError(
        room.where,
        f"at most {show_bytes(room.host)}",
        f"a forecast of {show_bytes(needed)} for {candidate}, right within a third",
        remedy,
    )


def smallest_change(work: Work, placement: Placement, room: MemoryBounds) -> str:
    """What to write, or to do, so that there is room: a strategy, fewer rows, more memory."""
    steps, found = steps_that_fit(work, placement.size, room), ", or strategy: auto, which finds it"
    if not steps:  # what the recipe decided otherwise is only proposed
        steps, found = steps_that_fit(work, placement.size, room, closed=True), ""
    more = f"budget.memory: {_upward(placement.needs.host_bytes)}, where the machine has as much"
    if steps:
        return (
            f"The smallest change that fits: {written(steps)} ({steps[-1].why}){found}; or {more}."
        )
    rows = rows_that_fit(work, placement.size, room)
    fewer = f"at most {rows:,} rows fit" if rows else "no number of rows fits"
    return f"{fewer[0].upper()}{fewer[1:]}; or {more}. {REMEDY}"


def written(steps: Sequence[MemoryStep]) -> str:
    """What a recipe has to say.

    >>> written([MemoryStep(Strategy(), "micro_batch: 2", ""), MemoryStep(Strategy(), "adapt: lora", "", "build")])
    'budget: {strategy: {micro_batch: 2}}, build: {adapt: lora}'
    """
    changes: dict[str, list[str]] = {}
    for step in steps:
        changes.setdefault(step.section, []).append(step.change)
    texts = []
    for section, own in changes.items():
        outer, _, inner = section.partition(".")
        text = f"{{{', '.join(own)}}}"
        texts.append(f"{outer}: {{{inner}: {text}}}" if inner else f"{outer}: {text}")
    return ", ".join(texts)


def rows_that_fit(work: Work, size: Size, room: MemoryBounds) -> int:
    """Training rows for which there would be room, 0 for none."""
    most, low, high = work.training.table.rows, 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if room.holds(_shorter(work, size, middle, room)):
            low = middle
        else:
            high = middle
    return int(most * low)


def _shorter(work: Work, size: Size, share: float, room: MemoryBounds) -> MemoryNeeds:
    """Of the first rows of the table, as far as that can be told from all of them."""
    rows = max(2, int(work.training.table.rows * share))
    few = replace(
        work,
        training=work.training.take(np.arange(rows, dtype=np.int64)),
    )
    own = Size(
        int(size.fold * share), int(size.whole * share), max(2, int(size.rows * share)), size.few
    )
    return few.placed(own, room).needs


def _upward(size: int) -> str:
    """In MiB, rounded up."""
    return f"{-(-size // 2**20)}MiB"


def limit(budget: Budget) -> int:
    """Bytes that this process may hold."""
    if budget.memory:
        return size_bytes(budget.memory)
    return int(psutil.virtual_memory().available + psutil.Process().memory_info().rss)


def check_plan(placed: Sequence[Placed], room: MemoryBounds) -> None:
    """Raises BudgetError when no candidate fits into the budget's memory (who of several does not
    is left out when it is its turn), or one does not fit into the machine's.
    """
    lacking = [one for one in placed if not room.holds(one.placement.needs)]
    if lacking and (room.where == "memory" or len(lacking) == len(placed)):
        check_room(lacking[0].work, lacking[0].placement, room)


def folds_that_fit(
    alike: Sequence[Candidate], training: Dataset, folds: Sequence[Fold], budget: Budget
) -> int:
    """How many folds at once there is memory for. Raises BudgetError where there is none for
    one.
    """
    work = Work(alike, training, folds, budget.device, budget.data_parallel)
    room = MemoryBounds.of(budget)
    try:
        size = work.size()
    except (DataError, RecipeError):  # what a few rows cannot show, the folds will say of all rows
        return MANY
    placement = work.placed(size, room)
    check_room(work, placement, room)
    return placement.beside


def groups(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Candidates that are trained as one piece of work, in the order of their first ones."""
    found: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        found.setdefault(candidate.batch_key(), []).append(candidate)
    return list(found.values())
