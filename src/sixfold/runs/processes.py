"""Stages side by side, in processes of their own: the same bytes as one after the other, sooner.

A worker is told of stages by lines of JSON on its standard input, and answers by lines on its
standard output: an event of the run, the end of a stage, or the error that ended it. The run's
folder and its stream of events stay with this process.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sixfold.core import errors
from sixfold.core.errors import BudgetError, FitError, SixfoldError, SystemFault
from sixfold.runs.folder import RunFolder
from sixfold.runs.memory import held_bytes
from sixfold.runs.stages import Done, Result, Stage, Work

WORKER = "sixfold.evaluate.stage_process"
SHARED = (
    "stages.shared"  # folder of the run: what workers are told, until the run goes on without them
)
TAIL = 600  # characters of what a worker that ended by itself wrote to its standard error
KILLED = -9  # how a process ends that the system kills for its memory
Answers = queue.Queue[tuple[int, dict[str, Any]]]


@dataclass
class Processes:
    """`workers` processes that live as long as this context manager. `memory_bytes`: of the budget,
    for all of them and this process together; None for any.
    """

    folder: RunFolder
    workers: int
    memory_bytes: int | None = None
    _running: list[_Worker] = field(default_factory=list)
    _inputs: dict[int, tuple[Any, Path]] = field(
        default_factory=dict
    )  # by identity, and held, so that it stays theirs
    _told: itertools.count[int] = field(default_factory=itertools.count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._running:
            worker.end()
        shutil.rmtree(self.folder.path / SHARED, ignore_errors=True)

    def complete(self, work: Work[Result]) -> Result:
        """Raises what a stage raises that is no lack of budget and no failed fit."""
        done: list[Done] = []
        while True:
            try:
                stages = work.send(done) if done else next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            done = [
                one
                for at in range(0, len(stages), self.workers)
                for one in self._do(stages[at:][: self.workers])
            ]

    def _do(self, stages: Sequence[Stage]) -> list[Done]:
        """At most as many stages as there are workers."""
        answers: Answers = queue.Queue()
        found: dict[int, Done] = {}
        open_places: dict[int, ExitStack] = {}
        for at, stage in enumerate(stages):
            opened = ExitStack()
            place = opened.enter_context(self.folder.stage(stage.name, stage.key))
            found[at] = place.folder
            if place.aside is None:
                opened.close()
            else:
                self._worker(len(open_places)).start(at, self._request(stage, place.aside), answers)
                open_places[at] = opened
        while open_places:
            at, answer = answers.get()
            if "event" in answer:
                self.folder.emit(answer["event"], answer["facts"])
                continue
            try:
                with open_places.pop(at):
                    if "error" in answer:
                        raise _error(answer["error"])
            except (BudgetError, FitError) as error:
                found[at] = error
        return [found[at] for at in range(len(stages))]

    def _worker(self, at: int) -> _Worker:
        while len(self._running) <= at:
            self._running.append(_Worker(len(self._running), self.workers))
        return self._running[at]

    def _request(self, stage: Stage, aside: Path) -> dict[str, Any]:
        """A stage as values of JSON, and folders."""
        context, saves = stage.context, stage.context.saves
        action = self._folder(f"action-{next(self._told)}")
        stage.action.save(action)
        if id(stage.inputs) not in self._inputs:
            inputs = self._folder(f"inputs-{len(self._inputs)}")
            stage.inputs.save(inputs)
            self._inputs[id(stage.inputs)] = stage.inputs, inputs
        left = (
            None
            if self.memory_bytes is None
            else max(0, self.memory_bytes - held_bytes()) // self.workers
        )
        return {
            "action": str(action),
            "inputs": str(self._inputs[id(stage.inputs)][1]),
            "aside": str(aside),
            "run": str(self.folder.path),
            "disk_bytes": self.folder.disk.most,
            "memory_bytes": left,
            "context": {
                "seed": context.seed,
                "deadline": context.deadline,  # one clock for all processes of a machine
                "facts": context.facts,
                "device": context.device,
            },
            "saves": None if saves is None else [str(saves.folder), saves.key, saves.every_s],
        }

    def _folder(self, name: str) -> Path:
        folder = self.folder.path / SHARED / name
        folder.mkdir(parents=True)
        return folder


class _Worker:
    """One process, and the thread that reads its answers."""

    def __init__(self, number: int, of: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        if hasattr(
            os, "sched_setaffinity"
        ):  # its share of the cores, before it has looked how many there are
            mine = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(self.process.pid, mine[number::of] or [mine[number % len(mine)]])
        self._thread: threading.Thread | None = None

    def start(self, at: int, request: dict[str, Any], answers: Answers) -> None:
        """Tell it of stage `at`; what comes of it goes to `answers`."""
        if self._thread is not None:
            self._thread.join()
        self._thread = threading.Thread(target=self._read, args=(at, request, answers), daemon=True)
        self._thread.start()

    def _read(self, at: int, request: dict[str, Any], answers: Answers) -> None:
        stdin, stdout = self.process.stdin, self.process.stdout
        try:
            if stdin is None or stdout is None:
                raise OSError("no pipe")
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            for line in stdout:
                answer = json.loads(line)
                answers.put((at, answer))
                if "event" not in answer:
                    return
        except (OSError, ValueError):
            pass  # it is gone: told below
        answers.put((at, {"error": self._gone()}))

    def _gone(self) -> dict[str, str]:
        """Why there is no answer."""
        code = self.process.wait()
        if code == KILLED:
            where, remedy = (
                "budget.memory",
                "Lower budget.workers, or set budget.memory, so that it is planned.",
            )
            found = "one that the system killed, as it does where memory ends"
            return {
                "kind": "BudgetError",
                "where": where,
                "expected": "a worker",
                "found": found,
                "remedy": remedy,
            }
        written = self.process.stderr.read()[-TAIL:] if self.process.stderr else ""
        found = f"exit code {code}: {written.strip() or 'no word'}"
        remedy = "Run again; with budget.workers: 1 the stage is done in the run's own process."
        return {
            "kind": "SystemFault",
            "where": "a worker process",
            "expected": "an answer",
            "found": found,
            "remedy": remedy,
        }

    def end(self) -> None:
        """At once: an unfinished stage is done again."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def _error(parts: dict[str, str]) -> SixfoldError:
    """An error of a worker, as it was raised there."""
    made = getattr(errors, parts["kind"], SystemFault)
    error: SixfoldError = made(parts["where"], parts["expected"], parts["found"], parts["remedy"])
    return error
