"""Writing a bundle: whole or not at all, and only after its answers agree with the trained
pipeline's.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sixfold
from sixfold.bundle import manifest
from sixfold.bundle.load import from_files
from sixfold.bundle.manifest import ONNX, Sealed
from sixfold.bundle.modality_reader import modalities
from sixfold.bundle.parity import Parity, check_parity
from sixfold.bundle.runtime import Generates, Proves, packed_by
from sixfold.core.errors import BundleError, SystemFault
from sixfold.core.paths import sync_folder, system_fault
from sixfold.recipe.kinds import READER, RUNTIME
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.signature import Signature

INDENT: Final = 1
LANGUAGE: Final = "language"  # the runtime of language models


@dataclass(frozen=True)
class BundleParts:
    """What a bundle is made of. `model`: the trained pipeline as an ONNX graph, of which the
    recipe's runtime makes its files; `recipe`: YAML text; `report_json`: JSON text; `explain`: what
    attributions take, none where it is empty.
    """

    model: bytes
    signature: Signature
    recipe: str
    receipt: Receipt
    report_html: str
    report_json: str
    parity: Parity
    runtime: str = ONNX
    explain: bytes = b""

    def check(self, folder: Path, files: dict[str, bytes | Path]) -> None:
        """The stored rows are asked again, through the files that will be written, and attributions
        of a few add up to the answers. Raises BundleError.
        """
        held = {name: content for name, content in files.items() if isinstance(content, bytes)}
        bundle = from_files(Sealed(folder, self.runtime, held), self.plugins)
        check_parity(bundle.predictor, self.parity, str(folder / "model.onnx"))
        bundle.explainer.check(self.parity.rows)

    @property
    def plugins(self) -> tuple[str, ...]:
        """Those of other packages that it takes to answer."""
        used = [
            (RUNTIME, self.runtime),
            *((READER, modality) for modality in modalities(self.signature)),
        ]
        return tuple(name for kind, name in used if name not in kind.own_names())

    def files(self) -> dict[str, bytes | Path]:
        """Name → content of every file but the manifest."""
        return {
            **packed_by(self.runtime, self.model),
            **_common(self),
            manifest.PARITY: self.parity.packed(),
            **({manifest.EXPLAIN: self.explain} if self.explain else {}),
        }


@dataclass(frozen=True)
class LanguageParts:
    """What the bundle of a model is made of that is no graph: a language model, a recommender. `model`:
    the runtime's own files and what proves their answers, name → content, or the file that holds it. The
    rest as in `BundleParts`.
    """

    model: Mapping[str, bytes | Path]
    signature: Signature
    recipe: str
    receipt: Receipt
    report_html: str
    report_json: str
    runtime: str = LANGUAGE

    def check(self, folder: Path, files: dict[str, bytes | Path]) -> None:
        """All files of the runtime are there, and what is stored is answered by them. Raises
        BundleError.
        """
        missing = sorted(set(manifest.largest(self.runtime)) - manifest.OPTIONAL - files.keys())
        if missing:
            raise BundleError(
                str(folder), f"the file {missing[0]}", "none", "Run the recipe again."
            )
        large = {name: path for name, path in files.items() if isinstance(path, Path)}
        held = {
            name: content if isinstance(content, bytes) else content.read_bytes()
            for name, content in files.items()
            if name not in manifest.on_disk(self.runtime)
        }
        runtime = from_files(Sealed(folder, self.runtime, held, large)).predictor.runtime
        if isinstance(runtime, Proves):
            runtime.prove(held[manifest.PARITY], str(folder / manifest.PARITY))
        if isinstance(runtime, Generates):
            runtime.language_model().close()

    def files(self) -> dict[str, bytes | Path]:
        """Name → content of every file but the manifest."""
        return {**self.model, **_common(self)}


def _common(parts: BundleParts | LanguageParts) -> dict[str, bytes | Path]:
    """What every bundle has."""
    return {
        "signature.json": parts.signature.model_dump_json(indent=INDENT).encode(),
        "recipe.yaml": parts.recipe.encode(),
        "receipt.json": parts.receipt.model_dump_json(indent=INDENT).encode(),
        "report.html": parts.report_html.encode(),
        "report.json": parts.report_json.encode(),
    }


def write_bundle(folder: Path, parts: BundleParts | LanguageParts) -> None:
    """Write `parts` as the bundle `folder`; a bundle that is there already is replaced, anything
    else is not touched.

    What it will answer is checked on the files that will be written: a bundle that fails is not
    written. Raises BundleError (no parity) or SystemFault (no space, no permission, a folder
    that is no bundle).
    """
    files, largest = parts.files(), manifest.largest(parts.runtime)
    for name, content in files.items():
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size > largest[name]:
            most, found = f"at most {largest[name]:,} bytes", f"{size:,}"
            raise BundleError(
                str(folder / name),
                most,
                found,
                "Leave out columns or candidates: nobody could load it.",
            )
    parts.check(folder, files)
    _refuse_foreign(folder)
    _refuse_foreign(_old(folder))
    aside = folder.with_name(folder.name + ".tmp")
    try:
        _write_aside(aside, files, parts.runtime)
        _put_in_place(aside, folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            shutil.rmtree(aside, ignore_errors=True)
        raise system_fault(folder, error) from error


def _refuse_foreign(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise SystemFault(
            str(folder), "a new folder, or a bundle", "something else", "Choose another name."
        )
    if folder.is_dir() and any(folder.iterdir()) and not manifest.is_bundle(folder):
        raise SystemFault(
            str(folder),
            "a new folder, an empty one, or a bundle",
            "a folder with other files",
            "Choose another name, or remove the folder yourself.",
        )


def _write_aside(aside: Path, files: dict[str, bytes | Path], runtime: str) -> None:
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    sealed = manifest.make(sixfold.__version__, files, runtime)
    for name, content in {**files, manifest.MANIFEST: sealed.rendered()}.items():
        (aside / name).parent.mkdir(exist_ok=True)
        with (aside / name).open("xb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                with content.open("rb") as stored:
                    shutil.copyfileobj(stored, file)
            file.flush()
            os.fsync(file.fileno())
    for folder in {(aside / name).parent for name in files}:
        sync_folder(folder)


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def _put_in_place(aside: Path, folder: Path) -> None:
    """Rename; an earlier bundle steps aside first, so a kill leaves the old one (maybe as `.old`)
    or the new one.
    """
    old = _old(folder)
    if folder.is_dir():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    aside.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
