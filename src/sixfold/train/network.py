"""What a network is to the loop that trains it: how it is built, compared, started and stepped.

A family whose model is a network has the methods of `Network`; what only some have is a protocol of
its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from sixfold.parts.fit import Fit, Fitted, Shape
from sixfold.parts.table import FloatArray, IntArray


class Network(Protocol):
    """What training asks of a family whose model is a network: mlp, residual_mlp, tabm."""

    def module(self, shape: Shape) -> nn.Module:
        """A network with parameters of any value: `initialize` fills them.

        Many of them are trained as one (torch.func): `forward` changes nothing in place, branches
        on no value of a tensor and has no buffers that change. What it draws at random in training
        is a `Noisy` module's.
        """

    def targets(self, module: nn.Module, fit: Fit) -> FloatArray | IntArray:
        """What `loss` compares with, [rows] or [rows, outputs].

        The first call may note in the module how the targets are scaled, so that `fitted` can undo
        it; later calls (for rows cut off to be watched), and all calls with a resumed module, use
        the same scale.
        """

    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of each row, [batch]: their mean is minimized.

        `outputs` is what the module returns, rows first; `y` int64 [batch] classes, or float
        [batch, outputs].
        """

    def fitted(self, module: nn.Module, shape: Shape) -> Fitted:
        """The trained network as a state of arrays."""

    def resume(self, fitted: Fitted) -> nn.Module:
        """The network a state came from, to train further (after pruning its layers may be
        narrower).
        """

    def widths(self, shape: Shape) -> tuple[int, ...]:
        """Units of each hidden layer; () where it has none, or where they are no chain."""

    def derived(self, shape: Shape) -> str:
        """What was chosen and why, a sentence for the user; '' when the recipe says it all."""


class Program(Protocol):
    """Losses and gradients of K replicas of one network at once; their parameters are the rows of θ
    [K, P].

    `records`: whether autograd records operations in `gradient`; torch keeps no account for it
    where none does.
    """

    records: bool

    def encode(self, y: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`y` [K, S, B] or [K, S, B, outputs] and `weight` [K, S, B] of S batches, as `gradient`
        wants them: [K, S, …].
        """

    def gradient(
        self,
        x: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
        noise: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Write ∇θ Σ weight · loss of every replica into the rows of the gradient [K, P]; return Σ
        weight · loss, [K].

        `x`: [K, B, features]; `target`, `weight`: of one batch, encoded; `noise`: as `Noisy` asks,
        each [K, …].
        """

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of every row without noise, [K, B]."""


@runtime_checkable
class Stackable(Protocol):
    """Ability of a family's Settings: gradients faster than torch.func's, by hand or by one graph
    for all replicas.
    """

    def program(self, module: nn.Module, theta: torch.Tensor, gradient: torch.Tensor) -> Program:
        """Works on `theta` and writes into `gradient`, both [K, P]: the parameters of `module` one
        after the other.
        """


@runtime_checkable
class Noisy(Protocol):
    """Ability of a module: it needs random numbers in training (dropout). Its `forward` takes (x,
    noise).
    """

    def noise_shapes(self, rows: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors, uniform in [0, 1) and rows first, that `forward` wants as `noise`
        for a batch; () for none.

        In evaluation `forward` gets no noise (None) and drops nothing.
        """


class Scheme(Protocol):
    """How parameters start: one of `initialize`."""

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """In place."""


@runtime_checkable
class Starting(Protocol):
    """Ability of a module: some of its parameters start as their paper says, or in slices that a
    scheme can count.
    """

    def start(self, weights: Scheme, biases: Scheme, generator: torch.Generator) -> frozenset[str]:
        """Fill some parameters in place, and return their names: `initialize` leaves them alone.
        `weights` fills [out, in] and `biases` any shape, as the recipe asks.
        """


@runtime_checkable
class Wide(Protocol):
    """Ability of a module: says how much it holds in training, where the shapes of its parameters
    do not tell.
    """

    @property
    def held_numbers(self) -> int:
        """Numbers held for one row of a batch, about."""
