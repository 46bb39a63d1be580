"""torch's own generator, which all threads share: who draws from it holds it, and leaves it as it
was.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

GENERATOR = threading.RLock()  # held by who draws from torch's own generator


@contextmanager
def own_draws() -> Iterator[None]:
    """What is drawn inside from torch's own generator, as layers do when they are made, changes
    nothing outside.
    """
    with GENERATOR, torch.random.fork_rng(devices=[]):
        yield
