"""Processes of this machine that do stages (`runs.side_by_side`), each with its share of the cores.

A process is told of stages by lines of JSON on its standard input, and answers by lines on its
standard output: an event of the run, the end of a stage, or the error that ended it.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass, field
from typing import Final

from sixfold.core.errors import BudgetError, SystemFault
from sixfold.runs.side_by_side import Answer, Answers, Request, parts_of
from sixfold.runs.talking import Talking

WORKER: Final = "sixfold.evaluate.stage_process"
KILLED: Final = -9  # how a process ends that the system kills for its memory


@dataclass
class Processes:
    """`workers` processes, each started when it is needed first."""

    workers: int
    _all: list[_Worker] = field(default_factory=list)

    @property
    def sharing(self) -> int:
        """All of them."""
        return self.workers

    def start(self, number: int, request: Request, answers: Answers) -> None:
        """By one that has nothing to do."""
        worker = next((one for one in self._all if one.number is None and one.error is None), None)
        if worker is None:
            worker = _Worker(len(self._all), self.workers)
            self._all.append(worker)
        worker.start(number, request, answers)

    def end(self) -> None:
        """At once."""
        for worker in self._all:
            worker.process.end()


class _Worker:
    """One process, with its share of the cores. `number`: of what it does."""

    def __init__(self, place: int, of: int) -> None:
        self.number: int | None = None
        self.answers: Answers | None = None
        self.error: dict[str, str] | None = None  # why it is gone
        self._lock = threading.Lock()
        self.process = Talking([sys.executable, "-m", WORKER], self._heard, self._gone)
        if hasattr(
            os, "sched_setaffinity"
        ):  # its share of the cores, before it has looked how many there are
            mine = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(self.process.pid, mine[place::of] or [mine[place % len(mine)]])

    def start(self, number: int, request: Request, answers: Answers) -> None:
        self.number, self.answers = number, answers
        self.process.tell(request)
        if self.error is not None:
            self._heard({"error": self.error})

    def _heard(self, answer: Answer) -> None:
        with self._lock:
            number, answers = self.number, self.answers
            if number is None or answers is None:
                return
            if "event" not in answer:
                self.number = None
            answers.put((number, answer))

    def _gone(self, code: int, written: str) -> None:
        """Why there is no answer."""
        if code == KILLED:
            remedy = "Lower budget.workers, or set budget.memory, so that it is planned."
            found = "one that the system killed, as it does where memory ends"
            self.error = parts_of(BudgetError("budget.memory", "a worker", found, remedy))
        else:
            remedy = "Run again; with budget.workers: 1 the stage is done in the run's own process."
            found = f"exit code {code}: {written or 'no word'}"
            self.error = parts_of(SystemFault("a worker process", "an answer", found, remedy))
        self._heard({"error": self.error})
