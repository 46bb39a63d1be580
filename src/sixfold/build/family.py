"""The two protocols of a family: its `Settings` class implements one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from sixfold.parts.fit import Fit, Fitted, Needs, Shape
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.runs.context import Context

if TYPE_CHECKING:  # families without a network do not wait for torch
    import torch
    from torch import nn


@runtime_checkable
class SolverFamily(Protocol):
    """Trained by its own solver: linear, svm, tree, forest, boosting."""

    @property
    def needs(self) -> Needs:
        """How it likes its features: a constant of the class, or what follows from the settings."""

    tasks: ClassVar[frozenset[Task]]

    def solve(self, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
        """Yield one result a fit, in order."""


@runtime_checkable
class GradientFamily(Protocol):
    """Trained by the loop of `train`: mlp, residual_mlp, tabm."""

    @property
    def needs(self) -> Needs:
        """How it likes its features: a constant of the class, or what follows from the settings."""

    tasks: ClassVar[frozenset[Task]]

    def module(self, shape: Shape) -> nn.Module:
        """A network with parameters of any value: `initialize` fills them.

        Many of them are trained as one (torch.func): `forward` changes nothing in place, branches on no value of a
        tensor and has no buffers that change. What it draws at random in training is a `Noisy` module's.
        """

    def targets(self, module: nn.Module, fit: Fit) -> FloatArray | IntArray:
        """What `loss` compares with, [rows] or [rows, outputs].

        The first call may note in the module how the targets are scaled, so that `fitted` can undo it; later calls (for
        rows cut off to be watched), and all calls with a resumed module, use the same scale.
        """

    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of each row, [batch]: their mean is minimised.

        `outputs` is what the module returns, rows first; `y` int64 [batch] classes, or float [batch, outputs].
        """

    def fitted(self, module: nn.Module, shape: Shape) -> Fitted:
        """The trained network as a state of arrays."""

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network a state came from, to train further (after pruning its layers may be narrower)."""


class Program(Protocol):
    """Losses and gradients of K replicas of one network at once; their parameters are the rows of θ [K, P].

    `records`: whether autograd records operations in `gradient`; torch keeps no account for it where none does.
    """

    records: bool

    def encode(self, y: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`y` [K, S, B] or [K, S, B, outputs] and `weight` [K, S, B] of S batches, as `gradient` wants them: [K, S, …]."""

    def gradient(
        self, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, noise: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Write ∇θ Σ weight · loss of every replica into the rows of the gradient [K, P]; return Σ weight · loss, [K].

        `x`: [K, B, features]; `target`, `weight`: of one batch, encoded; `noise`: as `Noisy` asks, each [K, …].
        """

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of every row without noise, [K, B]."""


@runtime_checkable
class Stackable(Protocol):
    """Ability of a family's Settings: gradients faster than torch.func's, by hand or by one graph for all replicas."""

    def program(self, module: nn.Module, theta: torch.Tensor, gradient: torch.Tensor) -> Program:
        """Works on `theta` and writes into `gradient`, both [K, P]: the parameters of `module` one after the other."""


@runtime_checkable
class Noisy(Protocol):
    """Ability of a module: it needs random numbers in training (dropout). Its `forward` takes (x, noise)."""

    def noise_shapes(self, rows: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors, uniform in [0, 1) and rows first, that `forward` wants as `noise` for a batch; () for none.

        In evaluation `forward` gets no noise (None) and drops nothing.
        """


class Scheme(Protocol):
    """How parameters start: one of `initialize`."""

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """In place."""


@runtime_checkable
class Starting(Protocol):
    """Ability of a module: some of its parameters start as their paper says, or in slices that a scheme can count."""

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Fill some parameters in place, and return their names: `initialize` leaves them alone. `weights` fills [out, in]
        and `biases` any shape, as the recipe asks.
        """


@runtime_checkable
class Wide(Protocol):
    """Ability of a module: says how much it holds in training, where the shapes of its parameters do not tell."""

    @property
    def held_numbers(self) -> int:
        """Numbers held for one row of a batch, about."""


@runtime_checkable
class Shared(Protocol):
    """Ability of a solver's Settings: settings that differ in the fields `shared` alone are solved as one piece of work
    (one factorisation for all penalties, one kernel matrix for all C).
    """

    shared: ClassVar[frozenset[str]]

    def solve_all(self, settings: Sequence[Any], fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
        """Yield fit by fit, and within a fit setting by setting: what `settings[i].solve([fit], context)` yields, to the
        tolerance of the solver. `self` is one of `settings`.
        """


@runtime_checkable
class Layered(Protocol):
    """Ability of a family's Settings: a chain of hidden layers, whose widths it may choose itself."""

    def widths(self, shape: Shape) -> tuple[int, ...]:
        """Units of each hidden layer."""

    def derived(self, shape: Shape) -> str:
        """What was chosen and why, a sentence for the user; '' when the recipe says it all."""


@runtime_checkable
class SideBySide(Protocol):
    """Ability of a solver's Settings: its solver lets other threads run, and `solve` works on several fits at once."""

    @property
    def side_by_side(self) -> bool:
        """Whether these settings' does: a constant of the class, or what follows from the settings."""


@runtime_checkable
class Interruptible(Protocol):
    """Ability of a solver's Settings: a fit ends at the deadline with what it has, as the loop's fits do."""

    ends_in_time: ClassVar[bool]


@runtime_checkable
class Deciding(Protocol):
    """Ability of a family's Settings: for classes it gives decision values, no probabilities."""

    decides: ClassVar[bool]


@runtime_checkable
class TaskBound(Protocol):
    """Ability of a family's Settings: some of its options are for one task only."""

    def check_task(self, task: Task) -> None:
        """Raises RecipeError for options of another task."""


@runtime_checkable
class Costly(Protocol):
    """Ability of a solver's Settings: says what a fit takes, so that one that has no room or no time is not begun.

    Who does not say it takes time in proportion to the rows, and no memory but the features and their copies. `few`: a fit of
    some of the rows, to look at; it may be tried on.
    """

    def work(self, rows: int) -> float:
        """What the time of a fit on `rows` rows is proportional to, in any unit."""

    def fit_bytes(self, few: Fit, rows: int, settings: int) -> int:
        """Bytes that a fit on `rows` rows holds at its peak besides its features (kernel matrices, trees while they grow), of
        so many `settings` solved as one piece of work.
        """

    def model_bytes(self, few: Fit, rows: int) -> int:
        """Bytes of its result."""


@runtime_checkable
class CostComplexity(Protocol):
    """Ability of a family's Settings: its trees can be cut back by its field `complexity` (a float, 0 cuts nothing)."""

    def complexity_path(self, fit: Fit) -> FloatArray:
        """Rising values of `complexity`, at each of which the tree of `fit` loses a branch."""


def ends_in_time(family: SolverFamily | GradientFamily) -> bool:
    """Whether a fit ends at its deadline with what it has; of other families one that has begun goes on to its end."""
    return isinstance(family, GradientFamily | Interruptible)
