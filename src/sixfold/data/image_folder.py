"""A folder of images with a subfolder a class: which files there are, and what each is called."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sixfold.bundle.images import ENDINGS
from sixfold.core.errors import DataError
from sixfold.core.units import counted

SHOWN: Final = 5


@dataclass(frozen=True)
class LabeledPaths:
    """`paths`: relative to the folder, sorted, with slashes; `labels`: the subfolder of each.
    `skipped`: files of other kinds.
    """

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    skipped: tuple[str, ...]

    def describe(self) -> str:
        """What was left out, for the user; '' where nothing was."""
        if not self.skipped:
            return ""
        many = "files are no images by their names and are left out"
        told = counted(len(self.skipped), "file is no image by its name and is left out", many)
        return f"{told}: {_listed(self.skipped)}."


def labeled_images(folder: Path) -> LabeledPaths:
    """Every image file below `folder`, labeled by the first subfolder; hidden files and folders are
    passed over.

    Raises DataError for a folder without subfolders, with images beside them, with one class, or an
    empty class.
    """
    classes = sorted(entry.name for entry in _entries(folder) if entry.is_dir())
    loose = sorted(
        entry.name for entry in _entries(folder) if entry.is_file() and _is_image(entry.name)
    )
    if not classes:
        found = "image files without subfolders" if loose else "no subfolders"
        raise DataError(
            str(folder),
            "a subfolder for each class",
            found,
            "Put the images of a class into its own folder.",
        )
    if loose:
        found = f"images beside them: {_listed(loose)}"
        raise DataError(
            str(folder),
            "images in subfolders alone",
            found,
            "Move each into the folder of its class.",
        )
    paths, labels, skipped = [], [], []
    for label in classes:
        files = sorted(_files(folder / label))
        names = [path.relative_to(folder).as_posix() for path in files]
        own = [name for name in names if _is_image(name)]
        if not own:
            raise DataError(
                str(folder / label), "images", "none", "Remove the empty folder, or add its images."
            )
        paths += own
        labels += [label] * len(own)
        skipped += [name for name in names if not _is_image(name)]
    if len(classes) == 1:
        found = f"one, '{classes[0]}'"
        raise DataError(
            str(folder),
            "subfolders of two classes or more",
            found,
            "Add a folder of another class.",
        )
    return LabeledPaths(tuple(paths), tuple(labels), tuple(skipped))


def is_image_folder(folder: Path) -> bool:
    """Whether some subfolder holds an image: what tells a folder of images from one of texts."""
    subfolders = [entry for entry in _entries(folder) if entry.is_dir()]
    return any(_is_image(path.name) for entry in subfolders for path in _files(Path(entry.path)))


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


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in ENDINGS


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
