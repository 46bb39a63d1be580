"""What this machine needs at the least: operations over its rate of matrix products, or bytes over
its memory bandwidth.

Both rates are measured in the same run as the times they are compared with. Bytes are those that
have to come from memory or go there once; what stays in a cache moves for nothing. Operations are
those of matrix products (a multiplication and an addition are two): element-wise work is not
counted. So a floor is a lower bound, and a share of it is never flattering.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch

SIDE, LENGTH, TRIES = 1024, 1 << 25, 10


@dataclass(frozen=True)
class Rates:
    """Operations a second of matrix products in single, double and half precision (bfloat16), bytes a
    second of a copy (read and written).
    """

    f32: float
    f64: float
    bf16: float
    bandwidth: float


@cache
def rates() -> Rates:
    """Measured once a process: the best of some tries."""
    products = (_product(one) for one in (torch.float32, torch.float64, torch.bfloat16))
    return Rates(*products, _copy())


def seconds(operations: float, moved: float = 0.0, precision: str = "f32") -> float:
    """The longer of both. `precision`: f32, f64 or bf16. `moved`: bytes."""
    found = rates()
    return max(operations / vars(found)[precision], moved / found.bandwidth)


def quicker_half() -> bool:
    """Whether products in bfloat16 are quicker than in single precision: a processor may lack the instructions."""
    return rates().bf16 > rates().f32


def perceptron(widths: list[int], rows: float) -> float:
    """Operations of `rows` rows through a network and back: the products forward, for weights, and
    for inputs but the first layer's.
    """
    products = [a * b for a, b in pairwise(widths)]
    return rows * (6 * sum(products) - 2 * products[0])


def _product(dtype: torch.dtype) -> float:
    a, b, c = (torch.rand(SIDE, SIDE).to(dtype) for _ in range(3))
    return 2 * SIDE**3 / _best(lambda: torch.mm(a, b, out=c))


def _copy() -> float:
    a, b = torch.rand(LENGTH), torch.rand(LENGTH)
    return 2 * 4 * LENGTH / _best(lambda: b.copy_(a))


def _best(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(TRIES):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
