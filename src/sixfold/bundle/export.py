"""The files of a language model, taken out of its bundle: one GGUF file, or a folder that transformers loads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from sixfold.bundle import manifest
from sixfold.bundle.manifest import Sealed
from sixfold.core.errors import BundleError, SystemFault
from sixfold.core.paths import sync_folder, system_fault

GGUF: Final = "model.gguf"
FOLDER: Final = "hf/"


def export_gguf(bundle: Path, out: Path, allow: Collection[str] = ()) -> int:
    """Write the GGUF file as `out`; returns its bytes. The bundle is checked first.

    Raises BundleError, also for a bundle of another kind, and SystemFault.
    """
    sealed = _of_language(bundle, allow)
    _refuse_existing(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(sealed, GGUF, out)
        sync_folder(out.parent)
    except OSError as error:
        raise system_fault(out, error) from error
    return out.stat().st_size


def export_hf(bundle: Path, out: Path, allow: Collection[str] = ()) -> list[str]:
    """Write the checkpoint as the new folder `out`; returns the names of its files."""
    sealed = _of_language(bundle, allow)
    _refuse_existing(out)
    names = sorted(name for name in (*sealed.files, *sealed.large) if name.startswith(FOLDER))
    aside = out.with_name(out.name + ".tmp")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for name in names:
            _write(sealed, name, aside / name.removeprefix(FOLDER))
        sync_folder(aside)
        aside.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise system_fault(out, error) from error
    return [name.removeprefix(FOLDER) for name in names]


def _of_language(bundle: Path, allow: Collection[str]) -> Sealed:
    sealed = manifest.read(bundle, allow)
    if GGUF not in sealed.large:
        remedy = "Use the file model.onnx of the bundle itself."
        raise BundleError(str(bundle), "a language model's bundle", "one of rows", remedy)
    return sealed


def _refuse_existing(out: Path) -> None:
    if out.exists() or out.is_symlink():
        remedy = "Choose another name, or remove it yourself."
        raise SystemFault(str(out), "a name that is free", "something of this name", remedy)


def _write(sealed: Sealed, name: str, out: Path) -> None:
    aside = out.with_name(out.name + ".tmp")
    with aside.open("wb") as file:
        if name in sealed.large:
            with sealed.large[name].open("rb") as stored:
                shutil.copyfileobj(stored, file)
        else:
            file.write(sealed.files[name])
        file.flush()
        os.fsync(file.fileno())
    aside.rename(out)
