"""A folder for files that can be made again: in the run's, for its workers and its next attempt;
else a temporary one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sixfold.core.errors import BudgetError
from sixfold.core.units import show_bytes

NAME = "scratch"  # in a run's folder, until the run is finished


@dataclass
class Scratch:
    """`most_bytes`: of disk for one file, or None for any."""

    given: Path | None = None
    most_bytes: int | None = None
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def folder(self) -> Path:
        """It is there when this returns."""
        if self.given is not None:
            self.given.mkdir(parents=True, exist_ok=True)
            return self.given
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="sixfold-")
        return Path(self._temporary.name)

    def check_disk(self, written: int, expected: str) -> None:
        """Raises BudgetError where a file of so many bytes is larger than it may be."""
        if self.most_bytes is not None and written > self.most_bytes:
            raise BudgetError(
                "budget.disk",
                expected,
                show_bytes(self.most_bytes),
                "Raise budget.disk, or take fewer texts.",
            )


SCRATCH = Scratch()  # of this process: what is read is the same whoever asks


def use(run_folder: Path, most_bytes: int | None) -> None:
    """From now on files go into the folder of a run. For a process that works for one run."""
    SCRATCH.given, SCRATCH.most_bytes = run_folder / NAME, most_bytes


@contextmanager
def of_run(run_folder: Path, most_bytes: int | None) -> Iterator[None]:
    """Inside, files go into the folder of a run. They are removed at the end, but not where the run
    is interrupted: who goes on with it reads them.
    """
    before = SCRATCH.given, SCRATCH.most_bytes
    use(run_folder, most_bytes)
    try:
        yield
        shutil.rmtree(run_folder / NAME, ignore_errors=True)
    finally:
        SCRATCH.given, SCRATCH.most_bytes = before
