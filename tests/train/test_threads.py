"""A step takes as many threads as it keeps busy, and leaves torch as it was."""

from __future__ import annotations

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


@pytest.mark.parametrize("operations", [1.0, 100.0])
def test_numbers_too_small_to_matter_are_zero_inside(operations: float) -> None:
    """In torch's helper threads, too; and not outside, in the thread that calls."""
    torch.set_num_threads(2)
    small = torch.full((1 << 20,), 1e-39)
    few = small[:100]
    with threads.busy(operations * threads.OPERATIONS):
        assert not (small * 1.0).any()
    assert (few * 1.0).all()


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
