"""Machines that a plan may be for: this one, whose rates are measured, or another one, whose rates are stated here.

`--machine 8xH100`, `--machine 16x cpu`, `--machine "8x zen4, 32GiB"`: how many, of what, and how much memory the host has.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import psutil
import torch

from sixfold.core.cores import cores
from sixfold.core.errors import RecipeError, did_you_mean
from sixfold.core.memory import machine_bytes
from sixfold.core.units import show_bytes, size_bytes
from sixfold.train.threads import one_thread

GIB: Final = 2**30


@dataclass(frozen=True)
class Rates:
    """What one core, or one accelerator, does. `flops_per_s`: in float32 matrix products, a product and its sum counted
    as two; `bytes_per_s`: read and written in memory; `call_s`: of asking torch for an operation; `solver_speed`: of
    code that is no matrix product, where the core on which solvers were measured has 1.
    """

    flops_per_s: float
    bytes_per_s: float
    call_s: float
    solver_speed: float = 1.0


@dataclass(frozen=True)
class Machine:
    """`core`: of one of `cores`; `accelerator`: of one of `accelerators`, each with `device_bytes`; None without any.
    `source`: where the rates are from.
    """

    name: str
    cores: int
    memory_bytes: int
    core: Rates
    source: str
    accelerators: int = 0
    device_bytes: int = 0
    accelerator: Rates | None = None

    def describe(self) -> str:
        """In a line."""
        parts = [f"{self.cores} cores, {show_bytes(self.memory_bytes)}"]
        if self.accelerator is not None:
            parts.append(f"{self.accelerators} × {show_bytes(self.device_bytes)} of device memory")
        return f"{self.name}: {', '.join(parts)} ({self.source})"


# AMD's fourth EPYC: 16 float32 fused multiply-adds a cycle at about 3 GHz, of which a product of large matrices reaches
# four fifths (AMD, Software optimization guide for the Zen 4 microarchitecture, 57647); its share of the memory's 460 GB/s
# (AMD EPYC 9004 data sheet: 12 channels of DDR5-4800 for up to 96 cores; a core alone takes more). What a call takes was
# measured on such a core, on which the solvers were measured, too.
ZEN4: Final = Rates(77e9, 8e9, 8e-6, 1.0)
# Intel's fourth Xeon: 2 × 16 of them at about 2.4 GHz with all cores at work (Intel, Xeon Platinum 8480+ specification: 56
# cores, 8 channels of DDR5-4800), of which the same products reach seven tenths.
SAPPHIRE_RAPIDS: Final = Rates(107e9, 5e9, 9e-6, 0.9)
# AWS Graviton3: 2 × 8 of them (SVE of 256 bits) at 2.6 GHz, 300 GB/s for 64 cores (AWS re:Invent 2021, CMP301).
GRAVITON3: Final = Rates(66e9, 4.7e9, 10e-6, 0.8)
# Apple M2: 4 × 4 of them at 3.5 GHz, 100 GB/s for 8 cores (Apple, M2 press release, 2022); its matrix unit does more.
APPLE_M2: Final = Rates(90e9, 25e9, 6e-6, 1.3)

CORES: Final = {
    "cpu": ZEN4,
    "zen4": ZEN4,
    "sapphire_rapids": SAPPHIRE_RAPIDS,
    "graviton3": GRAVITON3,
    "m2": APPLE_M2,
}
CORE_BYTES: Final = (
    4 * GIB
)  # of memory for each core, where nothing else is said: what the clouds' general machines have

# Float32 as torch computes it by itself (no TF32), as the vendor states it, and USED of that, which large products reach;
# bytes a second as stated. A call is a kernel's launch by torch, about 8 µs on each of them (guessed).
USED: Final = 0.7
LAUNCH_S: Final = 8e-6
ACCELERATORS: Final = {
    "T4": (16 * GIB, Rates(USED * 8.1e12, 320e9, LAUNCH_S)),  # NVIDIA T4 data sheet, 2019
    "L4": (24 * GIB, Rates(USED * 30.3e12, 300e9, LAUNCH_S)),  # NVIDIA L4 data sheet, 2023
    "A10G": (24 * GIB, Rates(USED * 31.5e12, 600e9, LAUNCH_S)),  # NVIDIA A10G data sheet, 2021
    "RTX4090": (
        24 * GIB,
        Rates(USED * 82.6e12, 1008e9, LAUNCH_S),
    ),  # NVIDIA Ada architecture paper, 2022
    "A100": (
        80 * GIB,
        Rates(USED * 19.5e12, 2039e9, LAUNCH_S),
    ),  # NVIDIA A100 data sheet, 2021, SXM
    "A100-40": (40 * GIB, Rates(USED * 19.5e12, 1555e9, LAUNCH_S)),  # NVIDIA A100 data sheet, 2020
    "H100": (80 * GIB, Rates(USED * 67e12, 3350e9, LAUNCH_S)),  # NVIDIA H100 data sheet, 2023, SXM
    "H200": (141 * 10**9, Rates(USED * 67e12, 4800e9, LAUNCH_S)),  # NVIDIA H200 data sheet, 2024
    "MI300X": (
        192 * 10**9,
        Rates(USED * 163.4e12, 5300e9, LAUNCH_S),
    ),  # AMD MI300X data sheet, 2023
}
HOST_CORES: Final = 12  # beside each accelerator: what the clouds give with one of them, about
HOST_BYTES: Final = 100 * GIB

_ASKED = re.compile(r"\s*(?:(\d+)\s*[x×]\s*)?([A-Za-z][\w-]*)\s*(?:,\s*(\S+)\s*)?", re.ASCII)


def machine_of(text: str) -> Machine:
    """`8xH100`, `16x cpu`, `4x zen4, 32GiB` (the memory of the host). Raises RecipeError."""
    match = _ASKED.fullmatch(text)
    if match is None or not 0 < int(match[1] or 1) <= 100_000:
        raise RecipeError(
            "--machine",
            "a number and a kind, such as 8xH100 or 16x cpu, 64GiB",
            f"'{text[:40]}'",
            _all(""),
        )
    count, kind = int(match[1] or 1), match[2]
    memory = size_bytes(match[3]) if match[3] else 0
    names = {name.lower(): name for name in (*CORES, *ACCELERATORS)}
    known = names.get(kind.lower())
    if known is None:
        raise RecipeError("--machine", "a kind that is known", f"'{kind[:40]}'", _all(kind))
    name = f"{count}x {known}"
    if known in CORES:
        return Machine(name, count, memory or count * CORE_BYTES, CORES[known], "stated rates")
    device_bytes, rates = ACCELERATORS[known]
    return Machine(
        name,
        count * HOST_CORES,
        memory or count * HOST_BYTES,
        ZEN4,
        f"stated rates; a host of {HOST_CORES} cores for each",
        count,
        device_bytes,
        rates,
    )


def _all(kind: str) -> str:
    return did_you_mean(kind, [*CORES, *ACCELERATORS])


def this_machine(device: str = "cpu") -> Machine:
    """What there is here, its rates measured in about a tenth of a second; with the memory that is free. `device`: cuda
    counts the GPU, by its stated rates where it is a known one.
    """
    held = psutil.Process().memory_info().rss
    free = min(machine_bytes(), int(psutil.virtual_memory().available + held))
    here = Machine("this machine", cores(), free, _measured(), "measured")
    if device == "cpu" or not torch.cuda.is_available():
        return here
    properties = torch.cuda.get_device_properties(0)
    stated = next(
        (rates for name, (_, rates) in ACCELERATORS.items() if name in properties.name), None
    )
    return replace(
        here,
        accelerators=1,
        device_bytes=free_bytes(device) or 0,
        accelerator=stated or ACCELERATORS["T4"][1],
        source=f"measured; {properties.name} by stated rates",
    )


def free_bytes(device: str) -> int | None:
    """Of the GPU here; None where networks do not train on one."""
    if device == "cpu" or not torch.cuda.is_available():
        return None
    return int(torch.cuda.mem_get_info(0)[0])


@cache
def _measured() -> Rates:
    """Of one core, now: the best of some tries, as other work on the machine slows some of them."""
    with one_thread(), torch.inference_mode():
        side, small = torch.rand(384, 384), torch.rand(64)
        large = torch.rand(1 << 21)
        product_s = _best(lambda: side @ side, 12)
        copy_s = _best(large.clone, 6)
    speed = _best(lambda: sum(range(20_000)), 12)
    return Rates(
        2 * 384**3 / product_s,
        2 * large.nbytes / copy_s,
        CALL_TIMES * _best(lambda: small.add(1.0), 200),
        SUM_S / speed,
    )


# A call in a training takes so many times as long as a sum of few numbers: what autograd and Python do beside it; measured.
CALL_TIMES: Final = 4.0
SUM_S: Final = (
    2.6e-4  # of Python's own sum of 20,000 numbers, on the core on which the solvers were measured
)


def _best(work: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best
