"""The plan of a recipe that is not submitted yet: `sixfold plan` in a child process of this server, as a worker asks it before it
admits a job.

One child at a time, within bounds of time, memory and data; a page that asks again ends what it asked before. Answers are
kept for a while, by recipe and data.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sixfold.core.paths import safe_join
from sixfold.service.domain.errors import QuotaExceeded, Unavailable
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.use_cases import files, jobs
from sixfold.service.use_cases.service import Service
from sixfold.service.worker import plan_answer
from sixfold.service.worker.child import ChildProcess

PLAN_S: Final = 60.0  # of one child: data of 256 MiB took half of it; guessed
WAIT_S: Final = 20.0  # for the children of others
MOST_WAITING: Final = 4  # pages: each holds a thread of the server
MOST_DATA: Final = 256 << 20  # bytes: more is planned by the worker alone
MOST_MEMORY: Final = 4 << 30
KEPT: Final = 64  # answers
TICK_S: Final = 0.05
LAST_LINES: Final = 3


@dataclass(frozen=True)
class PlannedRecipe:
    """`plan`, `data`: as `sixfold plan --json` has them, None where it did not get so far. `problems`: each in four parts.
    `note`: a word of the catalog that says why there is no plan, or "".
    """

    plan: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    problems: tuple[Mapping[str, str], ...] = ()
    note: str = ""

    @property
    def needs(self) -> Mapping[str, Any] | None:
        """What the job would wait for; None where that is not known."""
        return None if self.plan is None else plan_answer.needs(self.plan)


@dataclass
class RecipePlanner:
    """`folder`: where children work; nothing stays in it."""

    service: Service
    folder: Path
    _answers: OrderedDict[str, PlannedRecipe] = field(default_factory=OrderedDict)
    _newest: dict[str, object] = field(
        default_factory=dict
    )  # question by page: those that wait or are answered
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def plan(
        self,
        who: Principal,
        page: str,
        recipe: str,
        beside: Mapping[str, str],
        most_bytes: int | None = None,
    ) -> PlannedRecipe:
        """`page`: who asks; the same one has one question at a time. `beside`: path → id of a file. `most_bytes`: of memory, more
        is refused with what would fit instead; left out: what this machine has. In a thread: up to PLAN_S + WAIT_S.

        Raises InvalidRequest, NotFound (a file), QuotaExceeded (too much data), Unavailable (others are planned).
        """
        who.require(Scope.JOBS)
        jobs.checked_recipe(recipe)
        digests = self._digests(who, beside)
        key = hashlib.sha256(repr((recipe, sorted(digests.items()), most_bytes)).encode())
        known = self._known(key.hexdigest())
        if known is not None:
            return known
        asked = object()
        with self._lock:
            if len(self._newest.keys() - {page}) >= MOST_WAITING:
                raise _busy()
            self._newest[page] = asked
        try:
            made = self._in_turn(_Question(recipe, digests, most_bytes, page, asked))
        finally:
            with self._lock:
                if self._newest.get(page) is asked:
                    del self._newest[page]
        if made.note not in ("late", "asked_again"):
            self._keep(key.hexdigest(), made)
        return made

    def _digests(self, who: Principal, beside: Mapping[str, str]) -> dict[str, str]:
        with self.service.database.reading() as rows:
            found = {
                jobs.checked_path(path): files.found(rows, who.tenant_id, file_id)
                for path, file_id in beside.items()
            }
        total = sum(one.bytes for one in found.values())
        if total > MOST_DATA:
            raise QuotaExceeded(
                "the data",
                f"at most {MOST_DATA:,} bytes for a plan in this page",
                f"{total:,}",
                "Submit it: the worker plans it before it runs.",
            )
        return {path: one.digest for path, one in found.items()}

    def _known(self, key: str) -> PlannedRecipe | None:
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def _keep(self, key: str, made: PlannedRecipe) -> None:
        with self._lock:
            self._answers[key] = made
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)

    def _is_newest(self, question: _Question) -> bool:
        with self._lock:
            return self._newest.get(question.page) is question.asked

    def _in_turn(self, question: _Question) -> PlannedRecipe:
        end = time.monotonic() + WAIT_S
        while not self._turn.acquire(timeout=TICK_S):
            if not self._is_newest(question):
                return PlannedRecipe(note="asked_again")
            if time.monotonic() > end:
                raise _busy()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder) as place:
                return self._by_child(question, Path(place))
        finally:
            self._turn.release()

    def _by_child(self, question: _Question, place: Path) -> PlannedRecipe:
        inputs, log = place / "inputs", place / "log.txt"
        inputs.mkdir()
        for path, digest in question.inputs.items():
            target = safe_join(inputs, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.service.artifacts.open(digest) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
        (inputs / jobs.RECIPE_NAME).write_text(question.recipe, encoding="utf-8")
        child = ChildProcess(question.arguments, inputs, log, MOST_MEMORY)
        with tempfile.TemporaryFile() as output:
            child.start(output)
            note = self._watch(child, question)
            output.seek(0)
            answer = output.read()
        if note:
            return PlannedRecipe(note=note)
        return _read(answer, log)

    def _watch(self, child: ChildProcess, question: _Question) -> str:
        """Until it ends, or must: then why."""
        end = time.monotonic() + PLAN_S
        try:
            while child.poll() is None:
                if not self._is_newest(question):
                    return "asked_again"
                if time.monotonic() > end:
                    return "late"
                time.sleep(TICK_S)
            return "memory_short" if child.over_memory else ""
        finally:
            child.kill()
            child.process.wait()


@dataclass(frozen=True)
class _Question:
    recipe: str
    inputs: Mapping[str, str]  # path → digest
    most_bytes: int | None
    page: str
    asked: object

    @property
    def arguments(self) -> list[str]:
        """Of the command."""
        limit = [] if self.most_bytes is None else ["--set", f"budget.memory={self.most_bytes}B"]
        return [*plan_answer.ARGUMENTS, plan_answer.COUNTED, *limit]


def _busy() -> Unavailable:
    return Unavailable("the plan", "a turn", "others are planned", "Ask again, or submit the job.")


def _read(answer: bytes, log: Path) -> PlannedRecipe:
    problems = tuple(plan_answer.problems(answer))
    try:
        told = json.loads(answer)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = " ".join(lines[-LAST_LINES:])[:500] or "no word"
        problem = {"where": "sixfold plan", "expected": "a plan", "found": last, "remedy": ""}
        return PlannedRecipe(problems=(problem,), note="broken")
    return PlannedRecipe(told.get("plan"), told.get("data"), problems)
