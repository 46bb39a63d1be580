"""Replicas of one network that train as one: their parameters are the rows of one matrix.

Shape letters: K replicas, P parameters of one, B rows of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from sixfold.build.family import GradientFamily, Noisy, Program, Stackable
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context
from sixfold.train.averaged import WeightAverage
from sixfold.train.batches import Batch, Batches, ReplicaBatches
from sixfold.train.candidate import Candidate
from sixfold.train.captured import Captured, recorder_of
from sixfold.train.functional import FunctionalProgram
from sixfold.train.stepper import Stepper
from sixfold.train.stopping import EarlyStopping

UNSEEN = 1000  # steps at most before their losses are looked at, should they grow without end


@dataclass(frozen=True)
class Watched:
    """Rows cut off to be looked at after every epoch: `x` [rows, features], `y`, and `score` of a network on them where it
    is not the loss that is watched.
    """

    x: torch.Tensor
    y: torch.Tensor
    score: Callable[[nn.Module], float] | None = None


@dataclass(frozen=True)
class Replica:
    """One fit of one candidate: `number` among the fits that were asked for; `noise` draws its dropout."""

    number: int
    candidate: Candidate
    fit: Fit
    module: nn.Module
    batches: Batches
    stopping: EarlyStopping
    watched: Watched | None
    noise: torch.Generator
    context: Context


class Stack:
    """`theta`, `gradient`: [K, P], a row a replica. All replicas have one architecture and one `train`, but for what
    `Candidate.batch_key` lets differ. It is where the replicas' targets are: on the processor, or on a GPU.
    """

    def __init__(self, family: GradientFamily, replicas: Sequence[Replica]) -> None:
        self.family = family
        self.first = sorted(replicas, key=_alike)
        self.replicas, self.places = list(self.first), list(range(len(self.first)))
        vectors = [parameters_to_vector(replica.module.parameters()).detach() for replica in self.replicas]
        self.device = replicas[0].batches.y.device
        self.theta = torch.stack(vectors).to(self.device)
        self.gradient = torch.zeros_like(self.theta)
        self.average = WeightAverage.of(replicas[0].candidate.train.average, self.theta)
        self.clip = replicas[0].candidate.train.clip
        self.together = ReplicaBatches([replica.batches for replica in self.replicas])
        self.steppers = self._steppers()
        self.captured: Captured | None = None
        self._build()

    @property
    def shown(self) -> torch.Tensor:
        """The weights that are judged and kept, [K, P]: the last ones, or their mean where that is asked."""
        return self.theta if self.average is None or not self.average.begun else self.average.mean

    @property
    def epochs(self) -> int:
        """Passes over the rows."""
        return self.replicas[0].candidate.train.epochs

    def next_report_epoch(self, epoch: int) -> int:
        """The first epoch from `epoch` on after which something is told or looked at: until then steps follow on steps."""
        stop, average, most = self.replicas[0].stopping.stop, self.average, max(1, UNSEEN // self.together.count)
        if (
            stop.gradient_norm is not None
            or (average is not None and average.settings.swa is not None)
            or any(replica.watched is not None for replica in self.replicas)
            or any(stepper.two_points for stepper in self.steppers)
        ):
            return epoch
        every = self.replicas[0].candidate.train.report_every
        return min(self.epochs, -(-epoch // every) * every if every > 1 else self.epochs, -(-epoch // most) * most)

    @property
    def operations(self) -> float:
        """Multiplications and additions of a step: two for a weight and a row, forwards, and twice that backwards."""
        return 6.0 * self.theta.numel() * self.together.size

    def step(self, number: int, batch: Batch) -> torch.Tensor:
        """Step number `number` of an epoch, of every replica that has that many; returns their mean losses, [K]."""
        drawn = self._noise(number, batch.x.shape[1])
        stepping = [stepper for stepper in self.steppers if number < stepper.count]
        if stepping[0].full_batch:  # it trains alone, and asks for the gradient itself
            losses: list[torch.Tensor] = []

            def again() -> torch.Tensor:
                losses.append(self._gradient(batch, drawn))
                return losses[-1][0]

            stepping[0].take(again)
        else:
            losses = [self._gradient(batch, drawn)]
            for stepper in stepping:
                stepper.take()
        if self.average is not None:
            for stepper in stepping:
                self.average.after_step(stepper.rows, stepper.step, self.theta)
        return losses[0]

    def _gradient(self, batch: Batch, drawn: Sequence[torch.Tensor]) -> torch.Tensor:
        """Write ∇ of every replica's mean loss, clipped; the losses, [K]. On a GPU what is launched for it is recorded once."""
        if self.recorder is None:
            return self._write(*batch, *drawn)
        if self.captured is None:
            self.captured = Captured(self._write, (*batch, *drawn), self.recorder)
        return self.captured(*batch, *drawn)

    def _write(self, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, *drawn: torch.Tensor) -> torch.Tensor:
        losses = self.program.gradient(x, target, weight, drawn)
        if self.clip is not None:
            norms = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)
            self.gradient.mul_((self.clip / norms.clamp_(min=1e-12)).clamp_(max=1.0))
        return losses

    def end_epoch(self, epoch: int) -> None:
        """Before the weights are judged."""
        for stepper in self.steppers:
            stepper.evaluating(True)
        if self.average is not None:
            self.average.after_epoch(epoch / self.epochs, self.theta)

    def watch(self) -> list[float | None]:
        """What is watched of every replica, with the weights as they are."""
        rows = [replica.watched for replica in self.replicas]
        if all(each is None or each.score is not None for each in rows):
            return [self._score(at) for at in range(len(rows))]
        return list(self._watched_losses())

    def norms(self) -> list[float | None]:
        """Of every replica's gradient."""
        return list(torch.linalg.vector_norm(self.gradient, dim=1).tolist())

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
            stays = [position - stepper.rows.start for position in positions if position in stepper.rows]
            if stays:
                stepper.move(stays, first, self.theta, self.gradient)
                steppers.append(stepper)
            first += len(stays)
        self.steppers = steppers
        self._build()

    def stepper_of(self, at: int) -> Stepper:
        """Who steps replica `at`."""
        return next(stepper for stepper in self.steppers if at in stepper.rows)

    def program_on(self, theta: torch.Tensor, gradient: torch.Tensor) -> Program:
        """The losses and gradients of all replicas with other weights, both [K, P]."""
        if isinstance(self.family, Stackable):
            return self.family.program(self.replicas[0].module, theta, gradient)
        return FunctionalProgram([replica.module for replica in self.replicas], self.family.losses, theta, gradient)

    def _steppers(self) -> list[Stepper]:
        """One for every candidate and number of steps an epoch, whose rows of θ stand together."""
        shapes = [parameter.shape for parameter in self.replicas[0].module.parameters()]
        steppers: list[Stepper] = []
        first = 0
        for (_, count, _), group in itertools.groupby(self.replicas, _alike):
            members = list(group)
            stepper = Stepper(members[0].candidate.train, shapes, count)
            stepper.start(range(first, first + len(members)), self.theta, self.gradient)
            steppers.append(stepper)
            first += len(members)
        return steppers

    def _build(self) -> None:
        first = self.replicas[0].module
        self.noisy = first if isinstance(first, Noisy) and first.noise_shapes(1) else None
        self.shares = self.together.shares()
        self.program = self.program_on(self.theta, self.gradient)
        known = isinstance(self.family, Stackable) and not self.steppers[0].full_batch  # that a step reads nothing back
        self.recorder = recorder_of(self.device, self.operations) if known else None
        self.captured = None
        self.judge = self.program
        if self.average is not None:
            self.judge = self.program_on(self.average.mean, torch.zeros_like(self.gradient))

    def _noise(self, number: int, rows: int) -> list[torch.Tensor]:
        """Every replica draws its own, for its own rows, and none where it has no batch: the same numbers whoever trains
        beside it.
        """
        if self.noisy is None:
            return []
        drawn = []
        for shape in self.noisy.noise_shapes(rows):
            noise = self.theta.new_zeros((len(self.replicas), *shape))
            for part, replica in zip(noise, self.replicas, strict=True):
                if number < replica.batches.count:
                    part[: replica.batches.size].uniform_(generator=replica.noise)
            drawn.append(noise)
        return drawn

    def _score(self, at: int) -> float | None:
        watched = self.replicas[at].watched
        return None if watched is None or watched.score is None else watched.score(self.load(at, self.shown[at]))

    def _watched_losses(self) -> Sequence[float | None]:
        """The mean loss on the rows cut off, of all replicas at once: the shorter ones are filled up with weight 0."""
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
        judge = self.judge if self.shown is not self.theta else self.program
        means = torch.linalg.vecdot(judge.losses(x, y), weight).tolist()
        return [None if each is None else mean for each, mean in zip(rows, means, strict=True)]


def _alike(replica: Replica) -> tuple[str, int, str]:
    """Equal for replicas that one optimiser steps: the candidate, how many steps its epoch has, and what `auto` found."""
    options = replica.candidate.train.optimizer
    return replica.candidate.name, replica.batches.count, repr(sorted(options.items()))
