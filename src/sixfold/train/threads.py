"""How many threads a step is worth: waking one costs as much as a small step itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Multiplications and additions of a step that keep one thread busy. Measured on 2 cores, 64-128-64-10 in batches of 64: one
# replica (6.6 million) is 1.2 times slower with a second thread, two (13 million) are 1.1 times faster, ten 1.6 times.
OPERATIONS = 6e6


@contextmanager
def busy(operations: float) -> Iterator[None]:
    """Inside, torch has as many threads as `operations` a step keep busy, and never more than it had."""
    had = torch.get_num_threads()
    torch.set_num_threads(max(1, min(had, int(operations / OPERATIONS))))
    try:
        yield
    finally:
        torch.set_num_threads(had)
