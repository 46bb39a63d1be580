"""A run is a folder that survives anything: stages written aside and renamed, one stream of events, one owner."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from pydantic_core import PydanticSerializationError, to_json

from sixfold.core import strict_json
from sixfold.core.errors import BudgetError, SystemFault
from sixfold.core.paths import sha256_file, sync_folder, system_fault
from sixfold.core.plugins import PACKAGE_ROOT
from sixfold.runs.disk import DiskLimit
from sixfold.runs.saves import EVERY_S, Saves
from sixfold.runs.sealed import MANIFEST, key_of, problem_of, seal

Event = dict[str, Any]
Listener = Callable[[Event], None]


class RunFolder:
    """`stage` does a piece of work once; `emit` tells what happened. Use as a context manager: it holds the lock.

    `disk_bytes`: what it may hold, None for any; who writes into it asks `disk` for room before.
    """

    def __init__(
        self, path: Path, listeners: Sequence[Listener] = (), save_every_s: float = EVERY_S,
        disk_bytes: int | None = None,
    ) -> None:  # fmt: skip
        self.path = path
        self.save_every_s = save_every_s
        self.disk = DiskLimit(path, disk_bytes)
        self.listeners = tuple(listeners)
        self._events: FileIO | None = None
        self._lock: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
            self._take_lock(self._lock)
            _drop_partial_line(self.path / "events.jsonl")
            self._events = (self.path / "events.jsonl").open("ab", buffering=0)
        except OSError as error:
            raise system_fault(self.path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in (self._events, self._lock):
            if handle is not None:
                with contextlib.suppress(OSError):  # a full disk must not hide the error that is on its way
                    handle.close()

    def emit(self, kind: str, facts: dict[str, Any]) -> None:
        """Append one event to `events.jsonl` and tell every listener."""
        event = {"event": kind, "time": round(time.time(), 3), **facts}
        if self._events is not None:
            try:
                left = _line(event)
                while left:  # all of it, but on a full disk, which raises in the end
                    left = left[self._events.write(left) :]
            except OSError as error:
                raise system_fault(self.path / "events.jsonl", error) from error
        for listener in self.listeners:
            listener(event)

    def stage(self, name: str, key: str, work: Callable[[Path], None]) -> Path:
        """The folder of stage `name`, finished: from an earlier run when its key is equal and its files are whole.

        `work` writes into the folder it is given. The stage counts only after every file is synced, the manifest is
        written and the folder is renamed; so a kill at any moment leaves either a whole stage or none.
        """
        done = self.path / name
        saved = self.path / f"{name}.saved"
        if self._is_finished(done, key):
            shutil.rmtree(saved, ignore_errors=True)  # a kill right after the rename left it
            self.emit("stage_skipped", {"stage": name})
            return done
        self.emit("stage_started", {"stage": name})
        started = time.monotonic()
        aside = self.path / f"{name}.tmp"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            work(aside)
            seal(aside, key)
            shutil.rmtree(done, ignore_errors=True)
            aside.rename(done)
            sync_folder(done.parent)
            shutil.rmtree(saved, ignore_errors=True)
        except BudgetError:  # it goes on later, from what was saved
            shutil.rmtree(aside, ignore_errors=True)
            raise
        except OSError as error:
            raise system_fault(aside, error) from error
        self.emit("stage_finished", {"stage": name, "duration_s": round(time.monotonic() - started, 3)})
        return done

    def saves(self, name: str, key: str) -> Saves:
        """What the unfinished stage `name` of this key saved, and will save; what it saved for another key goes."""
        folder, own = self.path / f"{name}.saved", key[:16]
        for other in folder.glob("*") if folder.is_dir() else ():
            if other.name != own:
                shutil.rmtree(other, ignore_errors=True)
        return Saves(folder / own, key, self.emit, self.save_every_s, disk=self.disk)

    def has(self, name: str, key: str) -> bool:
        """Whether stage `name` of this key is finished; its files are looked at when `stage` reads it back."""
        folder = self.path / name
        return (folder / MANIFEST).is_file() and not problem_of(folder) and key_of(folder) == key

    def history(self) -> Iterator[Event]:
        """Every event so far, the oldest first, earlier attempts included."""
        with (self.path / "events.jsonl").open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def _is_finished(self, folder: Path, key: str) -> bool:
        if not (folder / MANIFEST).is_file():
            return False
        problem = problem_of(folder)
        if problem:
            self.emit("warning", {"text": f"{folder.name}: {problem}; this stage is done again"})
            return False
        return key_of(folder) == key

    def _take_lock(self, handle: TextIO) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemFault(
                str(self.path), "a run folder that nobody else uses", "another process at work in it",
                "Wait for it to end, or choose another folder with --out.",
            ) from None  # fmt: skip


def _line(event: Event) -> bytes:
    """JSON and a line's end. pydantic's writer takes 0.6 µs where Python's takes 11: telling every epoch of a tiny network took
    a fifth of the training's time (`bench/events.py`).
    """
    try:
        return to_json(event, inf_nan_mode="null") + b"\n"
    except PydanticSerializationError:  # half a character, as in a file's name that is no text
        return strict_json.text(event).encode() + b"\n"


def code_digest() -> str:
    """SHA-256 over Sixfold's own sources: a stage made by other code is not reused."""
    digests = "".join(sha256_file(path) for path in sorted(PACKAGE_ROOT.rglob("*.py")))
    return hashlib.sha256(digests.encode()).hexdigest()


def _drop_partial_line(path: Path) -> None:
    """A kill in the middle of a write leaves half a line at the end: cut it off."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
