"""Processes that train one network together with this one, which is rank 0 of them (`train.rank_training`).

They are told of a training by a line of JSON, answer when they are ready for it and when it is done, and end when this
process does. Where one fails or is lost, the training ends: all of them are stopped, and the next one starts anew.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import psutil

from sixfold.core.errors import SixfoldError, SystemFault
from sixfold.runs.side_by_side import Answer, error_of, parts_of
from sixfold.runs.talking import Talking

WORKER: Final = "sixfold.evaluate.rank_process"
KILLED: Final = -9  # how a process ends that the system kills for its memory
READY_S: Final = 600.0  # for torch, the features and the network of each: guessed, far above
WHY_S: Final = 10.0  # until a process that broke off has said why
LOOK_S: Final = 1.0
AGAIN: Final = "Run the same command again: it goes on from what was saved."


class RankProcesses:
    """`count`: ranks, this process among them. The others are started for the first training, each with its share of
    the cores.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._all: list[Talking] = []
        self._answers: queue.Queue[Answer] = queue.Queue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def pids(self) -> Sequence[int]:
        """Of the others, as far as they are started."""
        return [process.pid for process in self._all]

    def begin(self, request: dict[str, Any]) -> None:
        """Tell them of a training. Returns when all are ready for it; raises what one of them says instead."""
        if not self._all:
            self._start()
        for rank, process in enumerate(self._all, 1):
            process.tell({**request, "rank": rank, "count": self.count})
        self._wait("ready", READY_S)

    def finish(self) -> None:
        """Wait until all are done with it. Raises what one of them says instead."""
        self._wait("done", READY_S)

    def why(self, text: str) -> SixfoldError:
        """The reason for which one broke off in the middle of a training; `text`: how it was noticed."""
        end = time.monotonic() + WHY_S
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                answer = self._answers.get(timeout=left)
                if "error" in answer:
                    return error_of(answer["error"])
        return SystemFault("budget.data_parallel", "an answer from every process", text, AGAIN)

    def held_bytes(self) -> int:
        """Resident bytes of the others."""
        held = 0
        for pid in self.pids:
            with contextlib.suppress(psutil.Error):
                held += int(psutil.Process(pid).memory_info().rss)
        return held

    def end(self) -> None:
        """At once."""
        for process in self._all:
            process.end()
        self._all = []

    def _start(self) -> None:
        self._answers = queue.Queue()
        answers = self._answers
        mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        for rank in range(1, self.count):
            process = Talking([sys.executable, "-m", WORKER], answers.put, partial(_gone, answers))
            self._all.append(process)
            if mine:  # its share of the cores, before it has looked how many there are
                share = mine[rank :: self.count] or [mine[rank % len(mine)]]
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(process.pid, share)

    def _wait(self, word: str, most_s: float) -> None:
        """For `word` of each of them."""
        end, missing = time.monotonic() + most_s, len(self._all)
        while missing:
            try:
                answer = self._answers.get(timeout=LOOK_S)
            except queue.Empty:
                if time.monotonic() > end:
                    found = f"{missing} that did not come within {most_s:g} s"
                    raise SystemFault(
                        "budget.data_parallel", f"processes that are {word}", found, AGAIN
                    ) from None
                continue
            if "error" in answer:
                raise error_of(answer["error"])
            missing -= word in answer


def _gone(answers: queue.Queue[Answer], code: int, written: str) -> None:
    """Why there is no answer."""
    expected = "processes that train together until the end"
    error: SixfoldError = SystemFault(
        "budget.data_parallel", expected, f"one that ended ({code}): {written or 'no word'}", AGAIN
    )
    if code == KILLED:
        found = "one that was killed, as the system does where memory ends"
        remedy = f"{AGAIN} Where it was for memory, lower budget.data_parallel or train.batch_size."
        error = SystemFault("budget.data_parallel", expected, found, remedy)
    answers.put({"error": parts_of(error)})
