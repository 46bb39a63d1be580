"""A budget of disk: looked at before something is written, with the bytes that it will take."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from sixfold.core.errors import BudgetError
from sixfold.core.units import show_bytes

OVERHEAD = 1024  # bytes of a stage's manifest and of events that follow


class DiskLimit:
    """What a run folder may hold. `most`: bytes, or None for any.

    Where there is no room, what is kept to continue goes first: saved states of unfinished stages,
    and (`spare`) finished stages that nothing that follows reads.
    """

    def __init__(self, folder: Path, most: int | None) -> None:
        self.folder = folder
        self.most = most

    def used(self) -> int:
        """Bytes of all files in the folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def has_room(self, size: int) -> bool:
        """Whether `size` more bytes fit, without anything being removed."""
        return self.most is None or self.used() + size + OVERHEAD <= self.most

    def room(self, size: int, spare: Sequence[str] = (), keep: Sequence[Path] = ()) -> None:
        """Make room for `size` bytes more. `spare`: patterns of stages that may go; `keep`: folders
        that stay. Raises BudgetError.
        """
        if self.most is None:
            return
        for path in self._removable(spare):
            if self.has_room(size):
                return
            if not any(one.is_relative_to(path) for one in keep):
                shutil.rmtree(path, ignore_errors=True)
        if not self.has_room(size):
            raise BudgetError(
                "budget.disk",
                f"at most {show_bytes(self.most)}",
                f"{show_bytes(self.used())} in {self.folder}, and {show_bytes(size)} to write",
                "Raise budget.disk, or take smaller candidates or fewer.",
            )

    def _removable(self, spare: Sequence[str]) -> Iterator[Path]:
        for pattern in ("*.saved", *spare):
            yield from (path for path in sorted(self.folder.glob(pattern)) if path.is_dir())
