"""What an unfinished stage has done so far: pieces that are whole, and the newest state of the
training in work.

Everything is written aside, synced, sealed with a manifest (bytes and SHA-256 of every file) and
renamed, as a stage is: a kill at any moment leaves a whole one or none, and a damaged one is seen,
said and passed over.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sixfold.core.paths import clear, sync_folder, system_fault
from sixfold.runs.context import Emit, unwatched
from sixfold.runs.disk import DiskLimit
from sixfold.runs.sealed import key_of, problem_of, seal

EPOCH = "epoch-"  # begins the names of pieces that are models of an epoch's end
KEPT = 2  # states of one training: the newest, and one to fall back to
EVERY_S = 30.0  # between two of them: a save of a small network takes about 10 ms


@dataclass
class Checkpoints:
    """Belongs to one stage, or to a part of it. `key`: the stage's; `every_s`: seconds between two
    states of a training; `disk`: what there is room for. What there is no room for is not saved:
    should the stage be killed, it is done again. `check` raises where the run's folder is no longer
    its own.
    """

    folder: Path
    key: str
    emit: Emit
    every_s: float = EVERY_S
    last: float = field(default_factory=time.monotonic)
    trainings: int = 0
    disk: DiskLimit | None = None
    check: Callable[[], None] = unwatched

    def within(self, name: str) -> Checkpoints:
        """The saves of a part, which counts its own trainings: one that is skipped later does not
        rename the others.
        """
        return Checkpoints(
            self.folder / name, self.key, self.emit, self.every_s, disk=self.disk, check=self.check
        )

    def piece(self, name: str) -> Path | None:
        """The folder of piece `name` where it is whole, or None."""
        return self.folder / name if self._whole(self.folder / name) else None

    def keep(self, name: str, write: Callable[[Path], None], size: int = 0) -> None:
        """Piece `name` is done: `write` fills its folder with `size` bytes."""
        if self.disk is None or self.disk.has_room(size):
            self._write(self.folder / name, write)

    def put_epochs(self, folder: Path) -> None:
        """Copy the models that were kept of epochs into `folder`, as far as there is room: they outlive this stage.
        Those of the first training, where there are several.
        """
        for piece in sorted(self.folder.rglob(f"{EPOCH}*")):
            new = piece.suffix != ".tmp" and not (folder / piece.name).exists()
            if not new or not self._whole(piece):
                continue
            size = sum(path.stat().st_size for path in piece.iterdir())
            if self.disk is None or self.disk.has_room(size):
                shutil.copytree(piece, folder / piece.name)

    def training(self) -> str:
        """The name of the next training of this part. They come in the same order each time."""
        self.trainings += 1
        return f"training-{self.trainings}"

    def newest(self, name: str) -> Path | None:
        """The newest whole state of training `name`, or None."""
        return next((state for state in reversed(self._states(name)) if self._whole(state)), None)

    def due(self) -> bool:
        """Whether it is time for another one."""
        return time.monotonic() - self.last >= self.every_s

    def hasten(self) -> None:
        """It is time for another one."""
        self.last = -self.every_s

    def save(self, name: str, step: int, write: Callable[[Path], None], size: int = 0) -> None:
        """The state of training `name` after `step` steps, `size` bytes. The oldest ones go."""
        if self.disk is None or self.disk.has_room(size):
            self._write(self.folder / name / f"step-{step:012}", write)
        for old in self._states(name)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        self.last = time.monotonic()

    def _states(self, name: str) -> list[Path]:
        folder = self.folder / name
        return (
            sorted(path for path in folder.glob("step-*") if path.suffix != ".tmp")
            if folder.is_dir()
            else []
        )

    def _whole(self, folder: Path) -> bool:
        if not folder.is_dir():
            return False
        problem = problem_of(folder)
        if problem:
            self.emit(
                "warning",
                {"text": f"{folder.parent.name}/{folder.name}: {problem}; an older state is used"},
            )
        return not problem and key_of(folder) == self.key

    def _write(self, done: Path, write: Callable[[Path], None]) -> None:
        aside = done.with_name(f"{done.name}.tmp")
        self.check()
        try:
            clear(aside)
            aside.mkdir(parents=True)
            write(aside)
            seal(aside, self.key)
            clear(done)
            aside.rename(done)
            sync_folder(done.parent)
        except OSError as error:
            raise system_fault(aside, error) from error
