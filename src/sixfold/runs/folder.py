"""A run is a folder that survives anything: stages written aside and renamed, one stream of events,
one owner.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sixfold.core.errors import BudgetError, SystemFault
from sixfold.core.paths import clear, sha256_file, sync_folder, system_fault
from sixfold.core.plugins import PACKAGE_ROOT
from sixfold.runs import events
from sixfold.runs.disk import DiskLimit
from sixfold.runs.events import Event
from sixfold.runs.lock import FolderLock
from sixfold.runs.saves import EVERY_S, Checkpoints
from sixfold.runs.sealed import MANIFEST, is_sealed, key_of, problem_of, seal

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Place:
    """Where a stage is: its `folder` once it is finished; `aside`: where its files are written,
    None where it is finished.
    """

    folder: Path
    aside: Path | None = None


class RunFolder:
    """`stage` is the place of a piece of work that is done once; `emit` tells what happened. Use as
    a context manager: it holds the lock.

    `disk_bytes`: what it may hold, None for any; who writes into it asks `disk` for room before.
    """

    def __init__(
        self,
        path: Path,
        listeners: Sequence[Listener] = (),
        save_every_s: float = EVERY_S,
        disk_bytes: int | None = None,
    ) -> None:
        self.path = path
        self.save_every_s = save_every_s
        self.disk = DiskLimit(path, disk_bytes)
        self.listeners = tuple(listeners)
        self._events: FileIO | None = None
        self._lock = FolderLock(path)
        self._stages: set[str] = set()

    def __enter__(self) -> Self:
        try:
            self._lock.take()
            self._events = events.opened(self.path / events.NAME)
            self._look_back()
        except OSError as error:
            self._close()
            raise system_fault(self.path, error) from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._events is not None:
            with contextlib.suppress(
                OSError
            ):  # a full disk must not hide the error that is on its way
                self._events.close()
        self._lock.release()

    def _look_back(self) -> None:
        """What earlier attempts left in the stream: which stages the run began; damage is told
        once.
        """
        damaged, told = list[int](), set[str]()
        for number, event in events.numbered(self.path / events.NAME):
            if event is None:
                damaged.append(number)
            elif event["event"] == "stage_started":
                self._stages.add(str(event.get("stage")))
            elif event["event"] == "warning":
                told.add(str(event.get("text")))
        text = events.damage(self.path / events.NAME, damaged)
        if text and text not in told:
            self.emit("warning", {"text": text})

    def emit(self, kind: str, facts: dict[str, Any]) -> None:
        """Append one event to `events.jsonl` and tell every listener."""
        event = {"event": kind, "time": round(time.time(), 3), **facts}
        if self._events is not None:
            try:
                left = events.line(event)
                while left:  # all of it, but on a full disk, which raises in the end
                    left = left[self._events.write(left) :]
            except OSError as error:
                raise system_fault(self.path / events.NAME, error) from error
        for listener in self.listeners:
            listener(event)

    @contextlib.contextmanager
    def stage(self, name: str, key: str) -> Iterator[Place]:
        """The place of stage `name`: finished, from an earlier run, when its key is equal and its
        files are whole; else with a folder `aside` to write into.

        The stage counts only after every file is synced, the manifest is written and the folder is
        renamed, which is done when the block ends; so a kill at any moment leaves either a whole
        stage or none.
        """
        done = self.path / name
        saved = self.path / f"{name}.saved"
        self._lock.check()
        if self._is_finished(done, key):
            shutil.rmtree(saved, ignore_errors=True)  # a kill right after the rename left it
            self.emit("stage_skipped", {"stage": name})
            yield Place(done)
            return
        self._refuse_foreign(done, name)
        self._stages.add(name)
        self.emit("stage_started", {"stage": name})
        started = time.monotonic()
        aside = self.path / f"{name}.tmp"
        try:
            clear(aside)
            aside.mkdir(parents=True)
            yield Place(done, aside)
            self._lock.check()
            seal(aside, key)
            clear(done)
            aside.rename(done)
            sync_folder(done.parent)
            shutil.rmtree(saved, ignore_errors=True)
        except BudgetError:  # it goes on later, from what was saved
            shutil.rmtree(aside, ignore_errors=True)
            raise
        except OSError as error:
            raise system_fault(aside, error) from error
        self.emit(
            "stage_finished", {"stage": name, "duration_s": round(time.monotonic() - started, 3)}
        )

    def saves(self, name: str, key: str) -> Checkpoints:
        """What the unfinished stage `name` of this key saved, and will save; what it saved for
        another key goes.
        """
        folder, own = self.path / f"{name}.saved", key[:16]
        if folder.is_symlink() or folder.is_file():  # none of ours
            clear(folder)
        for other in folder.glob("*") if folder.is_dir() else ():
            if other.name != own:
                shutil.rmtree(other, ignore_errors=True)
        return Checkpoints(
            folder / own, key, self.emit, self.save_every_s, disk=self.disk, check=self._lock.check
        )

    def has(self, name: str, key: str) -> bool:
        """Whether stage `name` of this key is finished; its files are looked at when `stage` reads
        it back.
        """
        folder = self.path / name
        return (folder / MANIFEST).is_file() and not problem_of(folder) and key_of(folder) == key

    def history(self) -> Iterator[Event]:
        """Every event so far, the oldest first, earlier attempts included; damaged lines were told
        when the run began.
        """
        yield from (
            event for _, event in events.numbered(self.path / events.NAME) if event is not None
        )

    def _is_finished(self, folder: Path, key: str) -> bool:
        if not (folder / MANIFEST).is_file() and not self._began(folder):
            return False
        problem = problem_of(folder)
        if problem:
            self.emit("warning", {"text": f"{folder.name}: {problem}; this stage is done again"})
            return False
        return key_of(folder) == key

    def _began(self, folder: Path) -> bool:
        """Whether the run made this folder once: then a manifest that is not there is damage."""
        return folder.is_dir() and str(folder.relative_to(self.path)) in self._stages

    def _refuse_foreign(self, folder: Path, name: str) -> None:
        """A folder in the place of a stage goes only where the run made it. Raises SystemFault."""
        if folder.is_symlink() or not folder.is_dir() or name in self._stages or is_sealed(folder):
            return
        if any(folder.iterdir()):
            raise SystemFault(
                str(folder),
                "a folder that this run made, or none",
                "one that something else made",
                "Move it away, or choose another folder with --out.",
            )


def code_digest() -> str:
    """SHA-256 over Sixfold's own sources: a stage made by other code is not reused."""
    digests = "".join(sha256_file(path) for path in sorted(PACKAGE_ROOT.rglob("*.py")))
    return hashlib.sha256(digests.encode()).hexdigest()
