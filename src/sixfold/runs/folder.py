"""A run is a folder that survives anything: stages written aside and renamed, one stream of events, one owner."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from sixfold.core.errors import SystemFault
from sixfold.core.paths import sha256_file, sync_folder, system_fault, write_atomic
from sixfold.core.plugins import PACKAGE_ROOT

MANIFEST = "manifest.json"
Event = dict[str, Any]
Listener = Callable[[Event], None]


class RunFolder:
    """`stage` does a piece of work once; `emit` tells what happened. Use as a context manager: it holds the lock."""

    def __init__(self, path: Path, listeners: Sequence[Listener] = ()) -> None:
        self.path = path
        self.listeners = tuple(listeners)
        self._events: TextIO | None = None
        self._lock: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
            self._take_lock(self._lock)
            _drop_partial_line(self.path / "events.jsonl")
            self._events = (self.path / "events.jsonl").open("a", encoding="utf-8")
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
                self._events.write(json.dumps(event) + "\n")
                self._events.flush()
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
        if self._is_finished(done, key):
            self.emit("stage_skipped", {"stage": name})
            return done
        self.emit("stage_started", {"stage": name})
        started = time.monotonic()
        aside = self.path / f"{name}.tmp"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            work(aside)
            _seal(aside, key)
            shutil.rmtree(done, ignore_errors=True)
            aside.rename(done)
            sync_folder(done.parent)
        except OSError as error:
            raise system_fault(aside, error) from error
        self.emit("stage_finished", {"stage": name, "duration_s": round(time.monotonic() - started, 3)})
        return done

    def history(self) -> Iterator[Event]:
        """Every event so far, the oldest first, earlier attempts included."""
        with (self.path / "events.jsonl").open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def _is_finished(self, folder: Path, key: str) -> bool:
        manifest_path = folder / MANIFEST
        if not manifest_path.is_file():
            return False
        problem = damage(folder)
        if problem:
            self.emit("warning", {"text": f"{folder.name}: {problem}; this stage is done again"})
            return False
        return bool(json.loads(manifest_path.read_text())["key"] == key)

    def _take_lock(self, handle: TextIO) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemFault(
                str(self.path), "a run folder that nobody else uses", "another process at work in it",
                "Wait for it to end, or choose another folder with --out.",
            ) from None  # fmt: skip


def damage(folder: Path) -> str:
    """What is wrong with a finished stage, or '' when every file has the bytes of its manifest."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        for name, facts in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != facts["bytes"] or sha256_file(path) != facts["sha256"]:
                return f"{name} is damaged"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is damaged"
    return ""


def code_digest() -> str:
    """SHA-256 over Sixfold's own sources: a stage made by other code is not reused."""
    digests = "".join(sha256_file(path) for path in sorted(PACKAGE_ROOT.rglob("*.py")))
    return hashlib.sha256(digests.encode()).hexdigest()


def _seal(folder: Path, key: str) -> None:
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[str(path.relative_to(folder))] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    write_atomic(folder / MANIFEST, json.dumps({"key": key, "files": files}, indent=1))


def _drop_partial_line(path: Path) -> None:
    """A kill in the middle of a write leaves half a line at the end: cut it off."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
