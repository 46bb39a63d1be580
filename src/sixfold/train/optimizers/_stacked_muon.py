"""Muon's step on matrices of one shape at once: a few large products in the place of many small ones.

Shape letters: N matrices of one shape, M their smaller side, K their larger one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import torch

from sixfold.core.cores import cores
from sixfold.train.mixed_precision import native

COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)  # of the quintic, a, b and c: Jordan, 2024
LEAST_NORM: Final = 1e-7
STACK: Final = 8  # matrices of a stack at most; guessed: a few stacks for every core
# The smaller side of a matrix that is stacked. Below 24, torch 2.13's `baddbmm` gives a matrix other bits beside others than
# alone, once in some hundred times (measured): folds trained together would drift from those trained one by one.
LEAST_SIDE: Final = 32


class StackedMuon(torch.optim.Muon):
    """torch's Muon, its state and its numbers up to the rounding of bfloat16 (a test compares them); a
    matrix that is higher than wide is stacked as its transpose. A device that does not multiply bfloat16 itself
    iterates in float32, which is 8 to 20 times faster there. `rms`: of the numbers of a step at a
    rate of 1. Measured with the 28 matrices of a network of width 128, one thread: the iterations take
    6.5 ms a step, one by one 12.3.

    Where torch has one thread, stacks are cut into STACK matrices, which have a thread of their own
    each: the bits are the same on one core as on many.
    """

    def __init__(self, matrices: Sequence[torch.Tensor], rms: float, **options: Any) -> None:
        super().__init__(matrices, **options)
        self._pool: ThreadPoolExecutor | None = None
        for group in self.param_groups:
            group["rms"] = rms

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step of all matrices that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step([one for one in group["params"] if one.grad is not None], group)
        return loss

    def _step(self, matrices: list[torch.Tensor], group: dict[str, Any]) -> None:
        if not matrices:
            return
        slopes = [one.grad for one in matrices if one.grad is not None]
        means = [self._mean(one) for one in matrices]
        torch._foreach_lerp_(means, slopes, 1 - group["momentum"])
        ahead = (
            torch._foreach_lerp(slopes, means, group["momentum"]) if group["nesterov"] else means
        )
        torch._foreach_mul_(matrices, float(1 - group["lr"] * group["weight_decay"]))
        stacks = [
            places[first : first + size]
            for sides, places in _alike(ahead).items()
            for size in [STACK if sides[0] >= LEAST_SIDE else 1]
            for first in range(0, len(places), size)
        ]

        def move(places: Sequence[int]) -> None:
            steps = orthogonal(torch.stack([_wide(ahead[at]) for at in places]), group["ns_steps"])
            rate = group["rms"] * math.sqrt(steps.shape[-1]) * group["lr"]
            for at, step in zip(places, steps, strict=True):
                _wide(matrices[at]).add_(step, alpha=-rate)

        self._each(move, stacks, matrices[0].device.type)

    def _each(
        self, move: Callable[[Sequence[int]], None], stacks: Sequence[Sequence[int]], device: str
    ) -> None:
        if device != "cpu" or torch.get_num_threads() > 1 or min(cores(), len(stacks)) == 1:
            for places in stacks:
                move(places)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(cores(), initializer=_start)
        list(self._pool.map(move, stacks))

    def _mean(self, matrix: torch.Tensor) -> torch.Tensor:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        return state["momentum_buffer"]  # type: ignore[no-any-return]


def orthogonal(matrices_NMK: torch.Tensor, iterations: int) -> torch.Tensor:
    """UVᵀ of the SVD of each, about: X ← aX + (bXXᵀ + c(XXᵀ)²)X from X / ‖X‖, in bfloat16 where it is native."""
    a, b, c = COEFFICIENTS
    x = matrices_NMK.to(torch.bfloat16 if native(matrices_NMK.device) else torch.float32)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=LEAST_NORM)
    for _ in range(iterations):
        products = x @ x.mT
        x = torch.baddbmm(
            x, torch.baddbmm(products, products, products, beta=b, alpha=c), x, beta=a
        )
    return x.to(matrices_NMK.dtype)


def _wide(matrix: torch.Tensor) -> torch.Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _alike(matrices: Sequence[torch.Tensor]) -> dict[tuple[int, ...], list[int]]:
    """Sides of a matrix, the smaller one first → places of those that have them."""
    found = dict[tuple[int, ...], list[int]]()
    for place, one in enumerate(matrices):
        found.setdefault(tuple(sorted(one.shape)), []).append(place)
    return found


def _start() -> None:
    """As `threads.busy` for one thread; for good, as the thread has no other work."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
