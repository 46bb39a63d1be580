"""A process that trains networks together with another one, which is rank 0 (`train.rank_training`).

It takes its share of every batch, steps as rank 0 does, and keeps nothing: what is saved, reported and judged is rank
0's.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import torch

from sixfold.build.family import TrainsInRanks
from sixfold.core.errors import SixfoldError, SystemFault
from sixfold.parts import state
from sixfold.parts.scratch import SCRATCH
from sixfold.parts.stored_fit import StoredFits
from sixfold.runs.context import Context
from sixfold.runs.side_by_side import parts_of
from sixfold.runs.told_process import Write, answer_requests
from sixfold.train import threads
from sixfold.train.rank_group import Meeting, joined


def main() -> None:
    """Training after training. Rank 0 decides when it is interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with threads.one_order():
        answer_requests(_answer)


def _answer(request: dict[str, Any], write: Write) -> dict[str, Any]:
    try:
        _train(request, write)
    except SixfoldError as error:
        return {"error": parts_of(error)}
    return {"done": True}


def _train(request: dict[str, Any], write: Write) -> None:
    torch.set_num_threads(request["threads"])
    SCRATCH.given, SCRATCH.most_bytes = Path(request["scratch"]), request["disk_bytes"]
    stored = state.load(Path(request["fits"]), StoredFits)
    family = stored.family
    if not isinstance(family, TrainsInRanks):
        raise SystemFault(
            "budget.data_parallel",
            "a family that trains in ranks",
            type(family).__module__,
            "Leave it out.",
        )
    fits = {number: fit.opened() for number, fit in zip(stored.numbers, stored.fits, strict=True)}
    context = Context(request["seed"], deadline=request["deadline"], device=request["device"])
    meeting = Meeting(Path(request["store"]), request["rank"], request["count"], request["wait_s"])
    write({"ready": True})
    with joined(meeting) as group:
        family.train_rank(fits, context, group)


if __name__ == "__main__":
    main()
