"""What a process held is its own: nothing of what started it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from sixfold.core.memory import held_bytes, peak_bytes

CHILD = "from sixfold.core.memory import peak_bytes; print(peak_bytes())"


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before = held_bytes()
    large = np.ones(200 << 17)  # 200 MiB
    held = held_bytes()
    del large
    assert held - before > 150 << 20
    assert peak_bytes() > held - (1 << 20)  # each is counted a page or some later
    assert held_bytes() < held - (100 << 20)


def test_a_child_does_not_count_what_its_parent_held() -> None:
    """As `ru_maxrss` does."""
    large = np.ones(400 << 17)
    done = subprocess.run(
        [sys.executable, "-I", "-c", CHILD], capture_output=True, text=True, check=True
    )
    assert large.nbytes > 4 * int(done.stdout)
