"""Replicas of one network that train as one: their parameters are the rows of one matrix.

Shape letters: K replicas, P parameters of one, B rows of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from sixfold.parts.fit import Fit
from sixfold.parts.table import FloatArray
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train.averaged import WeightAverage
from sixfold.train.batches import Batch, Batches, ReplicaBatches
from sixfold.train.captured import Captured, recorder_of
from sixfold.train.functional import FunctionalProgram
from sixfold.train.network import Network, Noisy, Program, Stackable
from sixfold.train.rank_group import ALONE, RankGroup
from sixfold.train.stepper import LossClosure, Stepper
from sixfold.train.stopping import EarlyStopping

UNSEEN = 1000  # steps at most before their losses are looked at, should they grow without end


@dataclass(frozen=True)
class Watched:
    """Rows cut off to be looked at after every epoch: `x` [rows, features], `y`, and `score` of a
    network on them where it is not the loss that is watched. `weights`: [rows], as in `Batches`.
    """

    x: torch.Tensor
    y: torch.Tensor
    score: Callable[[nn.Module], float] | None = None
    weights: torch.Tensor | None = None


@dataclass(frozen=True)
class Replica:
    """One fit: `number` among those that were asked for; `noise` draws its dropout."""

    number: int
    fit: Fit
    module: nn.Module
    batches: Batches
    stopping: EarlyStopping
    watched: Watched | None
    noise: torch.Generator
    context: Context

    @property
    def train(self) -> Train:
        """How it is trained."""
        return self.fit.setting.train

    def with_train(self, train: Train) -> Self:
        """The same, trained otherwise."""
        return replace(self, fit=replace(self.fit, setting=replace(self.fit.setting, train=train)))


class ReplicaLearner:
    """`theta`, `gradient`: [K, P], a row a replica. All replicas have one architecture and one
    `train`, but for what `Family.apart` lets differ. It is where the replicas' targets are: on the
    processor, or on a GPU. Each of several `ranks` has all replicas, and some rows of every batch.
    """

    def __init__(
        self, family: Network, replicas: Sequence[Replica], ranks: RankGroup = ALONE
    ) -> None:
        self.family, self.ranks = family, ranks
        self.first = sorted(replicas, key=_alike)
        self.replicas, self.places = list(self.first), list(range(len(self.first)))
        vectors = [
            parameters_to_vector(replica.module.parameters()).detach() for replica in self.replicas
        ]
        self.device = replicas[0].batches.y.device
        self.theta = torch.stack(vectors).to(self.device)
        self.gradient = torch.zeros_like(self.theta)
        self.average = WeightAverage.of(replicas[0].train.average, self.theta)
        self.clip = replicas[0].train.clip
        self.together = ReplicaBatches([replica.batches for replica in self.replicas], ranks)
        self.steppers = self._steppers()
        self.captured: Captured | None = None
        self._build()

    @property
    def shown(self) -> torch.Tensor:
        """The weights that are judged and kept, [K, P]: the last ones, or their mean where that is
        asked.
        """
        return self.theta if self.average is None or not self.average.begun else self.average.mean

    @property
    def epochs(self) -> int:
        """Passes over the rows."""
        return self.replicas[0].train.epochs

    @property
    def steps(self) -> int:
        """Of an epoch, of the replica that has most."""
        return self.together.count

    @property
    def records(self) -> bool:
        """Whether autograd records operations in `backward`."""
        return self.program.records

    @property
    def report_every(self) -> int:
        """Epochs between two printed losses."""
        return self.replicas[0].train.report_every

    @property
    def trainees(self) -> Sequence[Replica]:
        """Those that are still trained, K."""
        return self.replicas

    @property
    def step_points(self) -> int:
        """None: epochs are short."""
        return 0

    def next_report_epoch(self, epoch: int) -> int:
        """The first epoch from `epoch` on after which something is told or looked at: until then
        steps follow on steps.
        """
        stop, average, most = (
            self.replicas[0].stopping.stop,
            self.average,
            max(1, UNSEEN // self.together.count),
        )
        if (
            stop.gradient_norm is not None
            or (average is not None and average.settings.swa is not None)
            or any(replica.watched is not None for replica in self.replicas)
            or any(stepper.two_points for stepper in self.steppers)
        ):
            return epoch
        every = self.replicas[0].train.report_every
        return min(
            self.epochs,
            -(-epoch // every) * every if every > 1 else self.epochs,
            -(-epoch // most) * most,
        )

    @property
    def operations(self) -> float:
        """Multiplications and additions of a step in this rank: two for a weight and a row, forwards, and twice
        that backwards.
        """
        return 6.0 * self.theta.numel() * self.together.size / self.ranks.count

    def batches(self) -> Iterator[Batch]:
        """Of one more epoch, in a new order."""
        return self.together.epoch(self.program.encode)

    def set_rate(self, batch: Batch) -> None:
        """Of every replica that has so many batches."""
        self.stepping = [stepper for stepper in self.steppers if batch.number < stepper.count]
        for stepper in self.stepping:
            stepper.set_rate()

    def backward(self, batch: Batch) -> torch.Tensor:
        """Write ∇ of every replica's mean loss, clipped; the losses, [K]. On a GPU what is launched
        for it is recorded once.
        """
        x, target, weight, _ = batch
        self.drawn = self._noise(batch.number)
        if self.recorder is None:
            self.losses = self.program.gradient(x, target, weight, self.drawn)
            self._add_up(self.losses)
            return self.losses
        if self.captured is None:
            self.captured = Captured(self.write, (x, target, weight, *self.drawn), self.recorder)
        return self.captured(x, target, weight, *self.drawn)

    def step(self, batch: Batch) -> None:
        """Of every replica that has so many batches."""
        if self.stepping[0].full_batch:  # it trains alone, and asks for gradients itself
            x, target, weight, _ = batch
            again = partial(self.write, x, target, weight, *self.drawn)
            self.stepping[0].take(LossClosure(self.losses, again))
        else:
            for stepper in self.stepping:
                stepper.take()
        if self.average is not None:
            for stepper in self.stepping:
                self.average.after_step(stepper.rows, stepper.step, self.theta)

    def write(
        self, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, *drawn: torch.Tensor
    ) -> torch.Tensor:
        """The gradient, clipped, and the losses, [K]."""
        losses = self.program.gradient(x, target, weight, drawn)
        self._add_up(losses)
        return losses

    def _add_up(self, losses: torch.Tensor) -> None:
        """What the ranks have found of the batch; and clip."""
        self.ranks.sum(self.gradient, losses)
        if self.clip is not None:
            norms = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)
            self.gradient.mul_((self.clip / norms.clamp_(min=1e-12)).clamp_(max=1.0))

    def end_epoch(self, epoch: int) -> None:
        """Before the weights are judged."""
        for stepper in self.steppers:
            stepper.evaluating(True)
        if self.average is not None:
            self.average.after_epoch(epoch / self.epochs, self.theta)

    def start_epoch(self) -> None:
        """After it they are trained."""
        for stepper in self.steppers:
            stepper.evaluating(False)

    def evaluate(self) -> list[float | None]:
        """What is watched of every replica, with the weights as they are: by the first rank."""
        return self.ranks.values(self._watched_values, len(self.replicas))

    def _watched_values(self) -> list[float | None]:
        rows = [replica.watched for replica in self.replicas]
        if all(each is None or each.score is not None for each in rows):
            return [self._score(at) for at in range(len(rows))]
        return list(self._watched_losses())

    def norms(self) -> list[float | None]:
        """Of every replica's gradient."""
        return list(torch.linalg.vector_norm(self.gradient, dim=1).tolist())

    def rates(self) -> list[float]:
        """Of every replica's last step."""
        return [self.stepper_of(at).learning_rate for at in range(len(self.replicas))]

    def shares(self) -> FloatArray:
        """What each batch is of its replica's epoch, float64 [K, steps]; 0 for batches that a
        replica does not have.
        """
        return self._shares

    def weights(self, place: int) -> torch.Tensor:
        """Those that are judged and kept of the replica in row `place`, [P]."""
        return self.shown[place]

    @property
    def divided(self) -> bool:
        """Never: they are small."""
        return False

    def whole(self, weights: torch.Tensor) -> torch.Tensor:
        """Every rank has all of them."""
        return weights

    def own(self, weights: torch.Tensor) -> torch.Tensor:
        """All of them."""
        return weights

    def steps_done(self, place: int) -> int:
        """Of the replica in row `place`."""
        return self.stepper_of(place).step

    def load(self, at: int, weights: torch.Tensor) -> nn.Module:
        """The module of replica `at`, on the processor, with these weights, [P]."""
        module = self.replicas[at].module
        with torch.no_grad():
            nn.utils.vector_to_parameters(weights.cpu(), module.parameters())
        return module.eval()

    def keep(self, positions: Sequence[int]) -> None:
        """Go on without the other replicas. `places`: where those that are left stood at first."""
        self.places = [self.places[position] for position in positions]
        self.replicas = [self.replicas[position] for position in positions]
        self.theta, self.gradient = self.theta[list(positions)], self.gradient[list(positions)]
        if self.average is not None:
            self.average.mean = self.average.mean[list(positions)]
        self.together = self.together.keep(positions)
        first, steppers = 0, []
        for stepper in self.steppers:
            stays = [
                position - stepper.rows.start for position in positions if position in stepper.rows
            ]
            if stays:
                stepper.move(stays, first, self.theta, self.gradient)
                steppers.append(stepper)
            first += len(stays)
        self.steppers = steppers
        self._build()

    def stepper_of(self, at: int) -> Stepper:
        """Who steps replica `at`."""
        return next(stepper for stepper in self.steppers if at in stepper.rows)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, as plain values and tensors."""
        return {
            "places": list(self.places),
            "theta": self.theta,
            "gradient": self.gradient,
            "mean": None if self.average is None else [self.average.mean, self.average.counted],
            "orders": self.together.before,
            "noise": [each.noise.get_state() for each in self.replicas],
            "steppers": [each.state() for each in self.steppers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there: the next `batches` are those of the epoch in work again."""
        if len(state["places"]) < len(self.places):
            self.keep(state["places"])
        with torch.no_grad():
            self.theta.copy_(state["theta"])
            self.gradient.copy_(state["gradient"])
            if self.average is not None:
                self.average.mean.copy_(state["mean"][0])
                self.average.counted = state["mean"][1]
        for replica, noise in zip(self.replicas, state["noise"], strict=True):
            replica.noise.set_state(noise)
        for order, saved in zip(self.together.orders, state["orders"], strict=True):
            order.set_state(saved)
        for stepper, saved in zip(self.steppers, state["steppers"], strict=True):
            stepper.restore(saved)

    def program_on(self, theta: torch.Tensor, gradient: torch.Tensor) -> Program:
        """The losses and gradients of all replicas with other weights, both [K, P]."""
        if isinstance(self.family, Stackable):
            return self.family.program(self.replicas[0].module, theta, gradient)
        return FunctionalProgram(
            [replica.module for replica in self.replicas], self.family.losses, theta, gradient
        )

    def _steppers(self) -> list[Stepper]:
        """One for every candidate and number of steps an epoch, whose rows of θ stand together."""
        shapes = [parameter.shape for parameter in self.replicas[0].module.parameters()]
        steppers: list[Stepper] = []
        first = 0
        for (_, count, _), group in itertools.groupby(self.replicas, _alike):
            members = list(group)
            stepper = Stepper(members[0].train, shapes, count)
            stepper.start(range(first, first + len(members)), self.theta, self.gradient)
            steppers.append(stepper)
            first += len(members)
        return steppers

    def _build(self) -> None:
        first = self.replicas[0].module
        self.noisy = first if isinstance(first, Noisy) and first.noise_shapes(1) else None
        self._shares = self.together.shares()
        self.program = self.program_on(self.theta, self.gradient)
        known = (
            isinstance(self.family, Stackable) and not self.steppers[0].full_batch
        )  # that a step reads nothing back
        self.recorder = recorder_of(self.device, self.operations) if known else None
        self.captured = None
        self.judge = self.program
        if self.average is not None:
            self.judge = self.program_on(self.average.mean, torch.zeros_like(self.gradient))

    def _noise(self, number: int) -> list[torch.Tensor]:
        """Every replica draws its own, for its own rows, and none where it has no batch: the same
        numbers whoever trains beside it, and in how many ranks.
        """
        if self.noisy is None:
            return []
        drawn = []
        own = self.together.own
        for shape in self.noisy.noise_shapes(self.together.size):
            noise = self.theta.new_zeros((len(self.replicas), *shape))
            for part, replica in zip(noise, self.replicas, strict=True):
                if number < replica.batches.count:
                    part[: replica.batches.size].uniform_(generator=replica.noise)
            drawn.append(noise if self.ranks.count == 1 else noise[:, own.start : own.stop])
        return drawn

    def _score(self, at: int) -> float | None:
        watched = self.replicas[at].watched
        return (
            None
            if watched is None or watched.score is None
            else watched.score(self.load(at, self.shown[at]))
        )

    def _watched_losses(self) -> Sequence[float | None]:
        """The mean loss on the rows cut off, of all replicas at once: the shorter ones are filled
        up with weight 0.
        """
        rows = [replica.watched for replica in self.replicas]
        some = next(each for each in rows if each is not None)
        most = max(len(each.y) for each in rows if each is not None)
        x = some.x.new_zeros((len(rows), most, some.x.shape[1]))
        y = some.y.new_zeros((len(rows), most, *some.y.shape[1:]))
        weight = some.x.new_zeros((len(rows), most))
        for at, each in enumerate(rows):
            if each is not None:
                x[at, : len(each.y)], y[at, : len(each.y)] = each.x, each.y
                weight[at, : len(each.y)] = 1.0 / len(each.y)
                if each.weights is not None:
                    weight[at, : len(each.y)] *= each.weights
        judge = self.judge if self.shown is not self.theta else self.program
        means = torch.linalg.vecdot(judge.losses(x, y), weight).tolist()
        return [None if each is None else mean for each, mean in zip(rows, means, strict=True)]


def _alike(replica: Replica) -> tuple[str, int, str]:
    """Equal for replicas that one optimizer steps: the candidate, how many steps its epoch has, and
    what `auto` found.
    """
    options = replica.train.optimizer
    return replica.fit.setting.name, replica.batches.count, repr(sorted(options.items()))
