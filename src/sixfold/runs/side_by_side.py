"""Stages side by side, in other processes: the same bytes as one after the other, sooner.

Where there are fewer stages than processes, a stage is divided: its parts leave what they do in the
stage's saved state, and then the whole of it finds nothing left to do. A stage, or a part, whose
process is lost is done again, from what was saved. The run's folder and its stream of events stay
with this process.
"""

from __future__ import annotations

import itertools
import queue
import secrets
import shutil
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from sixfold.core import errors
from sixfold.core.errors import BudgetError, FitError, SixfoldError, SystemFault
from sixfold.runs.folder import Place, RunFolder
from sixfold.runs.memory import held_bytes
from sixfold.runs.stages import Action, Done, Result, Stage, Work

SHARED = (
    "stages.shared"  # folder of the run: what others are told, until the run goes on without them
)
TRIES = 4  # of a stage whose process is lost: guessed; nodes go, and each time another one
Request = dict[str, Any]
Answer = dict[str, Any]
Answers = queue.Queue[tuple[int, Answer]]


class Doers(Protocol):
    """Processes that do what they are told, `workers` requests at a time. An answer is an `event`
    of the run; or the end: `done`, an `error` in its parts, or why the process is `lost`.
    """

    @property
    def workers(self) -> int:
        """How many requests they do at a time."""

    @property
    def sharing(self) -> int:
        """How many of them share this machine's memory."""

    def start(self, number: int, request: Request, answers: Answers) -> None:
        """Answers go to `answers`, each with `number`."""

    def end(self) -> None:
        """At once: what is unfinished is done again."""


@dataclass
class SideBySide:
    """An executor. `memory_bytes`: of the budget, for each process, or for all that share this
    machine's memory; None for any.
    """

    folder: RunFolder
    doers: Doers
    memory_bytes: int | None = None
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
        self.doers.end()
        shutil.rmtree(self.folder.path / SHARED, ignore_errors=True)

    @property
    def workers(self) -> int:
        """As many as there are processes."""
        return self.doers.workers

    @property
    def sharing(self) -> int:
        """As the processes do."""
        return self.doers.sharing

    def complete(self, work: Work[Result]) -> Result:
        """Raises what a stage raises that is no lack of budget and no failed fit."""
        done: Sequence[Done] = []
        while True:
            try:
                stages = work.send(done) if done else next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            done = _Batch(self, stages).done()

    def start(self, number: int, stage: Stage, action: Action, answers: Answers) -> Path:
        """Tell a process of `action`; the folder into which it writes what comes of it."""
        folder = self._folder(f"try-{secrets.token_hex(8)}")
        self.doers.start(number, self._request(stage, action, folder), answers)
        return folder

    def _request(self, stage: Stage, action: Action, into: Path) -> Request:
        """A stage as values of JSON, and folders."""
        context, saves = stage.context, stage.context.saves
        told = self._folder(f"action-{next(self._told)}")
        action.save(told)
        if id(stage.inputs) not in self._inputs:
            inputs = self._folder(f"inputs-{len(self._inputs)}")
            stage.inputs.save(inputs)
            self._inputs[id(stage.inputs)] = stage.inputs, inputs
        return {
            "action": str(told),
            "inputs": str(self._inputs[id(stage.inputs)][1]),
            "into": str(into),
            "run": str(self.folder.path.absolute()),
            "disk_bytes": self.folder.disk.most,
            "memory_bytes": self._memory(),
            "needs_bytes": stage.memory_bytes,
            "context": {
                "seed": context.seed,
                "deadline": context.deadline,  # one clock for all processes of a machine
                "facts": context.facts,
                "device": context.device,
            },
            "saves": None
            if saves is None
            else [str(saves.folder.absolute()), saves.key, saves.every_s],
        }

    def _memory(self) -> int | None:
        """What a process may hold: of what this one leaves, where they share it."""
        if self.memory_bytes is None or self.sharing == 1:
            return self.memory_bytes
        return max(0, self.memory_bytes - held_bytes()) // self.sharing

    def _folder(self, name: str) -> Path:
        folder = (self.folder.path / SHARED / name).absolute()
        folder.mkdir(parents=True)
        return folder


@dataclass
class _Open:
    """A stage in work. `waiting`: parts, or the whole, that nobody has begun; `failed`: part → why."""

    at: int
    stage: Stage
    place: Place
    closing: ExitStack
    waiting: deque[_Task] = field(default_factory=deque)
    running: int = 0
    failed: dict[int, BudgetError | FitError] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """An action of a stage: part `number` of it, or, where that is None, the whole."""

    of: _Open
    action: Action
    number: int | None = None
    tries: int = 0


class _Batch:
    """Stages that do not depend on each other. At most as many as there are processes are in work."""

    def __init__(self, executor: SideBySide, stages: Sequence[Stage]) -> None:
        self.executor, self.folder = executor, executor.folder
        self.todo = deque(enumerate(stages))
        self.parts = -(-executor.workers // max(1, len(stages)))
        self.found: dict[int, Done] = {}
        self.open: list[_Open] = []
        self.running: dict[int, tuple[_Task, Path]] = {}
        self.answers: Answers = queue.Queue()
        self.count = len(stages)

    def done(self) -> list[Done]:
        """What came of them, in their order."""
        numbers = itertools.count()
        while True:
            while len(self.running) < self.executor.workers:
                task = self._next()
                if task is None:
                    break
                self._start(next(numbers), task)
            if not self.running:
                return [self.found[at] for at in range(self.count)]
            number, answer = self.answers.get()
            if "event" in answer:
                self.folder.emit(answer["event"], answer["facts"])
            elif "lost" in answer:
                self._again(next(numbers), *self.running.pop(number), answer["lost"])
            else:
                self._ended(*self.running.pop(number), answer.get("error"))

    def _start(self, number: int, task: _Task) -> None:
        stage = task.of.stage
        self.running[number] = (
            task,
            self.executor.start(number, stage, task.action, self.answers),
        )

    def _next(self) -> _Task | None:
        """Of a stage in work before one that is not begun."""
        for each in self.open:
            if each.waiting:
                return self._begun(each.waiting.popleft())
        while self.todo:
            each = self._opened(*self.todo.popleft())
            if each.place.aside is not None:
                return self._begun(each.waiting.popleft())
        return None

    def _begun(self, task: _Task) -> _Task:
        task.of.running += 1
        return task

    def _opened(self, at: int, stage: Stage) -> _Open:
        closing = ExitStack()
        place = closing.enter_context(self.folder.stage(stage.name, stage.key))
        opened = _Open(at, stage, place, closing)
        self.found[at] = place.folder
        if place.aside is None:
            closing.close()
            return opened
        parts = stage.action.parts(self.parts) if self.parts > 1 and stage.context.saves else ()
        if len(parts) > 1:
            opened.waiting += [_Task(opened, part, number) for number, part in enumerate(parts)]
        else:
            opened.waiting.append(_Task(opened, stage.action))
        self.open.append(opened)
        return opened

    def _again(self, number: int, task: _Task, into: Path, why: str) -> None:
        """From what was saved; who may still be at work in `into` finds it gone."""
        shutil.rmtree(into, ignore_errors=True)
        stage, tries = task.of.stage.name, task.tries + 1
        if tries == TRIES:
            self._fail(
                task,
                SystemFault(
                    f"stage {stage}",
                    "a process that does it",
                    f"{tries} that were lost, the last one so: {why}",
                    "Run the same command again: finished stages and saved folds are kept.",
                ),
            )
        self.folder.emit(
            "warning", {"text": f"{stage} goes on elsewhere: its process was lost ({why})"}
        )
        self._start(number, _Task(task.of, task.action, task.number, tries))

    def _ended(self, task: _Task, into: Path, parts: dict[str, str] | None) -> None:
        each = task.of
        each.running -= 1
        if parts is not None:
            error = error_of(parts)
            if not isinstance(error, BudgetError | FitError):
                self._fail(task, error)
            else:
                each.failed[task.number or 0] = error
                each.waiting.clear()
        elif task.number is None and each.place.aside is not None:
            for path in into.iterdir():
                path.rename(each.place.aside / path.name)
        shutil.rmtree(into, ignore_errors=True)
        if each.running or each.waiting:
            return
        if task.number is not None and not each.failed:
            each.waiting.append(_Task(each, each.stage.action))
            return
        self.open.remove(each)
        try:
            with each.closing:
                if each.failed:
                    raise each.failed[min(each.failed)]
        except (BudgetError, FitError) as error:
            self.found[each.at] = error

    def _fail(self, task: _Task, error: SixfoldError) -> None:
        with task.of.closing:
            raise error


def error_of(parts: dict[str, str]) -> SixfoldError:
    """An error of another process, as it was raised there."""
    made = getattr(errors, parts["kind"], SystemFault)
    error: SixfoldError = made(parts["where"], parts["expected"], parts["found"], parts["remedy"])
    return error


def parts_of(error: SixfoldError) -> dict[str, str]:
    """An error, for `error_of` in another process."""
    names = ("where", "expected", "found", "remedy")
    return {"kind": type(error).__name__, **{name: getattr(error, name) for name in names}}
