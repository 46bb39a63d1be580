"""A step takes as many threads as it keeps busy, and leaves torch as it was."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from sixfold.train import threads


@pytest.fixture(autouse=True)
def _as_before() -> object:
    had = torch.get_num_threads()
    yield
    torch.set_num_threads(had)


@pytest.mark.parametrize(
    ("operations", "wanted"), [(1.0, 1), (1.9, 1), (2.0, 2), (3.5, 3), (100.0, 4)]
)
def test_threads_follow_the_work(operations: float, wanted: int) -> None:
    torch.set_num_threads(4)
    with threads.busy(operations * threads.OPERATIONS):
        assert torch.get_num_threads() == wanted
    assert torch.get_num_threads() == 4


ZERO_INSIDE = """
import torch
from sixfold.train import threads
small = torch.full((1 << 20,), 1e-39)
few = small[:100]
for operations in (1.0, 100.0):
    with threads.busy(operations * threads.OPERATIONS):
        assert not (small * 1.0).any(), operations
    assert (few * 1.0).all()
"""


def test_numbers_too_small_to_matter_are_zero_inside() -> None:
    """In torch's helper threads, too; and not outside, in the thread that calls. In a process of its
    own, as helpers are started when the module is imported.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", ZERO_INSIDE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_who_had_them_zero_keeps_it() -> None:
    torch.set_flush_denormal(True)
    try:
        with threads.busy(1.0):
            pass
        assert not (torch.full((1,), 1e-39) * 1.0).any()
    finally:
        torch.set_flush_denormal(False)


def test_an_error_inside_leaves_them_as_they_were() -> None:
    torch.set_num_threads(3)
    with pytest.raises(KeyError), threads.busy(0.0):
        raise KeyError
    assert torch.get_num_threads() == 3
