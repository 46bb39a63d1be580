"""What the training loop steps: many replicas of a small network at once, or one module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import torch

from sixfold.parts.table import FloatArray
from sixfold.runs.context import Context
from sixfold.train.rank_group import RankGroup
from sixfold.train.stopping import EarlyStopping

Batch = TypeVar("Batch")


class Trainee(Protocol):
    """One fit that is trained: when it ends, and where its events go."""

    @property
    def stopping(self) -> EarlyStopping:
        """Follows it."""

    @property
    def context(self) -> Context:
        """Its own: events carry its facts."""


class Learner(Protocol[Batch]):
    """All that the loop knows. K fits are trained at once, of which each keeps its row of losses
    and weights.
    """

    @property
    def epochs(self) -> int:
        """Passes over the examples."""

    @property
    def steps(self) -> int:
        """Of an epoch, of the fit that has most."""

    @property
    def ranks(self) -> RankGroup:
        """Who trains it together; one alone, mostly."""

    @property
    def device(self) -> torch.device:
        """Where it trains."""

    @property
    def operations(self) -> float:
        """Multiplications and additions of a step."""

    @property
    def records(self) -> bool:
        """Whether autograd records operations in `backward`; torch keeps no account for it where
        none does.
        """

    @property
    def report_every(self) -> int:
        """Epochs between two printed losses."""

    @property
    def step_points(self) -> int:
        """Means of losses within an epoch that are reported, at most; 0: the epoch's alone."""

    @property
    def trainees(self) -> Sequence[Trainee]:
        """Those that are still trained, K."""

    @property
    def places(self) -> Sequence[int]:
        """Where they stood at first."""

    def next_report_epoch(self, epoch: int) -> int:
        """The first epoch from `epoch` on after which something is reported or evaluated: until
        then steps follow on steps.
        """

    def batches(self) -> Iterator[Batch]:
        """Of one more epoch, in a new order, which is the same in every rank."""

    def set_rate(self, batch: Batch) -> None:
        """The learning rate of the next step, by the schedule."""

    def backward(self, batch: Batch) -> torch.Tensor:
        """Write the gradient of the batch's mean loss; the losses, [K]: of the whole batch in every
        rank.
        """

    def step(self, batch: Batch) -> None:
        """One step of the optimizer by the gradient."""

    def end_epoch(self, epoch: int) -> None:
        """After it the weights are evaluated, until `start_epoch`."""

    def start_epoch(self) -> None:
        """After it they are trained."""

    def evaluate(self) -> list[float | None]:
        """What is watched of every fit, on rows cut off, with the weights as they are; None where
        nothing is.
        """

    def weights(self, place: int) -> torch.Tensor:
        """The weights that are judged and kept of the fit in row `place`, [P]."""

    @property
    def divided(self) -> bool:
        """Whether each rank has a part of the weights: then `whole` and `state_dict` are asked of all ranks."""

    def whole(self, weights: torch.Tensor) -> torch.Tensor:
        """Weights of a fit as one process has them, [P], in the first rank."""

    def own(self, weights: torch.Tensor) -> torch.Tensor:
        """Of such this rank's part."""

    def steps_done(self, place: int) -> int:
        """Of the fit in row `place`."""

    def norms(self) -> list[float | None]:
        """Of every fit's last gradient."""

    def rates(self) -> list[float]:
        """Of every fit's last step."""

    def shares(self) -> FloatArray:
        """What each batch is of its fit's epoch, float64 [K, steps]; 0 for batches that a fit does
        not have.
        """

    def keep(self, positions: Sequence[int]) -> None:
        """Go on without the other fits."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, as plain values and tensors."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there, between two steps of an epoch: the next `batches` are those of that
        epoch again.
        """
