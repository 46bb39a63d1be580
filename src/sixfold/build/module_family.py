"""Families whose model is one module, trained by the loop of `train`: images, texts, whatever is
too large to be stacked.

torch has one thread, as its sums depend on their number: cores are used by fits side by side, and by
parts of a batch (`train.batch_parts`), so that the same recipe gives the same bytes on one core as
on many.
"""

from __future__ import annotations

import copy
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final, Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import nn

from sixfold.build.family import Family, FitCost, FitWork
from sixfold.core.cores import cores
from sixfold.core.errors import BudgetError, RecipeError
from sixfold.core.seeds import derive
from sixfold.parts.draws import own_draws
from sixfold.parts.fit import UNWATCHED, Fit, Fitted, Offset
from sixfold.parts.offsets import offsets
from sixfold.parts.weights import relative
from sixfold.recipe.strategy import MemoryStep
from sixfold.runs.context import Context
from sixfold.train import memory_steps, recompute, threads
from sixfold.train.batch_parts import PART_ROWS, parts_of
from sixfold.train.batches import cut
from sixfold.train.choosing import FitShape, chosen, fit_shape
from sixfold.train.device import device_of, enough_memory
from sixfold.train.distillation import DistilledExamples, DistilledLosses, Losses
from sixfold.train.loop import train
from sixfold.train.losses import row_losses
from sixfold.train.memory_steps import StepShape
from sixfold.train.module import (
    MANY,
    ExampleReader,
    ModuleFit,
    ModuleLearner,
    load_weights,
    saved_bytes,
)
from sixfold.train.module_range_test import rated
from sixfold.train.offload import PIECE, remembered
from sixfold.train.rank_group import RankGroup
from sixfold.train.rank_training import in_ranks
from sixfold.train.sharded import check_shardable
from sixfold.train.starting import DTYPES, fill, watches
from sixfold.train.step_cost import StepCost, step_cost
from sixfold.train.stopping import EarlyStopping

STEP_CALLS: Final = 40  # of torch in a step besides the module's own: the optimizer, the loss, what follows it; counted
ONE_THREAD = 0.0  # operations of a step for which `threads.busy` gives one thread


class ModuleFamily(Family):
    """A family whose fit is one `nn.Module`. The subclass says what module, how its examples are
    read, and what state is kept; where it likes `loss` otherwise than cross-entropy or squared
    error, that too. `train_defaults` of `Family` holds what it likes of the recipe's `train`.

    All that a fit draws at random follows from the seed: order, what `ExampleReader.read` does with
    its generator, dropout.
    """

    trained_by_the_loop: ClassVar[bool] = True
    one_module: ClassVar[bool] = True
    ends_in_time: ClassVar[bool] = True
    writing: ClassVar[int] = 4  # arrays, and no lists
    finish_bytes: ClassVar[int] = 190_000_000
    finish_s: ClassVar[float] = 3.0  # measured (bench/plan.py)

    @abstractmethod
    def module(self, fit: Fit) -> nn.Module:
        """A new network for the rows of `fit`, float32, on the processor. `initialize` fills its
        parameters, but for those that it fills itself (`train.network.Starting`: the scales of a
        norm, a checkpoint's weights). What it learns from the rows without a gradient (the mean of
        the pixels) stands in its buffers; only floating ones are kept.

        Its `forward` takes what `examples` reads, with a batch of 1, too, in evaluation.
        """

    @abstractmethod
    def resume(self, fitted: Fitted) -> nn.Module:
        """The network that a state came from, to be trained further (after pruning it may be
        narrower).
        """

    @abstractmethod
    def examples(self, fit: Fit) -> ExampleReader:
        """The rows of `fit` as inputs and targets, read a batch at a time; nothing of their size is
        held.
        """

    @abstractmethod
    def fitted(self, module: nn.Module, fit: Fit) -> Fitted:
        """The trained network, in evaluation and on the processor, as a state of arrays."""

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each row, [batch], of what the module gives and the reader's targets."""
        return row_losses(outputs, targets)

    def counted(self, targets: torch.Tensor) -> int:
        """How many losses there are of some targets: the mean over them is minimized."""
        return len(targets)

    def parts(self, fit: Fit) -> Callable[[int], int]:
        """The number of parts of a batch of so many rows, which are computed side by side."""
        return parts_of

    def rows_at_once(self, fit: Fit) -> int:
        """Rows of a part that go through the network together; the others follow."""
        return MANY

    def observer(self, fit: Fit, context: Context) -> Callable[[nn.Module, int], None] | None:
        """What is shown the network after each epoch; None for nobody."""
        return None

    @property
    def step_points(self) -> int:
        """Means of losses within an epoch that are reported; 0: the epoch's alone."""
        return 0

    def derived(self, fit: Fit) -> str:
        """What was chosen and why, a sentence for the user; '' when the recipe says it all."""
        return ""

    @property
    def side_by_side(self) -> bool:
        """torch works outside of Python's lock."""
        return True

    def fit(self, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
        """Yield one network a fit, in order; as many at once as there are cores. Time left is
        divided among the fits.
        """
        if fits and fits[0].start is None and (text := self.own(fits[0]).derived(fits[0])):
            context.emit("note", text=text)
        todo = chosen(fits, lambda fit: self.own(fit).fit_shape(fit), context)
        alone = context.device != "cpu" or context.ranks is not None
        width = at_once(todo[0]) if todo and not alone else 1
        for first in range(0, len(todo), width):
            wave = todo[first : first + width]
            context.check_time(f"fitting {wave[0].setting.name}")
            deadline = None
            if context.deadline is not None:
                deadline = time.monotonic() + context.left_s() * len(wave) / (len(todo) - first)
            with enough_memory(), threads.busy(ONE_THREAD):
                yield from _Wave(context, deadline).trained([(self.own(fit), fit) for fit in wave])

    def fit_shape(self, fit: Fit) -> FitShape:
        """What an optimizer is chosen by."""
        return fit_shape(self.module(fit), fit)

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """The gradient of a part of a batch is traced, and no step taken."""
        family, fit = self._of(few[0], rows)
        traced, parts = family._traced(fit, rows), family.parts(fit)
        weights = traced.weights
        shares = {
            "parameters": weights,
            "gradients": parts(traced.batch) * weights,
            "optimizer": remembered_bytes(fit, weights),
            "activations": beside(at_once(fit), parts(traced.batch)) * traced.step.peak_bytes
            + 2 * traced.batch * traced.row_bytes,
        }
        whole = 1 if fit.setting.strategy.micro_batch else parts(traced.batch)
        held = sum(shares.values()) + 4 * weights
        return FitCost(held, weights, at_once(fit), shares, whole)

    def lighter(self, few: Sequence[Fit], rows: int, closed: bool = False) -> Iterator[MemoryStep]:
        """One network at a time, whose parts of a batch then have all cores; then products in bfloat16,
        smaller parts, blocks that are computed twice, and an optimizer that remembers in files.
        """
        family, fit = self._of(few[0], rows)
        now = fit.setting.strategy
        if at_once(fit) > 1:
            now = now.model_copy(update={"fits_at_once": 1})
            why = "one network is trained at a time, the parts of its batch side by side"
            yield MemoryStep(now, "fits_at_once: 1", why)
        shape = family.step_shape(fit, rows).trained(fit.setting.train)
        yield from memory_steps.steps(shape, now)

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """The steps of all epochs, forward and backward; the optimizer reads and writes seven times."""
        family, fit = self._of(few[0], rows)
        traced, epochs = family._traced(fit, rows), fit.setting.train.epochs
        steps = epochs * -(-rows // traced.batch)
        share = epochs * rows / traced.rows
        weights = traced.weights
        return FitWork(
            flops=traced.step.flops * share,
            calls=traced.step.calls * share + STEP_CALLS * steps,
            moved_bytes=traced.step.moved_bytes * share + 7 * weights * steps,
            parts=family.parts(fit)(traced.batch),
        )

    def of_rows(self, fit: Fit, rows: int) -> Self:
        """With the size that so many rows get; `fit`: on some of them."""
        return self

    def step_shape(self, fit: Fit, rows: int) -> StepShape:
        """Of the steps of a training on so many rows."""
        return StepShape.of(self.module(fit), *self._step_rows(fit, rows))

    def _of(self, few: Fit, rows: int) -> FamilyOfRows[Self]:
        family = self.of_rows(few, rows)
        return FamilyOfRows(family, replace(few, setting=replace(few.setting, family=family)))

    def _step_rows(self, fit: Fit, rows: int) -> BatchRows:
        wanted = fit.setting.train.batch_size
        batch = rows if wanted == "full" else min(rows, wanted)
        part = -(-batch // self.parts(fit)(batch))
        return BatchRows(batch, min(part, self.rows_at_once(fit)))

    def _traced(self, fit: Fit, rows: int) -> _Traced:
        """Once for equal steps. Raises what `module` and `examples` raise."""
        strategy, (batch, part) = fit.setting.strategy, self._step_rows(fit, rows)
        part = min(part, strategy.micro_batch or part)
        asked = (type(self).__module__, self, fit.shape, fit.layout, fit.setting.train.precision)
        key = repr((*asked, batch, part, strategy.gradient_checkpointing, halves(fit)))
        if key not in _TRACES:
            _TRACES[key] = self._trace(fit, batch, part)
        return _TRACES[key]

    def _trace(self, fit: Fit, batch: int, part: int) -> _Traced:
        dtype = DTYPES[fit.setting.train.precision]
        with own_draws():
            module = self.module(fit).to(dtype)
        first, draw = np.arange(min(2, fit.rows)), torch.Generator().manual_seed(0)
        x, _ = self.examples(fit).read(first, draw)
        x = x.to(dtype) if x.is_floating_point() else x
        if fit.setting.strategy.gradient_checkpointing:
            recompute.start(module, bool)
        try:
            step = step_cost(module, x, part, halves(fit))
        except RuntimeError:  # its forward pass depends on the numbers
            step = StepCost(2 * part * saved_bytes(module, x) // len(x), 0.0, 0, 0.0)
        weights = sum(parameter.nbytes for parameter in module.parameters())
        return _Traced(weights, step, batch, part, x.nbytes // len(x))

    def trained(
        self, fit: Fit, context: Context, deadline: float | None, workers: int = 1
    ) -> Fitted:
        """One fit; `workers`: parts of a batch that are computed at once. Raises FitError,
        RecipeError, BudgetError.
        """
        fit = _centered(fit)
        work = self.work_of(fit, replace(context, facts={**context.facts, **fit.facts}))
        work = rated(work, fit.setting, deadline)
        if work.observe is not None:
            work.observe(work.module.eval(), 0)
        told = {0: replace(fit, setting=replace(fit.setting, train=work.train))}
        with (
            in_ranks(self, told, replace(context, deadline=deadline)) as ranks,
            closing(ModuleLearner(replace(work, workers=workers // ranks.count), ranks)) as learner,
        ):
            ((_, weights),) = train(learner, deadline, context.saves)
        return self.fitted(load_weights(work.module.to("cpu"), weights), fit)

    def train_rank(self, fits: Mapping[int, Fit], context: Context, ranks: RankGroup) -> None:
        """As in `TrainsInRanks`: one fit."""
        (fit,) = fits.values()
        family = self.own(fit)
        with threads.busy(ONE_THREAD):
            work = replace(family.work_of(fit, context), observe=None, workers=cores())
            with closing(ModuleLearner(work, ranks)) as learner:
                train(learner, context.deadline)

    def check_division(self, few: Sequence[Fit], rows: int, ranks: int) -> None:
        """As in `TrainsInRanks`: a row for each; and where rows are mixed, a part for each, as one process has it."""
        for one in few:
            if one.setting.strategy.shard:
                check_shardable(one.setting.train)
            family, fit = self.own(one)._of(one, rows)
            shape = family.step_shape(fit, rows)
            batch, most, what = shape.batch, shape.batch, "row"
            if shape.mixes:
                most, what = family.parts(fit)(batch), f"{PART_ROWS} rows, which a batch norm sees,"
            if most < ranks:
                raise RecipeError(
                    "budget.data_parallel",
                    f"at most a process for each {what} of a batch of {fit.setting.name}: {most:,}, of {batch:,} rows",
                    f"{ranks:,}",
                    "Lower it, or raise train.batch_size.",
                )

    def work_of(self, fit: Fit, context: Context) -> ModuleFit:
        """What the loop trains: some rows are cut off where an early stop watches them."""
        setting, seed = fit.setting, partial(derive, fit.setting.initialize.seed, fit.seed)
        training, watched = fit, None
        if watches(setting):
            rows, cut_off = cut(fit, setting.train.stop.validation, seed("validation"))
            if len(cut_off):
                training, watched = fit.take(rows), fit.take(cut_off)
            elif fit.groups is not None:
                context.emit("note", text=f"{setting.name}: {UNWATCHED}")
        module = self._start(training, seed("weights")).to(
            device_of(context.device), DTYPES[setting.train.precision]
        )
        watch = setting.watch
        examples, losses = self._compared(training)
        return ModuleFit(
            module=module,
            examples=examples,
            losses=losses,
            train=setting.train,
            stopping=EarlyStopping(
                setting.train.stop, watch is not None and watch.greater_is_better
            ),
            context=context,
            seed=seed("training"),
            watched=None if watched is None else self.examples(watched),
            score=None if watched is None else self._score(watched),
            operations=ONE_THREAD,
            strategy=setting.strategy,
            counted=self.counted,
            parts=self.parts(fit),
            rows_at_once=self.rows_at_once(fit),
            observe=self.observer(fit, context),
            step_points=self.step_points,
            weights=_relative(training),
            watched_weights=None if watched is None else _relative(watched),
        )

    def _compared(self, fit: Fit) -> tuple[ExampleReader, Losses]:
        """What is read and what is minimized: with a teacher, it is distilled."""
        if fit.teacher is None:
            return self.examples(fit), self.losses
        return self.distilled(fit, self.resume(fit.teacher).eval())

    def distilled(self, fit: Fit, teacher: nn.Module) -> tuple[ExampleReader, Losses]:
        """What is read and what is minimized where a `teacher` answers beside the labels."""
        return DistilledExamples(self.examples(fit), teacher), DistilledLosses(self.losses)

    def _start(self, fit: Fit, seed: int) -> nn.Module:
        if fit.start is not None:
            return self.resume(fit.start)
        with own_draws():  # torch's layers fill themselves; all are filled anew
            module = self.module(fit)
        fill(module, fit.setting.initialize, seed)
        return module

    def _score(self, watched: Fit) -> Callable[[nn.Module], float] | None:
        """How the rows cut off are looked at, where that is not by the loss."""
        metric, watch = watched.setting.train.stop.metric, watched.setting.watch
        if metric == "loss":
            return None
        if watch is None or watch.name != metric:
            raise RecipeError(
                "train.stop.metric",
                "loss, or a metric that is scored here",
                f"'{metric}'",
                "Watch loss.",
            )

        def score(module: nn.Module) -> float:
            kept = copy.deepcopy(module).to("cpu").eval()
            predicted = self.fitted(kept, watched).predict(watched.x)
            return watch.score(whole, predicted, watched.weights)

        whole = watched.y + np.array(watched.offset) if watched.offset else watched.y
        return score


def _relative(fit: Fit) -> torch.Tensor | None:
    return None if fit.weights is None else torch.from_numpy(relative(fit.weights))


Sized = TypeVar("Sized", bound="ModuleFamily")


class FamilyOfRows(NamedTuple, Generic[Sized]):
    """A family with the size that some rows get, and a fit that is made by it."""

    family: Sized
    fit: Fit


class BatchRows(NamedTuple):
    """Rows of a step, and of its parts of which a gradient is computed at once."""

    batch: int
    at_once: int


class _Traced(NamedTuple):
    """The gradient of a part of `rows` rows of a batch; `weights`: bytes of the parameters;
    `row_bytes`: of the inputs of a row.
    """

    weights: int
    step: StepCost
    batch: int
    rows: int
    row_bytes: int


def halves(fit: Fit) -> bool:
    """Whether products are computed in bfloat16 for sure: `auto` measures it when it trains."""
    return "bfloat16" in (fit.setting.train.precision, fit.setting.strategy.precision)


def remembered_bytes(fit: Fit, weights: int) -> int:
    """What an optimizer remembers of learned weights of so many bytes; of an offloaded one of a piece of them."""
    bytes_ = int(remembered(fit.setting.train) * weights)
    piece = int(remembered(fit.setting.train) * 4 * PIECE)
    return min(bytes_, piece) if fit.setting.strategy.offload else bytes_


def beside(together: int, parts: int) -> int:
    """Parts of a batch that are computed at once: one fit alone has all cores."""
    return min(cores(), parts) if together == 1 else 1


def at_once(fit: Fit) -> int:
    """Fits that are trained side by side at most."""
    return min(cores(), fit.setting.strategy.fits_at_once or cores())


def _centered(fit: Fit) -> Fit:
    """The same work on values less an offset, where float32 could not tell them apart without; that
    of the model it goes on from, or learns from, where there is one.
    """
    if fit.task in ("classification", "generation", "recommendation", "transcription"):
        return fit
    before: tuple[object, ...] = (fit.start, fit.teacher)
    known = [model.offset for model in before if isinstance(model, Offset)]
    found = (
        np.array(known[0])
        if known
        else offsets(np.asarray(fit.y, dtype=np.float64).reshape(fit.rows, -1))
    )
    return replace(fit, y=fit.y - found, offset=tuple(found.tolist())) if found.any() else fit


@dataclass(frozen=True)
class _Wave:
    """Fits that are trained at once, each in a thread."""

    context: Context
    deadline: float | None

    def trained(self, work: Sequence[tuple[ModuleFamily, Fit]]) -> Iterator[Fitted]:
        """Yield what comes of each, in order. Raises what one raises; the others then end soon."""
        stop = threading.Event()
        contexts = [self._own(stop) for _ in work]
        if len(work) == 1:
            yield work[0][0].trained(work[0][1], contexts[0], self.deadline, cores())
            return
        with ThreadPoolExecutor(len(work)) as pool:
            futures = [
                pool.submit(family.trained, fit, context, self.deadline)
                for (family, fit), context in zip(work, contexts, strict=True)
            ]
            try:
                ended = wait(futures, return_when=FIRST_EXCEPTION).done
                failed = [
                    error for future in futures if future in ended and (error := future.exception())
                ]
                if failed:
                    raise failed[0]
            finally:
                stop.set()
        yield from (future.result() for future in futures)

    def _own(self, stop: threading.Event) -> Context:
        """For one of them: its checkpoints have a folder of their own, whoever is trained beside
        it.
        """
        saves, check, emit = self.context.saves, self.context.check_memory, self.context.emit_to

        def check_memory() -> None:
            check()
            if stop.is_set():
                raise BudgetError(
                    "budget", "fits that go on", "another one that failed", "See that one's error."
                )

        def emit_to(kind: str, facts: dict[str, Any]) -> None:
            with _EMITTING:
                emit(kind, facts)

        own = None if saves is None else saves.within(saves.training())
        return replace(self.context, saves=own, check_memory=check_memory, emit_to=emit_to)


_TRACES: dict[str, _Traced] = {}  # of this process: a plan asks many times
_EMITTING = threading.Lock()
