"""How a step uses the processor: as many threads as it is worth, no numbers too small to matter,
and sums of one order.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg  # noqa: F401  # loads the BLAS that SciPy brings, which has to be there to be limited
import torch
from threadpoolctl import threadpool_limits

# Multiplications and additions of a step that keep one thread busy: waking another costs as much as
# a small step itself. Measured on 2 cores, 64-128-64-10 in batches of 64: one replica (6.6 million)
# is 1.2 times slower with a second thread, two (13 million) are 1.1 times faster, ten 1.6 times.
OPERATIONS = 6e6
PARALLEL = 1 << 17  # numbers that torch adds up by all its threads


@contextmanager
def busy(operations: float) -> Iterator[None]:
    """Inside, torch has as many threads as `operations` a step keep busy, and never more than it
    had; and numbers below the smallest normal one (1e-38 in single precision) are zero.

    A processor takes a hundred times as long for such a number, and training makes them: Adam's
    mean of a gradient that has become zero, as that of a dead unit, falls to them within 900 steps.
    Measured: its step in 110 instead of 13 µs.
    """
    had, flushed = torch.get_num_threads(), sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    torch.set_num_threads(max(1, min(had, int(operations / OPERATIONS))))
    try:
        yield
    finally:
        torch.set_num_threads(had)
        torch.set_flush_denormal(flushed)


@contextmanager
def one_order() -> Iterator[None]:
    """Inside, a matrix product has one thread, and so the same bits on one core as on many:
    OpenBLAS divides the work by the number of its threads, and sums of another division differ by
    1e-16 of their size. Cores are used by fits side by side.
    """
    with threadpool_limits(1, user_api="blas"):
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch has one thread: the same bits on one core as on many, as `one_order` has them
    of NumPy.
    """
    had = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(had)


def _start_helpers() -> None:
    """torch's helper threads inherit from the thread that starts them what becomes of small
    numbers. They are started at a set time, so that a run that goes on after a kill computes with
    the same bits.
    """
    flushed = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    torch.ones(PARALLEL).sum()
    torch.set_flush_denormal(flushed)


_start_helpers()
