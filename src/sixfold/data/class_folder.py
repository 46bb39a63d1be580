"""A folder of files with a subfolder a class: which files there are, what each is called, and their
rows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from sixfold.core.errors import DataError
from sixfold.core.memory import MemoryLimit
from sixfold.core.units import counted
from sixfold.data.source import Raw

SHOWN: Final = 5
LABEL: Final = "label"  # the column of classes
HELD: Final = 1_000  # bytes of a file's path and label while they are read; guessed


class FileKind(NamedTuple):
    """`noun`: `image`; `endings`: of such files, `.png`."""

    noun: str
    endings: frozenset[str]

    def has(self, name: str) -> bool:
        """Whether a file is one, by its name."""
        return Path(name).suffix.lower() in self.endings


@dataclass(frozen=True)
class LabeledPaths:
    """`paths`: relative to the folder, sorted, with slashes; `labels`: the subfolder of each.
    `skipped`: files of other kinds than `noun`.
    """

    noun: str

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    skipped: tuple[str, ...]

    def describe(self) -> str:
        """What was left out, for the user; '' where nothing was."""
        if not self.skipped:
            return ""
        many = f"files are no {self.noun}s by their names and are left out"
        told = counted(
            len(self.skipped), f"file is no {self.noun} by its name and is left out", many
        )
        return f"{told}: {_listed(self.skipped)}."


def read_classes(folder: Path, kind: FileKind, column: str, memory: MemoryLimit | None) -> Raw:
    """All paths, in a column of this name, and their labels; the files are read when they are
    needed. Raises DataError, and BudgetError for more paths than `memory` holds.
    """
    found = labeled_files(folder, kind)
    (memory or MemoryLimit.of(None)).plan(
        str(folder), f"{len(found.paths):,} paths", HELD * len(found.paths)
    )
    columns = {
        column: pa.chunked_array([pa.array(found.paths, pa.large_string())]),
        LABEL: pa.chunked_array([pa.array(found.labels, pa.string())]),
    }
    told = (found.describe(),) if found.skipped else ()
    return Raw(columns, len(found.paths), str(folder), lambda row: found.paths[row], warnings=told)


def labeled_files(folder: Path, kind: FileKind) -> LabeledPaths:
    """Every file of a kind below `folder`, labeled by the first subfolder; hidden files and folders
    are passed over.

    Raises DataError for a folder without subfolders, with such files beside them, with one class, or
    an empty class.
    """
    classes = sorted(entry.name for entry in _entries(folder) if entry.is_dir())
    loose = sorted(
        entry.name for entry in _entries(folder) if entry.is_file() and kind.has(entry.name)
    )
    if not classes:
        found = f"{kind.noun} files without subfolders" if loose else "no subfolders"
        raise DataError(
            str(folder),
            "a subfolder for each class",
            found,
            f"Put the {kind.noun}s of a class into its own folder.",
        )
    if loose:
        found = f"{kind.noun}s beside them: {_listed(loose)}"
        raise DataError(
            str(folder),
            f"{kind.noun}s in subfolders alone",
            found,
            "Move each into the folder of its class.",
        )
    paths, labels, skipped = [], [], []
    for label in classes:
        files = sorted(_files(folder / label))
        names = [path.relative_to(folder).as_posix() for path in files]
        own = [name for name in names if kind.has(name)]
        if not own:
            remedy = f"Remove the empty folder, or add its {kind.noun}s."
            raise DataError(str(folder / label), f"{kind.noun}s", "none", remedy)
        paths += own
        labels += [label] * len(own)
        skipped += [name for name in names if not kind.has(name)]
    if len(classes) == 1:
        found = f"one, '{classes[0]}'"
        raise DataError(
            str(folder),
            "subfolders of two classes or more",
            found,
            "Add a folder of another class.",
        )
    return LabeledPaths(kind.noun, tuple(paths), tuple(labels), tuple(skipped))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder and not hidden. Raises DataError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            str(folder), "a folder that can be read", reason, "Check the path and its permissions."
        ) from None


def _files(folder: Path) -> list[Path]:
    """Files at any depth; links to folders are not followed, so there are no circles."""
    found: list[Path] = []
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            found += _files(Path(entry.path))
        elif entry.is_file():
            found.append(Path(entry.path))
    return found


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
