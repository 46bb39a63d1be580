"""One module as a learner: images, texts, whatever is too large to be stacked, read a batch at a
time.

Everything that is drawn at random (order, augmentation, dropout) follows from the seed and the
number of the epoch or step, so that a training that goes on after a kill draws the same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from sixfold.core.errors import BudgetError
from sixfold.core.seeds import derive
from sixfold.parts.draws import GENERATOR
from sixfold.parts.table import FloatArray, IntArray
from sixfold.recipe.schema import Train
from sixfold.recipe.strategy import PLAIN, MemoryStep, Strategy
from sixfold.runs.context import Context
from sixfold.train import memory_steps, recompute
from sixfold.train.averaged import WeightAverage
from sixfold.train.batch_parts import (
    BatchDivision,
    BatchExamples,
    BatchParts,
    PartTensors,
    RowSlice,
    flat,
    learned_parameters,
    mixes_rows,
    optimized_shapes,
    parts_of,
    views,
)
from sixfold.train.batches import permutation
from sixfold.train.compiling import Compiling
from sixfold.train.memory_steps import StepShape
from sixfold.train.mixed_precision import NOT_NATIVE, halved, measured, native, tried_rows
from sixfold.train.rank_group import ALONE, RankGroup
from sixfold.train.sharded import ShardedParts
from sixfold.train.spikes import SpikeGuard
from sixfold.train.stepper import LossClosure, Stepper
from sixfold.train.stopping import EarlyStopping

ALL_THREADS = 1e12  # operations of a step that keep every thread busy
MANY = 1 << 30


class ExampleReader(Protocol):
    """Examples that are read when they are asked for."""

    def __len__(self) -> int:
        """Examples."""

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of these examples, rows first. `draw`: decides how they are augmented;
        None: they are not.
        """


@dataclass(frozen=True)
class StoredExamples:
    """Examples of one array, which may be memory-mapped: `x` [rows, …] becomes `dtype` a batch at a
    time; `y` [rows, …]. `augment`: a batch of inputs, otherwise.
    """

    x: np.ndarray[Any, Any]
    y: torch.Tensor
    dtype: torch.dtype = torch.float32
    augment: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As in `ExampleReader`."""
        x = torch.from_numpy(np.ascontiguousarray(self.x[rows])).to(self.dtype)
        if draw is not None and self.augment is not None:
            x = self.augment(x, draw)
        return x, self.y[torch.from_numpy(rows)]


Shortening = Callable[[torch.Tensor, torch.Tensor, float], tuple[torch.Tensor, torch.Tensor]]
HALVED: Final[Mapping[str, bool | None]] = {"bfloat16": True, "auto": None}  # None: is measured


@dataclass(frozen=True)
class ModuleFit:
    """One fit of a module, whose parameters are where they start, in the precision and on the
    device of the training.

    `losses`: per row, of outputs and targets. `watched`: examples cut off for an early stop;
    `score`: what is watched of the module where that is not the loss on them. `seed`: of order,
    augmentation and dropout. `operations`: multiplications and additions of a step, for which it
    gets threads; `workers`: parts of a batch that are computed at once, which changes no number.
    `strategy`: how it fits into memory; `lighter`: stronger ones than the one in use.
    `counted`: how many losses there are of some targets, over which the mean is taken: rows, or the
    tokens that are learned. `parts`: of so many rows. `rows_at_once`: of a part, whose gradients are
    added up; the step is that of the whole batch. `observe`: is shown the module after each epoch.
    `step_points`: as in `Learner`. `shorten`: what of a batch is used when so much of the training is
    done, from 0 to 1. `first`: the row that takes most memory, which is read in the first step: what
    does not fit is known at once. `weights`, `watched_weights`: [rows], with the mean 1, how often the
    examples count, and those watched; None: once.
    """

    module: nn.Module
    examples: ExampleReader
    losses: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    train: Train
    stopping: EarlyStopping
    context: Context
    seed: int
    watched: ExampleReader | None = None
    score: Callable[[nn.Module], float] | None = None
    operations: float = ALL_THREADS
    workers: int = 1
    strategy: Strategy = PLAIN
    lighter: Callable[[StepShape, Strategy], Iterator[MemoryStep]] = memory_steps.steps
    counted: Callable[[torch.Tensor], int] = len
    parts: Callable[[int], int] = parts_of
    rows_at_once: int = MANY
    observe: Callable[[nn.Module, int], None] | None = None
    step_points: int = 0
    shorten: Shortening | None = None
    first: int | None = None
    weights: torch.Tensor | None = None
    watched_weights: torch.Tensor | None = None


class RowBatch(NamedTuple):
    """`rows` of one step, int64; `number`: of the step in its epoch."""

    rows: IntArray
    number: int


class ModuleLearner:
    """`theta`, `gradient`: [1, P], all parameters that are learned, one after the other; the
    module's own are views of them. Each of several `ranks` reads every batch, as it is drawn once, and
    computes its share of it.
    """

    records = True

    def __init__(self, fit: ModuleFit, ranks: RankGroup = ALONE) -> None:
        self.work, self.module, self.train, self.ranks = fit, fit.module, fit.train, ranks
        self.trainees, self.places = (fit,), (0,)
        self.step_points = fit.step_points
        self.draws = True  # as long as no step has shown that it does not
        wanted, count = self.train.batch_size, len(fit.examples)
        self.size = count if wanted == "full" else min(wanted, count)
        self.steps, self.epochs = -(-count // self.size), self.train.epochs
        self.report_every = self.train.report_every
        shapes = optimized_shapes(self.module)
        self.strategy = fit.strategy
        self.sharded = self._shared_out() if fit.strategy.shard and ranks.count > 1 else None
        if self.sharded is not None:
            self.theta, self.gradient = self.sharded.theta[None], self.sharded.slope[None]
            self.parts: BatchParts | ShardedParts = self.sharded
        else:
            self.theta = flat(learned_parameters(self.module)).unsqueeze(0)
            self.gradient = torch.zeros_like(self.theta)
            tensors = PartTensors(self.theta[0], self.gradient[0])
            division = BatchDivision(fit.parts, ranks, mixes_rows(self.module))
            self.parts = BatchParts(self.module, tensors, division, self.size, fit.workers)
        self.device, self.operations = self.theta.device, fit.operations
        self.norm = torch.zeros(())  # of the last gradient, where it is divided
        modules = [part.module for part in self.parts.parts]
        self.compiling = Compiling(modules, self.train.compile, fit.context)
        self.halved = HALVED.get(self.train.precision, False)
        self.guard = None if self.train.spike is None else SpikeGuard(self.train.spike)
        self.average = WeightAverage.of(self.train.average, self.theta)
        self.stepper = Stepper(self.train, shapes, self.steps)
        self.stepper.start(range(1), self.theta, self.gradient)
        self.use(fit.strategy)

    def _shared_out(self) -> ShardedParts:
        """The module divided among the ranks; the first one keeps a whole one for what it observes and writes."""
        if self.ranks.rank == 0:
            self.module = copy.deepcopy(self.module)
        return ShardedParts(self.module, self.ranks, self._rows_at_once)

    def _rows_at_once(self) -> int:
        return min(self.work.rows_at_once, self.strategy.micro_batch or MANY)

    @property
    def divided(self) -> bool:
        """Whether each rank has a part of the weights."""
        return self.sharded is not None

    @property
    def shown(self) -> torch.Tensor:
        """The parameters that are judged and kept, [1, P]: the last ones, or their mean where that
        is asked.
        """
        return self.theta if self.average is None or not self.average.begun else self.average.mean

    def next_report_epoch(self, epoch: int) -> int:
        """Every one: an epoch takes long enough."""
        return epoch

    def batches(self) -> Iterator[RowBatch]:
        """Of the epoch in work; all rows in one batch keep their order. Nothing is read yet."""
        epoch, count = self.stepper.step // self.steps, len(self.work.examples)
        order = np.arange(count)
        if self.steps > 1:
            order = permutation(
                count, torch.Generator().manual_seed(self._seed("order", epoch))
            ).numpy()
            if epoch == 0 and self.work.first is not None:
                place = int(np.flatnonzero(order == self.work.first)[0])
                order[[0, place]] = order[[place, 0]]
        for number in range(self.steps):
            yield RowBatch(order[number * self.size : (number + 1) * self.size], number)

    def set_rate(self, batch: RowBatch) -> None:
        """By warm-up and schedule."""
        self.stepper.set_rate()

    def use(self, strategy: Strategy) -> None:
        """From the next gradient on."""
        self.strategy = strategy
        for part in self.parts.parts:
            if strategy.gradient_checkpointing:
                recompute.start(part.module, lambda: self.draws)
        if strategy.precision is not None:
            self.halved = HALVED[strategy.precision]
        if strategy.offload:
            self.stepper.offload(self.theta, self.gradient)

    def backward(self, batch: RowBatch) -> torch.Tensor:
        """Write the gradient of the batch's mean loss, clipped; that loss, [1]. Where memory is not enough, again
        with a stronger strategy, if it may be one.
        """
        kept = [buffer.clone() for buffer in self.module.buffers()] if self.strategy.adapt else []
        while True:
            try:
                self.work.context.check_memory()
                return self._backward(batch)
            except (BudgetError, MemoryError, RuntimeError) as error:
                step = self._stronger(error)
                if step is None:
                    raise
                text = f"{str(error).splitlines()[0][:200]} From here on {step.change}: {step.why}."
            for buffer, value in zip(self.module.buffers(), kept, strict=True):
                buffer.copy_(value)
            self.use(step.strategy)
            if self.guard is not None:
                self.guard.good = None  # a state of the weaker strategy
            self.work.context.recover()
            self.work.context.emit("warning", text=text, strategy=step.strategy.model_dump())
            if self.work.context.saves is not None:
                self.work.context.saves.hasten()

    def _stronger(self, error: Exception) -> MemoryStep | None:
        """What there is left to do about an error; None for nothing, as for one of several ranks, which
        cannot change how all of them go on.
        """
        adapts = self.strategy.adapt and self.ranks.count == 1
        if not (adapts and memory_steps.is_out_of_memory(error)):
            return None
        part = -(-self.size // len(self.parts.parts))
        shape = StepShape.of(self.module, self.size, min(part, self.work.rows_at_once))
        shape = shape.trained(self.train, self.device.type)
        if self.halved:
            shape = shape._replace(halves=False)
        return next(self.work.lighter(shape, self.strategy), None)

    def _backward(self, batch: RowBatch) -> torch.Tensor:
        step = self.stepper.step
        x, y = self.work.examples.read(
            batch.rows, torch.Generator().manual_seed(self._seed("augment", step))
        )
        if self.work.shorten is not None:
            x, y = self.work.shorten(x, y, step / (self.steps * self.epochs))
        seed = self._seed("dropout", step)
        examples = self._examples(x, y, self.work.weights, batch.rows)
        if self.halved is None:
            first = self.ranks.rank == 0
            self.halved = self.ranks.agree(first and self._is_faster_halved(examples, seed))
        left = self.steps * self.epochs - step - 1
        self.loss = self.compiling.gradient(lambda: self._loss(examples, seed), left)
        self.parts.add_up(self.loss)
        if self.train.clip is not None or self.divided:
            clip = math.inf if self.train.clip is None else self.train.clip
            self.norm = self._norm().clamp_(min=1e-12)
            self.gradient.mul_((clip / self.norm).clamp_(max=1.0))
            self.norm.clamp_(max=clip)
        return self.loss

    def _examples(
        self, x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor | None, rows: IntArray
    ) -> BatchExamples:
        """Of some rows, where they are trained."""
        own = None if weights is None else self._placed(weights[torch.from_numpy(rows)])
        return BatchExamples(self._placed(x), self._placed(y), own)

    def _norm(self) -> torch.Tensor:
        """Of the whole gradient; asked of all ranks where they divide it."""
        return (
            torch.linalg.vector_norm(self.gradient) if self.sharded is None else self.sharded.norm()
        )

    def step(self, batch: RowBatch) -> None:
        """By the gradient that stands there; a spike is no step, and takes those before it back."""
        if self.guard is not None and self._went_back(self.guard):
            return
        closure = (
            LossClosure(self.loss, partial(self.backward, batch))
            if self.stepper.full_batch
            else None
        )
        self.stepper.take(closure)
        if self.average is not None:
            self.average.after_step(range(1), self.stepper.step, self.theta)

    def _went_back(self, guard: SpikeGuard) -> bool:
        """Whether the loss is a spike: then the weights are those of an earlier step."""
        loss, step = float(self.loss), self.stepper.step
        if not guard.jumps(loss) or guard.good is None:
            if guard.is_due(step):
                guard.keep(copy.deepcopy(self._plain_state()), step)
            return False
        text = (
            f"step {step + 1:,}: the loss {loss:.4g} is a spike, above {guard.highest():.4g}: "
            f"back to the weights after step {guard.good_step:,}."
        )
        self.work.context.emit("note", text=text)
        self._load_plain_state(copy.deepcopy(guard.good))
        self.stepper.step = step + 1
        return True

    def _is_faster_halved(self, examples: BatchExamples, seed: int) -> bool:
        """Measured on some rows of a batch, which changes nothing; not where it would be emulated."""
        if not native(self.device):
            self.work.context.emit("note", text=NOT_NATIVE)
            return False
        some = examples.take(slice(0, tried_rows(self.work.parts, len(examples.y))))
        buffers = [buffer.clone() for buffer in self.module.buffers()]

        def step(on: bool) -> torch.Tensor:
            self.halved = on
            return self._loss(some, seed)

        times = measured(step)
        for buffer, before in zip(self.module.buffers(), buffers, strict=True):
            buffer.copy_(before)
        self.work.context.emit("note", text=times.describe())
        return times.pays

    def _loss(self, examples: BatchExamples, seed: int) -> torch.Tensor:
        count = max(1, self.work.counted(examples.y))

        def backward(module: nn.Module, some: RowSlice) -> torch.Tensor:
            x, y, weight = examples.take(some.rows)
            own = seed if some.number == 0 else derive(seed, "part", some.number)
            rows = self._rows_at_once()
            total = torch.zeros((), dtype=self.theta.dtype, device=self.device)
            for first in range(0, len(y), rows):
                part = slice(first, first + rows)
                drawn = derive(own, "micro", first) if first else own
                with torch.enable_grad():
                    with halved(self.device, bool(self.halved)):
                        outputs = self._drawing(module.train(), x[part], drawn)
                    outputs = outputs.to(self.theta.dtype)
                    losses = self.work.losses(outputs, y[part])
                    losses = losses if weight is None else losses * weight[part]
                    loss = losses.sum() / count
                    if not some.counts:
                        loss = 0.0 * loss
                    loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
                del outputs, losses, loss  # before the next forward pass
            return total

        return self.parts.gradient(len(examples.y), backward).reshape(1)

    def _drawing(self, module: nn.Module, x: torch.Tensor, seed: int) -> torch.Tensor:
        """The module's outputs. Dropout draws from the one generator that all threads share: one at
        a time.
        """
        if not self.draws:
            return module(x)  # type: ignore[no-any-return]
        devices = [self.device] if self.device.type == "cuda" else []
        with GENERATOR, torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            outputs: torch.Tensor = module(x)
            self.draws = bool(devices) or not torch.equal(before, torch.get_rng_state())
        return outputs

    def close(self) -> None:
        """End the threads of its parts; the module is as it was."""
        self.parts.close()
        self.compiling.close()
        recompute.stop(self.module)

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        """Where it is trained; real numbers in its precision."""
        return tensor.to(self.device, self.theta.dtype if tensor.is_floating_point() else None)

    def end_epoch(self, epoch: int) -> None:
        """After it the weights are evaluated."""
        self.stepper.evaluating(True)
        if self.average is not None:
            self.average.after_epoch(epoch / self.epochs, self.theta)
        if self.divided and self.ranks.agree(self.work.observe is not None):
            whole = self.whole(self.weights(0))
            if self.work.observe is not None:
                self.work.observe(load_weights(self.work.module, whole), epoch)
        elif self.work.observe is not None:
            trained = self.theta.clone()
            self.theta.copy_(self.shown)
            self.work.observe(self.module.eval(), epoch)
            self.theta.copy_(trained)

    def start_epoch(self) -> None:
        """After it they are trained."""
        self.stepper.evaluating(False)

    def evaluate(self) -> list[float | None]:
        """The mean loss on the examples watched, or their score; None where nothing is watched. By the
        first rank, or by all together that divide the weights.
        """
        if self.sharded is None:
            return self.ranks.values(self._watched_value, 1)
        with self.sharded.passing():
            found = self._watched_value()
        return self.ranks.values(lambda: found, 1)

    def _watched_value(self) -> list[float | None]:
        watched, score = self.work.watched, self.work.score
        if watched is None:
            return [None]
        trained = self.theta.clone()
        self.theta.copy_(self.shown)
        self.module.eval()
        if self.sharded is not None:
            self.sharded.place()
        value = score(self.module) if score is not None else self._mean_loss(watched)
        self.theta.copy_(trained)
        return [value]

    def _mean_loss(self, watched: ExampleReader) -> float:
        total, count, size = 0.0, 0, min(self.size, self.work.rows_at_once)
        for first in range(0, len(watched), size):
            rows = np.arange(first, min(first + size, len(watched)))
            examples = self._examples(*watched.read(rows, None), self.work.watched_weights, rows)
            losses = self.work.losses(self.module(examples.x), examples.y)
            total += float((losses if examples.weight is None else losses * examples.weight).sum())
            count += self.work.counted(examples.y)
        return total / max(1, count)

    def weights(self, place: int) -> torch.Tensor:
        """The parameters that are judged and kept, and after them the buffers of real numbers, [P +
        …].
        """
        return torch.cat(
            [
                self.shown[0],
                *(flat([buffer]).to(self.theta.dtype) for buffer in real_buffers(self.module)),
            ]
        )

    def whole(self, weights: torch.Tensor) -> torch.Tensor:
        """Those of all ranks, in the first one."""
        return weights if self.sharded is None else self.sharded.whole(weights)

    def own(self, weights: torch.Tensor) -> torch.Tensor:
        """Of those of all ranks this one's."""
        return weights if self.sharded is None else self.sharded.own(weights)

    def steps_done(self, place: int) -> int:
        """So far."""
        return self.stepper.step

    def norms(self) -> list[float | None]:
        """Of the last gradient."""
        return [float(self.norm if self.divided else torch.linalg.vector_norm(self.gradient))]

    def rates(self) -> list[float]:
        """Of the last step."""
        return [self.stepper.learning_rate]

    def shares(self) -> FloatArray:
        """What each batch is of its epoch, float64 [1, steps]."""
        count = len(self.work.examples)
        firsts = np.arange(self.steps) * self.size
        return np.asarray(
            (np.minimum(firsts + self.size, count) - firsts)[None] / count, dtype=np.float64
        )

    def keep(self, positions: Sequence[int]) -> None:
        """Where the only fit ends, the training does: there are none to go on without."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        guard = None if self.guard is None else self.guard.state_dict()
        return {
            **self._plain_state(),
            "halved": self.halved,
            "guard": guard,
            "compiled": self.compiling.kind,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._load_plain_state(state)
        self.halved = state["halved"]
        self.compiling.use(state["compiled"])
        if self.guard is not None:
            self.guard.load_state_dict(state["guard"])

    def _plain_state(self) -> dict[str, Any]:
        mean = None if self.average is None else [self.average.mean, self.average.counted]
        state = {"theta": self.theta, "gradient": self.gradient, "mean": mean}
        whole = {**state, "stepper": self.stepper.state()}
        if self.sharded is not None:
            whole = of_each(whole, self.theta.shape, self.sharded.whole)
        return {
            **whole,
            "buffers": list(self.module.buffers()),
            "strategy": self.strategy.model_dump(),
        }

    def _load_plain_state(self, state: dict[str, Any]) -> None:
        if self.sharded is not None:
            own = {name: state[name] for name in ("theta", "gradient", "mean", "stepper")}
            state = {**state, **of_each(own, state["theta"].shape, self.sharded.own)}
        with torch.no_grad():
            self.theta.copy_(state["theta"])
            self.gradient.copy_(state["gradient"])
            for buffer, saved in zip(self.module.buffers(), state["buffers"], strict=True):
                buffer.copy_(saved)
            if self.average is not None:
                self.average.mean.copy_(state["mean"][0])
                self.average.counted = state["mean"][1]
        self.use(Strategy.model_validate(state["strategy"]))
        self.stepper.restore(state["stepper"])

    def _seed(self, purpose: str, number: int) -> int:
        return derive(self.work.seed, purpose, number)


def of_each(tree: Any, shape: torch.Size, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same values, with every tensor of this shape [1, numbers] changed."""
    if isinstance(tree, dict):
        return {key: of_each(value, shape, change) for key, value in tree.items()}
    if isinstance(tree, list):
        return [of_each(value, shape, change) for value in tree]
    if isinstance(tree, torch.Tensor) and tree.shape == shape:
        return change(tree[0]).unsqueeze(0)
    return tree


def saved_bytes(module: nn.Module, x: torch.Tensor) -> int:
    """What the forward pass of `x` keeps for its gradients, weights not counted."""
    own = {parameter.data_ptr() for parameter in module.parameters()}
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            seen[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(x).sum()
    return sum(seen.values())


def real_buffers(module: nn.Module) -> list[torch.Tensor]:
    """Such as the means of a batch norm; counters are not needed to predict."""
    return [buffer for buffer in module.buffers() if buffer.is_floating_point()]


def load_weights(module: nn.Module, weights: torch.Tensor) -> nn.Module:
    """`module` with the parameters and buffers that `ModuleLearner.weights` gave, ready to
    predict.
    """
    parameters, buffers = learned_parameters(module), real_buffers(module)
    with torch.no_grad():
        learned = sum(one.numel() for one in parameters)
        for one, value in zip(parameters, views(parameters, weights[:learned]), strict=True):
            one.copy_(value)
        for buffer, value in zip(buffers, views(buffers, weights[learned:]), strict=True):
            buffer.copy_(value)
    return module.eval()
