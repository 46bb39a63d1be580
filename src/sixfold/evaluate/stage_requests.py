"""A stage as another process is told of it (`runs.side_by_side`), done here."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sixfold.core.errors import SixfoldError, SystemFault
from sixfold.evaluate.cross_validation import EvaluateFolds, FoldInputs, StoredInputs
from sixfold.parts import scratch, state
from sixfold.runs.context import Context, Emit
from sixfold.runs.disk import DiskLimit
from sixfold.runs.memory import MemoryGuard
from sixfold.runs.saves import Checkpoints
from sixfold.runs.side_by_side import Answer, Request, parts_of

Opened = dict[str, FoldInputs]


def answer_to(request: Request, opened: Opened, emit: Emit) -> Answer:
    """Do what is asked for, and say how it ended. `opened`: the inputs that were read last."""
    try:
        _perform(request, opened, emit)
    except SixfoldError as error:
        return {"error": parts_of(error)}
    return {"done": True}


def _perform(request: Request, opened: Opened, emit: Emit) -> None:
    run, into = Path(request["run"]), Path(request["into"])
    disk = DiskLimit(run, request["disk_bytes"])
    scratch.use(run, request["disk_bytes"])
    if request["inputs"] not in opened:
        opened.clear()
        opened[request["inputs"]] = state.load(Path(request["inputs"]), StoredInputs).opened(disk)
    with MemoryGuard(request["memory_bytes"]) as guard:
        context = Context(
            emit_to=emit,
            saves=_saves(request, emit, disk),
            check_memory=guard.check,
            recover=guard.recover,
            **request["context"],
        )
        action = state.load(Path(request["action"]), EvaluateFolds)
        action.perform(opened[request["inputs"]], context, into)


def _saves(request: Request, emit: Emit, disk: DiskLimit) -> Checkpoints | None:
    if request["saves"] is None:
        return None
    folder, key, every_s = request["saves"]
    wanted = partial(_still_wanted, Path(request["into"]))
    return Checkpoints(Path(folder), key, emit, every_s, disk=disk, check=wanted)


def _still_wanted(into: Path) -> None:
    """Raises SystemFault where the folder of the result is gone: somebody else does this stage
    now.
    """
    if not into.is_dir():
        raise SystemFault(
            str(into), "the folder of this try", "none", "Nothing is to be done: another goes on."
        )
