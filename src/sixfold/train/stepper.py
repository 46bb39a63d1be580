"""Replicas that are stepped alike: of one candidate, with equally many steps an epoch, by one
optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from sixfold.core.errors import RecipeError
from sixfold.recipe.kinds import OPTIMIZER, SCHEDULE
from sixfold.recipe.schema import Train
from sixfold.train.offload import OffloadedOptimizer, pieces_of
from sixfold.train.optimizer import Quick
from sixfold.train.rate import Rate


def wants_full_batch(train: Train) -> bool:
    """Whether its optimizer asks for gradients itself, of all rows: such a fit trains alone."""
    return bool(OPTIMIZER.load(str(train.optimizer["name"])).full_batch)


class LossClosure:
    """What a `full_batch` optimizer calls, several times a step: the loss with the weights as they
    are, and its gradient.

    The first time both are `known`, [1]; later `again` writes the gradient and returns the loss,
    [1].
    """

    def __init__(self, known: torch.Tensor, again: Callable[[], torch.Tensor]) -> None:
        self.known: torch.Tensor | None = known
        self.again = again

    def __call__(self) -> torch.Tensor:
        """The loss."""
        losses, self.known = self.known, None
        return (self.again() if losses is None else losses)[0]


class Stepper:
    """θ_k ← optimizer(θ_k, ∇_k) for some rows k of θ.

    An ordinary optimizer works on each number alone and gets all the rows as one tensor; a `shaped`
    one (muon) gets every parameter as it is; a `full_batch` one (lbfgs) asks for the gradient
    several times a step. `count`: steps an epoch; those of `train` that this class holds:
    optimizer, schedule, warm_up.
    """

    def __init__(self, train: Train, shapes: Sequence[torch.Size], count: int) -> None:
        self.settings: Any = OPTIMIZER.make(train.optimizer)
        self.full_batch = bool(self.settings.full_batch)
        self.shaped = bool(self.settings.shaped)
        self.shapes = shapes
        self.count = count
        self.step = 0
        self.rows = range(0)
        self.offloaded = False
        self.parameters: list[nn.Parameter] = []
        self._train = train
        self._step: Callable[[], Any] | None = None  # how the tensors that are held now are stepped

    def start(self, rows: range, theta: torch.Tensor, gradient: torch.Tensor) -> None:
        """Step the rows `rows` of θ [K, P] by the gradient [K, P]. Raises RecipeError for batches
        that it cannot take.
        """
        if self.full_batch and self.count > 1:
            raise RecipeError(
                "train.batch_size",
                f"full, which {self._train.optimizer['name']} needs",
                str(self._train.batch_size),
                "Write `batch_size: full`, or choose another optimizer.",
            )
        self.rows = rows
        self.parameters = [nn.Parameter(part) for part in self._parts(theta)]
        self.optimizer: torch.optim.Optimizer = self.settings.make(self.parameters)
        self.evaluating(False)
        schedule, steps = SCHEDULE.make(self._train.schedule), self._train.epochs * self.count
        self.rate = Rate(self.optimizer.param_groups[0]["lr"], schedule, self._train.warm_up, steps)
        self._bind(theta, gradient)

    def offload(self, theta: torch.Tensor, gradient: torch.Tensor) -> None:
        """From now on what the optimizer remembers lies outside of memory; the steps are the same. Raises RecipeError
        for one that works on all numbers together.
        """
        if self.full_batch:
            raise RecipeError(
                "budget.strategy.offload",
                "an optimizer that works on each weight by itself",
                str(self._train.optimizer["name"]),
                "Leave it out, or choose another optimizer.",
            )
        if self.offloaded:
            return
        self.offloaded, before = True, self.parameters
        self.parameters = [nn.Parameter(part) for part in self._parts(theta)]
        optimizer = OffloadedOptimizer(self.settings.make, self.parameters)
        optimizer.go_on_from(self.optimizer, before)
        self.optimizer = optimizer
        self._bind(theta, gradient)

    def move(
        self, stays: Sequence[int], first: int, theta: torch.Tensor, gradient: torch.Tensor
    ) -> None:
        """After θ was made anew with fewer rows: of those stepped here `stays` stayed (0 is the
        first), from row `first` on.
        """
        if self.shaped:
            size = len(self.shapes)
            kept = [self.parameters[at * size + number] for at in stays for number in range(size)]
            for group in self.optimizer.param_groups:
                group["params"] = [
                    one for one in group["params"] if any(one is other for other in kept)
                ]
            self.parameters = kept
        else:
            state = self.optimizer.state.get(self.parameters[0], {})  # none before the first step
            for name, value in state.items():
                if isinstance(value, torch.Tensor) and value.shape == self.parameters[0].shape:
                    state[name] = value[list(stays)]
        self.rows = range(first, first + len(stays))
        self._bind(theta, gradient)

    def set_rate(self) -> None:
        """That of the next step, by the schedule."""
        rate = self.rate.at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def take(self, closure: Callable[[], torch.Tensor] | None = None) -> None:
        """One step by the gradients that stand in ∇; a `full_batch` optimizer calls `closure`,
        which writes them.
        """
        if closure is not None:
            self.optimizer.step(closure)  # type: ignore[arg-type]  # torch.optim wants a float of it, and uses it as one
        elif self._step is not None:
            self._step()
        else:  # the first step makes the optimizer's state
            self.optimizer.step()
            self._step = (
                self.optimizer.quick() if isinstance(self.optimizer, Quick) else self.optimizer.step
            )
        self.step += 1

    @property
    def learning_rate(self) -> float:
        """That of the last step."""
        return self.rate.at(max(0, self.step - 1))

    @property
    def two_points(self) -> bool:
        """Schedule-free optimizers keep two points: one is trained at, the other one is the
        model.
        """
        return bool(self.settings.schedule_free)

    def evaluating(self, on: bool) -> None:
        """Whether θ is the model, or where it is trained."""
        if not self.two_points:
            return
        change: Any = self.optimizer
        if isinstance(change, OffloadedOptimizer):
            change.evaluating(on)
        elif on:
            change.eval()
        else:
            change.train()

    def state(self) -> dict[str, Any]:
        """What the next step depends on, besides θ and ∇."""
        return {"step": self.step, "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.step = state["step"]
        self.optimizer.load_state_dict(state["optimizer"])
        self._step = None

    def _bind(self, theta: torch.Tensor, gradient: torch.Tensor) -> None:
        for parameter, value, slope in zip(
            self.parameters, self._parts(theta), self._parts(gradient), strict=True
        ):
            parameter.data, parameter.grad = value, slope
        self._step = None

    def _parts(self, matrix: torch.Tensor) -> list[torch.Tensor]:
        own = matrix[self.rows.start : self.rows.stop]
        if not self.shaped:
            return pieces_of(own) if self.offloaded else [own]
        sizes = [shape.numel() for shape in self.shapes]
        return [
            part.view(shape)
            for row in own
            for part, shape in zip(row.split(sizes), self.shapes, strict=True)
        ]
