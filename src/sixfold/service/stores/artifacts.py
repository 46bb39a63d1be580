"""The Artifacts port: bytes are read, hashed and synced beside where they go, and only then get their address.

Where they go is a folder (`folder_blobs.py`) or an object store (`object_blobs.py`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

from sixfold.core.errors import SixfoldError
from sixfold.core.paths import safe_join, sync_folder
from sixfold.service.domain.errors import (
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    Unavailable,
    Unprocessable,
)
from sixfold.service.domain.files import Tree

BLOCK: Final = 1 << 20
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
MOST_FILES: Final = 100_000  # of a tree
MOST_NAME_BYTES: Final = 1000
MOST_TREE_BYTES: Final = 64 << 20  # of its JSON


class Blobs(Protocol):
    """Whole pieces of bytes by their digest; nobody else looks at what is in them."""

    @property
    def aside(self) -> Path:
        """A folder of this machine in which a piece is written before it is kept."""

    def keep(self, path: Path, digest: str) -> None:
        """Whole or not at all; `path` may be moved away."""

    def open(self, digest: str) -> BinaryIO:
        """Raises FileNotFoundError."""

    def has(self, digest: str) -> bool:
        """Not whether it is whole."""

    def digests(self, unused_s: float) -> Iterator[str]:
        """In any order; without those that were kept, or asked `has` for, within so many seconds."""

    def remove(self, digest: str) -> int:
        """How many bytes it had; 0 where there is none."""


class VerifiedReader(io.BufferedIOBase):
    """Hashes what is read: the read that meets the end raises Unprocessable where it is not what its address says. It cannot
    jump: what is left out would be left out of the hash.
    """

    def __init__(self, source: BinaryIO, digest: str) -> None:
        self._source = source
        self._digest = digest
        self._found = hashlib.sha256()

    def readable(self) -> bool:
        """And nothing else."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Fewer bytes than `size` come at the end alone."""
        wanted = -1 if size is None else size
        with told(f"artifact {self._digest}"):
            block = self._source.read(wanted)
        self._found.update(block)
        ended = wanted < 0 or len(block) < wanted
        if ended and self._found.hexdigest() != self._digest:
            raise Unprocessable(
                f"artifact {self._digest}",
                "the bytes that were stored",
                f"bytes of the SHA-256 {self._found.hexdigest()}",
                "They were damaged where they are kept: restore them from a backup.",
            )
        return block

    def read1(self, size: int = -1, /) -> bytes:
        """As `read`."""
        return self.read(size)

    def readinto(self, buffer: Any, /) -> int:
        """As `read`."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """The source too."""
        self._source.close()
        super().close()


class BlobArtifacts:
    """The port over Blobs."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs

    def put(self, source: BinaryIO, most_bytes: int | None = None) -> tuple[str, int]:
        """Raises QuotaExceeded, Unavailable."""
        with self._aside() as path:
            digest, size = hashlib.sha256(), 0
            with told("the store"), path.open("xb") as file:
                while block := source.read(BLOCK):
                    size += len(block)
                    if most_bytes is not None and size > most_bytes:
                        raise QuotaExceeded(
                            "the file",
                            f"at most {most_bytes:,} bytes",
                            "more",
                            "Send a smaller file, or ask for more room.",
                        )
                    digest.update(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            with told("the store"):
                self.blobs.keep(path, digest.hexdigest())
        return digest.hexdigest(), size

    def put_tree(self, folder: Path) -> tuple[str, int]:
        """Raises InvalidRequest for what is no plain file."""
        files, total = {}, 0
        for path in sorted(_plain_files(folder)):
            with _opened(path) as file:
                files[path.relative_to(folder).as_posix()], size = self.put(file)
                total += size
        digest, _ = self.put(io.BytesIO(tree_json(Tree(files))))
        return digest, total

    def open(self, digest: str) -> BinaryIO:
        """Raises NotFound."""
        missing = NotFound(
            f"artifact {digest[:64]!r}", "one that is stored", "none", "List what there is."
        )
        if not DIGEST.fullmatch(digest):
            raise missing
        try:
            with told(f"artifact {digest}"):
                return cast(BinaryIO, VerifiedReader(self.blobs.open(digest), digest))
        except FileNotFoundError:
            raise missing from None

    def tree(self, digest: str) -> Tree:
        """Raises NotFound, Unprocessable."""
        with self.open(digest) as file:
            text = file.read(MOST_TREE_BYTES + 1)
        return _tree_of(text, digest)

    def fetch_tree(self, digest: str, folder: Path) -> None:
        """Raises NotFound, Unprocessable, InvalidRequest where `folder` is there."""
        tree = self.tree(digest)
        if folder.exists() or folder.is_symlink():
            raise InvalidRequest(str(folder), "a new folder", "one that is there", "Remove it.")
        with told(str(folder)):
            folder.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for name, of_file in tree.files.items():
                self._fetch(of_file, _place(aside, name, digest))
            with told(str(folder)):
                for made, _, _ in os.walk(aside):
                    sync_folder(Path(made))
                aside.chmod(0o755)
                aside.rename(folder)
                sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def has(self, digest: str) -> bool:
        """Not whether it is whole."""
        with told("the store"):
            return DIGEST.fullmatch(digest) is not None and self.blobs.has(digest)

    def digests(self, unused_s: float = 0.0) -> Iterator[str]:
        """All that is stored, or what is unused for so long."""
        with told("the store"):
            yield from filter(DIGEST.fullmatch, self.blobs.digests(unused_s))

    def remove(self, digests: Iterable[str]) -> int:
        """How many bytes are free again."""
        with told("the store"):
            return sum(self.blobs.remove(one) for one in digests if DIGEST.fullmatch(one))

    def _fetch(self, digest: str, path: Path) -> None:
        with self.open(digest) as source, told(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                while block := source.read(BLOCK):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def _aside(self) -> Iterator[Path]:
        """A new file's path; nothing is left of it."""
        with told("the store"):
            folder = self.blobs.aside
            folder.mkdir(parents=True, exist_ok=True)
            own = Path(tempfile.mkdtemp(dir=folder))
        try:
            yield own / "piece"
        finally:
            shutil.rmtree(own, ignore_errors=True)


def tree_json(tree: Tree) -> bytes:
    """The one form whose SHA-256 is the tree's address."""
    return json.dumps({"files": tree.files}, sort_keys=True, separators=(",", ":")).encode()


def plain_name(name: str) -> bool:
    """Whether it names a file inside a folder, everywhere the same.

    >>> plain_name("stages/fit.json"), plain_name("a/../b"), plain_name("/a"), plain_name("a//b")
    (True, False, False, False)
    """
    parts = name.split("/")
    return (
        len(name.encode("utf-8", "replace")) <= MOST_NAME_BYTES
        and name.isprintable()
        and "\\" not in name
        and all(part.strip() and part not in (".", "..") for part in parts)
        and all(len(part.encode("utf-8", "replace")) <= 255 for part in parts)
    )


def _tree_of(text: bytes, digest: str) -> Tree:
    """What anybody may have uploaded: believed only where it is the form that `tree_json` writes."""
    found = None
    with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
        found = json.loads(text)["files"]
    if (
        isinstance(found, dict)
        and len(found) <= MOST_FILES
        and all(isinstance(of, str) and DIGEST.fullmatch(of) for of in found.values())
        and all(map(plain_name, found))
        and tree_json(Tree(found)) == text
    ):
        return Tree(found)
    raise Unprocessable(
        f"tree {digest}",
        "a list of plain file names and digests",
        "other bytes",
        "Send the digest of a folder that was stored.",
    )


def _place(folder: Path, name: str, digest: str) -> Path:
    """Raises Unprocessable where it is outside, or where a file is in the way."""
    try:
        path = safe_join(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
    except (SixfoldError, FileExistsError, NotADirectoryError) as error:
        raise Unprocessable(
            f"tree {digest}",
            "plain files in plain folders",
            repr(name[:80]),
            "Store the folder again.",
        ) from error
    return path


def _plain_files(folder: Path) -> Iterator[Path]:
    """Raises InvalidRequest for links, devices, and names that are not the same everywhere."""
    with told(str(folder)):
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        path = Path(entry.path)
        if not plain_name(entry.name):
            raise _odd(path, "a name that not every system takes")
        if entry.is_dir(follow_symlinks=False):
            yield from _plain_files(path)
        else:
            yield path


def _opened(path: Path) -> BinaryIO:
    """Looked at after it is open, so that nobody puts another one in its place."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _odd(path, error.strerror or str(error)) from error
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise _odd(path, "a link, a device or a pipe")


def _odd(path: Path, found: str) -> InvalidRequest:
    return InvalidRequest(
        repr(str(path)),
        "plain files, each with one name",
        found,
        "Copy the files into a folder of their own.",
    )


@contextmanager
def told(where: str) -> Iterator[None]:
    """Raises Unavailable for what the disk or the object store refuses; a missing file stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise Unavailable(
            where,
            "free disk space" if full else "a store that can be read and written",
            error.strerror or str(error) or type(error).__name__,
            "Free some space, then send it again." if full else "Look at the disk or the network.",
        ) from error
