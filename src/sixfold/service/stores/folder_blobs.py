"""Blobs in a folder: `ab/cd/abcd…`, so that no folder has too many files; written aside, synced, renamed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from sixfold.core.paths import clear, sync_folder

ASIDE: Final = "incoming"
ABANDONED_S: Final = 24 * 3600.0  # no upload takes as long: its process was killed


class FolderBlobs:
    """Of this machine, or a mounted one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def aside(self) -> Path:
        """On the same disk, so that a rename is enough."""
        return self._root / ASIDE

    def prepare(self) -> None:
        """Makes the folder, and clears what killed processes left aside."""
        self.aside.mkdir(parents=True, exist_ok=True)
        for path in self.aside.iterdir():
            if path.lstat().st_mtime < time.time() - ABANDONED_S:
                clear(path)

    def keep(self, path: Path, digest: str) -> None:
        """In place of what is there: what was damaged is whole again."""
        place = self._place(digest)
        made = [folder for folder in (place.parent, place.parent.parent) if not folder.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        path.chmod(0o444)
        path.replace(place)
        for folder in (place.parent, *(folder.parent for folder in made)):
            sync_folder(folder)

    def open(self, digest: str) -> BinaryIO:
        """Raises FileNotFoundError."""
        return self._place(digest).open("rb")

    def has(self, digest: str) -> bool:
        """A file of that name, whose time of change becomes now: whoever asks is about to name it in a row."""
        try:
            os.utime(self._place(digest))
        except FileNotFoundError:
            return False
        return True

    def digests(self, unused_s: float) -> Iterator[str]:
        """In order."""
        before = time.time() - unused_s
        for first in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(first.glob("[0-9a-f][0-9a-f]/*")):
                if not unused_s or _changed_at(path) < before:
                    yield path.name

    def remove(self, digest: str) -> int:
        """Its bytes."""
        place = self._place(digest)
        try:
            size = place.stat().st_size
            place.unlink()
        except FileNotFoundError:
            return 0
        return size

    def _place(self, digest: str) -> Path:
        return self._root / digest[:2] / digest[2:4] / digest


def _changed_at(path: Path) -> float:
    """Never, where it went meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
