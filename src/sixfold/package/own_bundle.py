"""The bundle that a run owns: what is damaged of it is written again, and what is not the run's own
is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sixfold.bundle import manifest
from sixfold.core.errors import BundleError, SystemFault
from sixfold.core.paths import clear
from sixfold.recipe.kinds import RUNTIME
from sixfold.runs.folder import RunFolder


def check(folder: RunFolder, runtime: str) -> None:
    """Before anything is trained. Raises SystemFault where something else stands in the bundle's
    place.
    """
    for path in _places(folder):
        if not manifest.is_bundle(path):
            _refuse_foreign(folder, path, runtime)


def make_way(folder: RunFolder, runtime: str) -> None:
    """Before the bundle is written: damage is told, and goes where it hides whose the folder is.
    Raises SystemFault.
    """
    for path in _places(folder):
        try:
            manifest.read(path, RUNTIME.names())
        except BundleError as error:
            if not manifest.is_bundle(path):
                _refuse_foreign(folder, path, runtime)
                clear(path)
            folder.emit(
                "warning", {"text": f"The bundle was damaged, and is written again: {error}"}
            )


def _places(folder: RunFolder) -> Iterator[Path]:
    """The bundle, and an earlier one that stepped aside, where there is something."""
    for name in ("bundle", "bundle.old"):
        path = folder.path / name
        if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
            yield path


def _refuse_foreign(folder: RunFolder, path: Path, runtime: str) -> None:
    """A folder without a manifest that can be read is the run's where a run ended here, and it
    holds a bundle's files alone.
    """
    names = {manifest.MANIFEST, *manifest.largest(runtime)}
    if path.is_symlink() or not path.is_dir():
        found = "a symbolic link" if path.is_symlink() else "a file"
        raise SystemFault(
            str(path),
            "the folder of this run's bundle",
            found,
            "Move it away and run the same command again.",
        )
    strange = sorted(
        name
        for name in manifest.names_in(path, names)
        if name not in names or ((path / name).is_dir() and not (path / name).is_symlink())
    )
    finished = any(event["event"] == "run_finished" for event in folder.history())
    if strange or not finished:
        found = (
            f"a folder with {strange[0]!r}"
            if strange
            else "a folder that no run here is known to have written"
        )
        raise SystemFault(
            str(path),
            "a bundle of this run, or none",
            found,
            "Move it away and run the same command again, or choose another folder with --out.",
        )
