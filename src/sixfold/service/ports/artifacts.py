"""Bytes by their SHA-256: files, bundles, run folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from sixfold.service.domain.files import Tree


class Artifacts(Protocol):
    """A folder, or an object store. What is read is verified against its address: damaged bytes are an Unprocessable
    with the digest, never returned as if they were good.
    """

    def put(self, source: BinaryIO, most_bytes: int | None = None) -> tuple[str, int]:
        """Digest and bytes of what was stored. Raises QuotaExceeded once more than `most_bytes` came, and keeps nothing."""

    def put_tree(self, folder: Path) -> tuple[str, int]:
        """A folder of plain files (no links): the digest of its Tree, and its bytes."""

    def open(self, digest: str) -> BinaryIO:
        """Verified when read to its end: the last read of a damaged one raises. Raises NotFound."""

    def tree(self, digest: str) -> Tree:
        """Raises NotFound."""

    def fetch_tree(self, digest: str, folder: Path) -> None:
        """Verified, into a new folder: aside, then renamed. Raises NotFound, Unprocessable."""

    def has(self, digest: str) -> bool: ...
    def digests(self, unused_s: float = 0.0) -> Iterator[str]:
        """All; or those alone that nobody stored or asked `has` for within so many seconds."""

    def remove(self, digests: Iterable[str]) -> int:
        """How many bytes are free again."""
