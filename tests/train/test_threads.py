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


@pytest.mark.parametrize(("operations", "wanted"), [(1.0, 1), (1.9, 1), (2.0, 2), (3.5, 3), (100.0, 4)])
def test_threads_follow_the_work(operations: float, wanted: int) -> None:
    torch.set_num_threads(4)
    with threads.busy(operations * threads.OPERATIONS):
        assert torch.get_num_threads() == wanted
    assert torch.get_num_threads() == 4


def test_an_error_inside_leaves_them_as_they_were() -> None:
    torch.set_num_threads(3)
    with pytest.raises(KeyError), threads.busy(0.0):
        raise KeyError
    assert torch.get_num_threads() == 3
