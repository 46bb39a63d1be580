"""The seal of a bundle: name, bytes and SHA-256 of every file, written last, checked before a byte
is used.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

from pydantic import Field, ValidationError

from sixfold.bundle.allowed import check_allowed
from sixfold.core import json_limits
from sixfold.core.errors import BundleError
from sixfold.core.paths import sha256_file
from sixfold.recipe.kinds import RUNTIME
from sixfold.recipe.section import Section

MANIFEST: Final = "manifest.json"
GIB: Final = 1 << 30
MIB: Final = 1 << 20
# The largest size of each file, in bytes: what is larger was not written by Sixfold. With room for
# a table of 5,000 columns and for categories of 100,000 levels each (`recipe.signature`, which
# `check` asks); guessed, and far above what occurs.
COMMON: Final = {
    "signature.json": 20
    * MIB,  # what `recipe.signature.MOST` allows; 5,000 columns of numbers take 1.1 MB
    "recipe.yaml": MIB,  # as much as a recipe may have anywhere
    "receipt.json": 8
    * MIB,  # 16 metrics on 5,000 folds of leave_one_out, twice, with an indent: 5 MB
    "report.html": 16 * MIB,  # 5,000 columns take 2 MB
    "report.json": 20 * MIB,  # charts are bounded where they are made (`reporting`)
    "parity.jsonl.gz": 16 * MIB,  # packed; what it may unpack to is the business of `parity`
    "explain.safetensors": 64 * MIB,  # 16 million leaves of up to 4 bytes
}
MODEL: Final = "model.onnx"
# Of a bundle that onnxruntime answers for: protobuf's own limit; what a session takes beyond it is
# the model's to say.
LARGEST: Final = {MODEL: 2 * GIB - 1, **COMMON}
ONNX: Final = (
    "onnx"  # the runtime where a manifest names none: bundles were written before there was another
)
# What a reader may be given of the JSON files: as many objects as fit 100 MB of memory.
LIMITS: Final = {
    "signature.json": json_limits.JsonLimits(LARGEST["signature.json"], values=800_000),
    "receipt.json": json_limits.JsonLimits(LARGEST["receipt.json"], values=400_000),
    "report.json": json_limits.JsonLimits(LARGEST["report.json"], values=800_000),
}
MANIFEST_LIMITS: Final = json_limits.JsonLimits(
    size_bytes=16 << 10, values=100
)  # eight files and four facts
PARITY: Final = "parity.jsonl.gz"
EXPLAIN: Final = "explain.safetensors"
EXPLAINED: Final = (MODEL, PARITY, EXPLAIN)  # what explaining takes
OF_GRAPHS: Final = frozenset({PARITY, EXPLAIN})  # not of a runtime that keeps files on disk
OPTIONAL: Final = frozenset({EXPLAIN})  # bundles were written before there was such a file
PLAIN_NAME: Final = re.compile(
    r"([a-z0-9]{1,20}/)?[a-z0-9][a-z0-9._-]{0,62}"
)  # in a folder at most
MOST_SHOWN: Final = 5  # foreign files that a message names
AGAIN: Final = "Copy the bundle again from where it was made, or run the recipe again."


@runtime_checkable
class KeepsOnDisk(Protocol):
    """Ability of a runtime's plug-in: `on_disk` are those of its files that are too large to be held:
    they are hashed where they are. `model_file`: the one that answers, whose bytes the receipt tells.
    What proves its answers is a file of its own.
    """

    on_disk: ClassVar[frozenset[str]]
    model_file: ClassVar[str]


@dataclass(frozen=True)
class Sealed:
    """The files of a bundle, name → content: each was compared with the manifest, and what was
    compared is what is used.

    `folder` is for messages: nothing is opened again, but for `large`, name → path of files that were
    hashed where they are. `runtime`: whose the files are.
    """

    folder: Path
    runtime: str
    files: dict[str, bytes]
    large: dict[str, Path] = field(default_factory=dict)

    def size_bytes(self, name: str) -> int:
        """Of one of its files."""
        return self.large[name].stat().st_size if name in self.large else len(self.files[name])


class Entry(Section):
    """One sealed file."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Section):
    """`runtime`: what answers for the bundle; where it is onnxruntime the file does not say it.
    `seal` is the SHA-256 of everything else in the manifest, so that a flipped bit here is found
    too.
    """

    format: Literal[1] = 1
    version: str = Field(
        max_length=100, description="The version of Sixfold that wrote the bundle."
    )
    runtime: str = Field(ONNX, pattern=r"^[a-z][a-z0-9_]{0,62}$")
    files: dict[str, Entry] = Field(max_length=100)
    seal: str = Field("", max_length=64)

    def rendered(self) -> bytes:
        """The only bytes that a valid manifest of this content can have."""
        facts: dict[str, Any] = self.model_dump(
            exclude={"seal", *({"runtime"} if self.runtime == ONNX else ())}
        )
        facts["seal"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return (json.dumps(facts, indent=1) + "\n").encode()


def largest(runtime: str) -> Mapping[str, int]:
    """The files of a bundle that `runtime` answers for, and their largest sizes. Raises RecipeError
    for one not installed.
    """
    if runtime == ONNX:
        return LARGEST
    plugin = RUNTIME.load(runtime)
    left_out = OF_GRAPHS if on_disk(runtime) else frozenset()
    common = {name: most for name, most in COMMON.items() if name not in left_out}
    return {**common, **plugin.files}


def on_disk(runtime: str) -> frozenset[str]:
    """Files that are hashed where they are; a runtime that has some generates text."""
    plugin: object = None if runtime == ONNX else RUNTIME.load(runtime)()
    return plugin.on_disk if isinstance(plugin, KeepsOnDisk) else frozenset()


def make(version: str, files: Mapping[str, bytes | Path], runtime: str = ONNX) -> Manifest:
    """The manifest of `files` (name → content, or the file that holds it)."""
    entries = {name: _entry(content) for name, content in sorted(files.items())}
    return Manifest(version=version, runtime=runtime, files=entries)


def _entry(content: bytes | Path) -> Entry:
    if isinstance(content, bytes):
        return Entry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    return Entry(bytes=content.stat().st_size, sha256=sha256_file(content))


def read(folder: Path, allow: Collection[str] = ()) -> Sealed:
    """Every file of a bundle, each checked against the manifest. Raises BundleError.

    The bytes that were hashed are the bytes that are returned: nothing is opened twice. All sizes
    are looked at before the first file is read. `allow`: runtimes of other packages that the bundle
    may name.
    """
    manifest = _read_manifest(folder)
    check_allowed(RUNTIME, [manifest.runtime], allow, str(folder / MANIFEST))
    _check_names(folder, manifest)
    most = largest(manifest.runtime)
    for name, entry in manifest.files.items():
        if entry.bytes > most[name]:
            raise BundleError(
                str(folder / name), f"at most {most[name]} bytes", f"{entry.bytes} bytes", AGAIN
            )
        _check_size(folder / name, entry)
    kept = on_disk(manifest.runtime)
    files = {
        name: _read_sealed(folder, name, entry, most[name])
        for name, entry in manifest.files.items()
        if name not in kept
    }
    large = {
        name: _hashed(folder, name, entry) for name, entry in manifest.files.items() if name in kept
    }
    return Sealed(folder, manifest.runtime, files, large)


def is_bundle(folder: Path) -> bool:
    """Whether the folder holds a bundle's manifest and nothing that a bundle does not have; it may
    be damaged.
    """
    try:
        manifest = _read_manifest(folder)
        check_allowed(RUNTIME, [manifest.runtime], [manifest.runtime], str(folder / MANIFEST))
        _check_names(folder, manifest)
    except BundleError:
        return False
    return True


def _read_manifest(folder: Path) -> Manifest:
    if not folder.is_dir():
        raise BundleError(
            str(folder), "the folder of a bundle", "no folder of this name", "Check the path."
        )
    content = read_plain(folder / MANIFEST, MANIFEST_LIMITS.size_bytes)
    if found := json_limits.violation(content, MANIFEST_LIMITS):
        raise BundleError(str(folder / MANIFEST), *found, AGAIN)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        problem = f"{error.error_count()} faults ({error.errors(include_url=False)[0]['msg']})"
        raise BundleError(
            str(folder / MANIFEST), "a manifest of format 1", problem, AGAIN
        ) from None
    if manifest.rendered() != content:
        raise BundleError(
            str(folder / MANIFEST), "a manifest that agrees with its seal", "other content", AGAIN
        )
    return manifest


def _check_names(folder: Path, manifest: Manifest) -> None:
    allowed = largest(manifest.runtime)
    for name in manifest.files:
        if name not in allowed or not PLAIN_NAME.fullmatch(name):
            known = ", ".join(allowed)
            raise BundleError(
                str(folder / MANIFEST), f"the files of a bundle ({known})", repr(name), AGAIN
            )
    for name in allowed:
        if name not in manifest.files and name not in OPTIONAL:
            raise BundleError(str(folder / MANIFEST), f"an entry for {name}", "none", AGAIN)
    own = {MANIFEST, *manifest.files}
    foreign = sorted(
        islice((name for name in names_in(folder, own) if name not in own), MOST_SHOWN)
    )
    if foreign:
        raise BundleError(
            str(folder),
            "only the files of the manifest",
            f"also {', '.join(map(repr, foreign))}",
            "Remove what was added.",
        )


def names_in(folder: Path, known: Collection[str]) -> Iterator[str]:
    """Of all that is in the folder, and in those of its folders that hold known files. One after the
    other: a stranger's folder may hold a million.
    """
    below = {name.partition("/")[0] for name in known if "/" in name}
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name in below and entry.is_dir(follow_symlinks=False):
                with os.scandir(entry.path) as inner:
                    yield from (f"{entry.name}/{one.name}" for one in inner)
            else:
                yield entry.name


def _check_size(path: Path, entry: Entry) -> None:
    """Before anything is read: a file that is longer or shorter than its entry has other
    content.
    """
    try:
        facts = path.lstat()
    except OSError as error:
        raise BundleError(
            str(path), "a plain file", (error.strerror or "an error").lower(), AGAIN
        ) from None
    if stat.S_ISREG(facts.st_mode) and facts.st_size != entry.bytes:
        raise BundleError(str(path), f"{entry.bytes} bytes", f"{facts.st_size} bytes", AGAIN)


def _read_sealed(folder: Path, name: str, entry: Entry, most: int) -> bytes:
    path = folder / name
    content = read_plain(path, min(most, entry.bytes))
    if len(content) != entry.bytes:
        raise BundleError(str(path), f"{entry.bytes} bytes", f"{len(content)} bytes", AGAIN)
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise BundleError(str(path), f"SHA-256 {entry.sha256[:12]}…", f"{found[:12]}…", AGAIN)
    return content


def _hashed(folder: Path, name: str, entry: Entry) -> Path:
    """A file that is compared with its entry piece by piece, and not held."""
    path = folder / name
    with _opened(path) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != entry.sha256:
        raise BundleError(str(path), f"SHA-256 {entry.sha256[:12]}…", f"{found[:12]}…", AGAIN)
    return path


def read_plain(path: Path, largest: int) -> bytes:
    """The content of a regular file with one name, at most `largest` bytes. No link of either kind
    is followed.
    """
    with _opened(path) as file:
        content = file.read(largest + 1)
        size = os.fstat(file.fileno()).st_size
    if len(content) > largest:
        raise BundleError(
            str(path), f"at most {largest} bytes", f"{max(size, len(content))} bytes", AGAIN
        )
    return content


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """A regular file with one name. No link of either kind is followed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        found = (
            "a symbolic link"
            if error.errno == errno.ELOOP
            else (error.strerror or "an error").lower()
        )
        raise BundleError(str(path), "a plain file", found, AGAIN) from None
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise BundleError(str(path), "a plain file", "something else", AGAIN)
    with os.fdopen(handle, "rb") as file:
        if facts.st_nlink > 1:  # some network filesystems report 0
            found = f"{facts.st_nlink} hard links to it"
            raise BundleError(
                str(path),
                "a file with one name",
                found,
                "Copy the folder with `cp -r`, without links.",
            )
        yield file
