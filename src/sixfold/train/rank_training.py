"""One training in several processes: rank 0, which is the run's own, tells the others of it (`runs.rank_processes`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from sixfold.core.cores import cores
from sixfold.parts import state
from sixfold.parts.fit import Fit
from sixfold.parts.scratch import SCRATCH
from sixfold.parts.stored_fit import StoredFit, StoredFits
from sixfold.recipe.section import Section
from sixfold.runs.context import Context
from sixfold.train.rank_group import ALONE, Meeting, RankGroup, joined

WAIT_S: Final = 1800.0  # of rank 0 for the others: the longest step; torch's own for gloo
PATIENT_S: Final = (
    7 * 86400.0
)  # of the others: rank 0 evaluates and saves meanwhile; they end with it
STORE: Final = "meeting"


@contextmanager
def in_ranks(family: Section, fits: Mapping[int, Fit], context: Context) -> Iterator[RankGroup]:
    """Inside, the other ranks of the run train these fits, by their numbers, as this process has to do; alone where
    there are none. Raises what one of them raises, and then all of them are gone.
    """
    ranks = context.ranks
    if ranks is None:
        yield ALONE
        return
    with tempfile.TemporaryDirectory(prefix="ranks-", dir=SCRATCH.folder()) as name:
        folder = Path(name).absolute()
        try:
            told = StoredFits(family, tuple(fits), tuple(map(StoredFit.of, fits.values())))
            SCRATCH.check_disk(state.file_bytes(told), "room for the features that ranks read")
            state.save(told, folder)
            with rank_threads(ranks.count):
                ranks.begin(_request(folder, context, ranks.count))
                meeting = Meeting(folder / STORE, 0, ranks.count, WAIT_S)
                with joined(meeting, ranks.why) as group:
                    yield group
                ranks.finish()
        except BaseException:
            ranks.end()
            raise


@contextmanager
def rank_threads(count: int) -> Iterator[None]:
    """Inside, torch has this rank's share of the cores: as many threads in every rank, so that steps give the same
    bits.
    """
    had = torch.get_num_threads()
    torch.set_num_threads(threads_of(count))
    try:
        yield
    finally:
        torch.set_num_threads(had)


def threads_of(count: int) -> int:
    """Of one of `count` ranks, for rank 0 to say."""
    return max(1, cores() // count)


def _request(folder: Path, context: Context, count: int) -> dict[str, Any]:
    return {
        "fits": str(folder),
        "store": str(folder / STORE),
        "wait_s": PATIENT_S,
        "threads": threads_of(count),
        "deadline": context.deadline,
        "seed": context.seed,
        "device": context.device,
        "scratch": str(SCRATCH.folder().absolute()),
        "disk_bytes": SCRATCH.most_bytes,
    }
