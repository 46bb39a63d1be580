"""A process that does stages for another one (`runs.processes`): told by lines of JSON, answered by
lines of JSON.

It ends when the other one does.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from functools import partial
from pathlib import Path
from typing import IO, Any

from sixfold.core.errors import SixfoldError
from sixfold.evaluate.cross_validation import EvaluateFolds, FoldInputs, StoredInputs
from sixfold.parts import scratch, state
from sixfold.runs.context import Context
from sixfold.runs.disk import DiskLimit
from sixfold.runs.memory import MemoryGuard
from sixfold.runs.saves import Checkpoints
from sixfold.train import threads


def main() -> None:
    """Do stage after stage until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    opened: dict[str, FoldInputs] = {}
    with threads.one_order():
        while True:
            request = json.loads(requests.get())
            try:
                _perform(request, opened, answers)
                answer: dict[str, Any] = {"done": True}
            except SixfoldError as error:
                parts = {
                    name: getattr(error, name) for name in ("where", "expected", "found", "remedy")
                }
                answer = {"error": {"kind": type(error).__name__, **parts}}
            _write(answers, answer)


def _listen(requests: queue.Queue[str]) -> None:
    """Whoever asks is gone when the input ends: then nobody wants what is being done."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _perform(request: dict[str, Any], opened: dict[str, FoldInputs], answers: IO[str]) -> None:
    disk = DiskLimit(Path(request["run"]), request["disk_bytes"])
    scratch.use(Path(request["run"]), request["disk_bytes"])
    if request["inputs"] not in opened:
        opened.clear()
        opened[request["inputs"]] = state.load(Path(request["inputs"]), StoredInputs).opened(disk)
    emit = partial(_emit, answers)
    saves = request["saves"]
    with MemoryGuard(request["memory_bytes"]) as guard:
        context = Context(
            emit_to=emit,
            saves=None
            if saves is None
            else Checkpoints(Path(saves[0]), saves[1], emit, saves[2], disk=disk),
            check_memory=guard.check,
            recover=guard.recover,
            **request["context"],
        )
        action = state.load(Path(request["action"]), EvaluateFolds)
        action.perform(opened[request["inputs"]], context, Path(request["aside"]))


def _emit(answers: IO[str], kind: str, facts: dict[str, Any]) -> None:
    _write(answers, {"event": kind, "facts": facts})


def _write(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
