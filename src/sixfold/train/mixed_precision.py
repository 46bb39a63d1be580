"""Products in bfloat16, with weights, gradients and losses in float32 as before: autocast, where it pays.

Micikevicius and others, Mixed precision training, 2018; bfloat16 has the range of float32, so that losses
need no scale (Kalamkar and others, A study of bfloat16 for deep learning training, 2019).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

import torch

GAIN: Final = 1.1  # times faster, from which on it is taken; guessed: less is noise
CLEAR: Final = 1.5  # times faster or slower, from which on one trial is enough; guessed
TRIED: Final = 2  # parts of a batch on which it is measured; more would say the same
NATIVE: Final = ("avx512_bf16", "amx_bf16", "bf16")  # of x86 and of Arm, as torch names them
NOT_NATIVE: Final = "precision auto: this processor has no products in bfloat16: float32 stays."
REPEATS: Final = 2  # of a step, of which the faster counts; one more before them is not timed


def halved(device: torch.device, on: bool) -> AbstractContextManager[None]:
    """Inside, products are computed in bfloat16 if `on`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=on)


def native(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 itself: elsewhere it is slower than float32 by far."""
    if device.type != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in NATIVE)


class StepTimes(NamedTuple):
    """Seconds of a step's gradient."""

    plain_s: float
    halved_s: float

    @property
    def pays(self) -> bool:
        """Whether bfloat16 is worth it on this machine."""
        return self.plain_s >= GAIN * self.halved_s

    def describe(self) -> str:
        """For people."""
        times = (
            f"{1e3 * self.halved_s:.3g} ms a step against {1e3 * self.plain_s:.3g} ms in float32"
        )
        taken = "products are computed in bfloat16" if self.pays else "float32 stays"
        return f"precision auto: bfloat16 takes {times}: {taken}."


def tried_rows(parts: Callable[[int], int], rows: int) -> int:
    """As few rows of a batch as make TRIED parts, or all parts of it. `parts`: of so many rows."""
    wanted = min(TRIED, parts(rows))
    return next(count for count in range(1, rows + 1) if parts(count) >= wanted)


def measured(step: Callable[[bool], object]) -> StepTimes:
    """`step`: computes a gradient, in bfloat16 or not."""
    found = StepTimes(math.inf, math.inf)
    step(False)
    step(True)
    for _ in range(REPEATS):
        found = StepTimes(
            *(min(was, _timed_s(step, on)) for was, on in zip(found, (False, True), strict=True))
        )
        if not 1 / CLEAR < found.plain_s / found.halved_s < CLEAR:
            break
    return found


def _timed_s(step: Callable[[bool], object], on: bool) -> float:
    start = time.perf_counter()
    step(on)
    return time.perf_counter() - start
