"""Families whose model is a network: many fits are trained as one, by the loop of `train`."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Final

import torch
from torch import nn

from sixfold.build._fitted_network import FittedNetwork
from sixfold.build.family import CACHE_BYTES, Family, FitCost, FitWork
from sixfold.core.errors import FitError, RecipeError, SixfoldError
from sixfold.initialize import check
from sixfold.parts.fit import Fit, Fitted, Shape
from sixfold.parts.table import FloatArray, IntArray
from sixfold.recipe.schema import Initialize
from sixfold.recipe.strategy import MemoryStep
from sixfold.runs.context import Context
from sixfold.train import range_test
from sixfold.train.choosing import chosen, stacked_shape
from sixfold.train.device import enough_memory
from sixfold.train.loop import train
from sixfold.train.memory_steps import is_out_of_memory
from sixfold.train.network import Wide
from sixfold.train.rank_group import RankGroup
from sixfold.train.rank_training import in_ranks
from sixfold.train.replicas import ReplicaLearner
from sixfold.train.starting import DTYPES, replicas_of
from sixfold.train.step_cost import step_cost
from sixfold.train.stepper import wants_full_batch

STACK_BYTES = (
    1 << 30
)  # replicas that train as one hold at most this: parameters six times, and a batch's values
STEP_CALLS: Final = 16  # of torch in a step, besides those of the network: the batch, the loss, the optimizer; counted
Numbered = dict[int, Fit]


class NetworkFamily(Family):
    """A `train.network.Network`: the subclass says what module, which targets and what loss, and
    what state is kept.
    """

    trained_by_the_loop: ClassVar[bool] = True
    ends_in_time: ClassVar[bool] = True
    finish_bytes: ClassVar[int] = 160_000_000
    finish_s: ClassVar[float] = 2.0  # measured (bench/plan.py)
    apart: ClassVar[frozenset[str]] = frozenset({"optimizer", "schedule", "warm_up"})

    @abstractmethod
    def module(self, shape: Shape) -> nn.Module:
        """As in `Network`."""

    @abstractmethod
    def targets(self, module: nn.Module, fit: Fit) -> FloatArray | IntArray:
        """As in `Network`."""

    @abstractmethod
    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """As in `Network`."""

    @abstractmethod
    def fitted(self, module: nn.Module, shape: Shape) -> FittedNetwork:
        """As in `Network`."""

    @abstractmethod
    def resume(self, fitted: Fitted) -> nn.Module:
        """As in `Network`."""

    def widths(self, shape: Shape) -> tuple[int, ...]:
        """As in `Network`."""
        return ()

    def derived(self, shape: Shape) -> str:
        """As in `Network`."""
        return ""

    def least_widths(self) -> tuple[int, ...]:
        """Units of hidden layers, as far as they are known before the features are."""
        return (2,)

    def fit(self, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
        """Yield one network a fit, in order; time left is divided among the fits."""
        if fits and (text := self.derived(fits[0].shape)):
            context.emit("note", text=text)
        left = self._stacks(chosen(fits, partial(stacked_shape, self), context))
        done: dict[int, Fitted] = {}
        while left:
            fitting = left.pop(0)
            context.check_time(f"fitting {fits[0].setting.name}")
            deadline = None
            if context.deadline is not None:
                deadline = time.monotonic() + context.left_s() * len(fitting) / (
                    len(fits) - len(done)
                )
            try:
                with enough_memory():
                    replicas = range_test.rated(
                        self, replicas_of(self, fitting, context), deadline, context
                    )
                    rated = {one.number: one.fit for one in replicas}
                    with in_ranks(self, rated, replace(context, deadline=deadline)) as ranks:
                        learner = ReplicaLearner(self, replicas, ranks)
                        trained = train(learner, deadline, context.saves)
                    for place, weights in trained:
                        one = learner.first[place]
                        network = filled(one.module, weights)
                        done[one.number] = self.fitted(network, one.fit.shape).precise(one.fit.x)
            except (MemoryError, RuntimeError, SixfoldError) as error:
                if not _may_be_less(fitting, error):
                    raise
                half = len(fitting) // 2
                text = f"{str(error).splitlines()[0][:200]} From here on stacks of {half} networks."
            else:
                continue
            context.recover()
            context.emit("warning", text=text, strategy={"fits_at_once": half})
            left[:0] = _halves(fitting)
        yield from (done[number] for number in range(len(fits)))

    def train_rank(self, fits: Mapping[int, Fit], context: Context, ranks: RankGroup) -> None:
        """As in `TrainsInRanks`."""
        learner = ReplicaLearner(self, replicas_of(self, dict(fits), context), ranks)
        train(learner, context.deadline)

    def check_division(self, few: Sequence[Fit], rows: int, ranks: int) -> None:
        """As in `TrainsInRanks`: a row for each."""
        for fit in few:
            wanted = fit.setting.train.batch_size
            batch = rows if wanted == "full" else min(rows, wanted)
            if batch < ranks:
                raise RecipeError(
                    "budget.data_parallel",
                    f"at most a process for each row of a batch, {batch:,} of {fit.setting.name}",
                    f"{ranks:,}",
                    "Lower it, or raise train.batch_size.",
                )

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """`fit_bytes`: of one replica, besides its features."""
        section = few[0].setting.train
        with torch.device("meta"):  # to be counted, not to be held
            module = self.module(few[0].shape)
        parameters = sum(parameter.numel() for parameter in module.parameters())
        widths = sum(
            sum(parameter.shape[:1]) for parameter in module.parameters() if parameter.ndim > 1
        )
        batch = rows if section.batch_size == "full" else min(rows, section.batch_size)
        held = (
            module.held_numbers if isinstance(module, Wide) else few[0].shape.features + 3 * widths
        )
        values: int = 6 * parameters + batch * held
        wide = section.precision == "float64" or any(
            range_test.asked(fit.setting.train) for fit in few
        )
        each = 8 if wide else 4
        size = values * each
        alone = any(
            wants_full_batch(fit.setting.train) for fit in few
        )  # it asks for gradients itself
        most = min(STACK_BYTES // size, few[0].setting.strategy.fits_at_once or STACK_BYTES)
        own = parameters * each
        shares = {
            "parameters": own,
            "gradients": own,
            "optimizer": 2 * own,
            "activations": batch * held * each,
        }
        return FitCost(size, 0, 1 if alone else max(1, most), shares)

    def lighter(self, few: Sequence[Fit], rows: int, closed: bool = False) -> Iterator[MemoryStep]:
        """Fewer networks in a stack."""
        together = self.cost(few, rows).together
        while together > 1:
            together = together // 2 if together > 2 else 1
            yield MemoryStep(
                few[0].setting.strategy.model_copy(update={"fits_at_once": together}),
                f"fits_at_once: {together}",
                f"stacks of {together} networks: what they have in common is done once for fewer of them",
            )

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """The steps of all epochs, forward and backward."""
        fit = few[0]
        section = fit.setting.train
        module = self.own(fit).module(fit.shape).to(DTYPES[section.precision])
        batch = rows if section.batch_size == "full" else min(rows, section.batch_size)
        x = torch.zeros((1, fit.shape.features), dtype=DTYPES[section.precision])
        try:
            step = step_cost(module, x, batch)
        except RuntimeError:  # its forward pass depends on the numbers
            return None
        steps = section.epochs * -(-rows // batch)
        share = section.epochs * rows / batch
        parameters = sum(parameter.nbytes for parameter in module.parameters())
        return FitWork(
            flops=step.flops * share,
            calls=(step.calls + STEP_CALLS) * steps,
            moved_bytes=step.moved_bytes * share + 7 * parameters * steps,
            one_program=True,
        )

    def folds_at_once(self, size: int) -> int:
        """As many as may be held."""
        return max(1, CACHE_BYTES // max(1, size))

    def check_start(self, initialize: Initialize) -> None:
        """Raises FitError for a start from which it could never be trained."""
        if problem := check.problems(initialize, self.least_widths()):
            raise FitError(
                "initialize.scheme",
                "a start that can train",
                problem,
                "Use he_normal or xavier_uniform.",
            )

    def _stacks(self, fits: Sequence[Fit]) -> list[Numbered]:
        """Fits that train as one: of equal settings but for `apart`, with equally many features (a
        category that one fold lacks is a feature less), as many as STACK_BYTES hold; networks that
        were pruned alone, as they may differ in their widths.
        """
        alike: dict[tuple[Shape | str, ...], list[int]] = {}
        for number, fit in enumerate(fits):
            setting = fit.setting
            parts = self.own(fit), setting.initialize
            written = [
                *(part.model_dump_json() for part in parts),
                setting.train.model_dump_json(exclude=set(self.apart)),
            ]
            alike.setdefault((fit.shape, *written), []).append(number)
        stacks = []
        for numbers in alike.values():
            some = [fits[number] for number in numbers]
            one = self.own(some[0])
            pruned = any(fit.start is not None for fit in some)
            size = 1 if pruned else one.cost(some, max(fit.rows for fit in some)).together
            stacks += [numbers[first : first + size] for first in range(0, len(numbers), size)]
        return [{number: fits[number] for number in numbers} for numbers in stacks]


def _may_be_less(fitting: Numbered, error: Exception) -> bool:
    """Whether memory was lacking, and fewer networks at once are wanted then."""
    first = next(iter(fitting.values()))
    return len(fitting) > 1 and first.setting.strategy.adapt and is_out_of_memory(error)


def _halves(fitting: Numbered) -> list[Numbered]:
    numbers = list(fitting)
    half = len(numbers) // 2
    return [
        {number: fitting[number] for number in some} for some in (numbers[:half], numbers[half:])
    ]


def filled(module: nn.Module, weights: torch.Tensor) -> nn.Module:
    """`module` with these parameters, [P]."""
    with torch.no_grad():
        nn.utils.vector_to_parameters(weights, module.parameters())
    return module.eval()
