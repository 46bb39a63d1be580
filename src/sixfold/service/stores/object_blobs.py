"""Blobs in an object store, through fsspec: an object is whole or not there, so nothing has to be renamed.

Of an upload that is killed in the middle of a large object, parts stay that nobody sees: a rule of the bucket that ends
unfinished uploads after a day clears them.
"""

from __future__ import annotations

import errno
import io
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

BUFFER: Final = 8 << 20


class ObjectBlobs:
    """Under `prefix` of an fsspec file system."""

    def __init__(self, system: Any, prefix: str) -> None:
        self._system = system
        self._prefix = prefix.rstrip("/")
        self._used: dict[str, float] = {}  # when it was kept or asked for last, by `time.monotonic`
        self._opened = time.monotonic()

    @property
    def aside(self) -> Path:
        """This machine's folder of temporary files."""
        return Path(tempfile.gettempdir())

    def keep(self, path: Path, digest: str) -> None:
        """What is there with as many bytes stays: sending it again would cost its whole way."""
        self._used[digest] = time.monotonic()
        with as_os_errors():
            if self._size(digest) != path.stat().st_size:
                self._system.put_file(str(path), self._key(digest))

    def open(self, digest: str) -> BinaryIO:
        """Raises FileNotFoundError."""
        with as_os_errors():
            source = self._system.open(self._key(digest), "rb", block_size=BUFFER)
        return cast(BinaryIO, io.BufferedReader(ObjectReader(source), BUFFER))

    def has(self, digest: str) -> bool:
        """An object of that name."""
        self._used[digest] = time.monotonic()
        return self._size(digest) is not None

    def digests(self, unused_s: float) -> Iterator[str]:
        """In the store's order. Of use before this process nothing is known: nothing is unused until it has run for as long."""
        now = time.monotonic()
        if unused_s:
            self._used = {one: at for one, at in self._used.items() if now - at < unused_s}
            if now - self._opened < unused_s:
                return
        with as_os_errors():
            try:
                found = self._system.find(self._prefix)
            except FileNotFoundError:
                return
        for key in found:
            digest = key.rsplit("/", 1)[-1]
            if not unused_s or digest not in self._used:
                yield digest

    def remove(self, digest: str) -> int:
        """Its bytes."""
        size = self._size(digest)
        if size is None:
            return 0
        with as_os_errors():
            self._system.rm_file(self._key(digest))
        return size

    def _size(self, digest: str) -> int | None:
        with as_os_errors():
            try:
                return int(self._system.info(self._key(digest))["size"])
            except FileNotFoundError:
                return None

    def _key(self, digest: str) -> str:
        return f"{self._prefix}/{digest[:2]}/{digest[2:4]}/{digest}"


class ObjectReader(io.RawIOBase):
    """An object, read from its begin to its end."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def readable(self) -> bool:
        """And nothing else."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """How many bytes came."""
        with as_os_errors():
            block = self._source.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """The connection too."""
        self._source.close()
        super().close()


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Each store's client has errors of its own for a network or a server that is gone."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}"[:300]) from error
