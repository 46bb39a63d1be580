"""Texts as tokens, one after the other in one file of the run: a corpus need not fit into memory.

Each text stands there from the id that starts it to the one that ends it. An id that is not to be
learned (of a question in a chat) stands as its complement, ~id, which is negative.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from sixfold.parts.fit import Features
from sixfold.parts.scratch import SCRATCH
from sixfold.parts.stored import StoredFeatures
from sixfold.parts.stored_texts import few_at_once
from sixfold.parts.table import IntArray
from sixfold.parts.text_tokenizer import TextTokenizer

Ids = npt.NDArray[np.int32]
ID_BYTES: Final = 4
AT_ONCE: Final = 512  # texts that are encoded together,
CHARACTERS: Final = (
    1 << 18
)  # as long as they have no more: their tokens take some 10 MB in the library


class TokenRow(NamedTuple):
    """One example: `ids` int32, complements where nothing is learned; `size_bytes`: of what is
    learned, as text in UTF-8.
    """

    ids: Ids
    size_bytes: int


def stored_tokens(x: Features) -> StoredTokens:
    """`x`, which has to be one. Raises TypeError for features of another kind."""
    if not isinstance(x, StoredTokens):
        raise TypeError(f"{type(x).__name__} holds no tokens of texts")
    return x


Encoder = Callable[[Sequence[str]], Iterable[TokenRow]]
"""What rows of a column become. The seam for conversations: a row is text here."""


@dataclass(frozen=True)
class StoredTokens(StoredFeatures):
    """`starts`: int64 [rows of the file + 1], the place of each text's first id; `sizes`: int64, what
    of each is learned, in bytes of UTF-8; `rows`: which of them this is a view of. `tokenizer`: whose
    ids they are; `whole`: whether no text may be cut, as it is one example of a fine-tuning;
    `rejected`: of examples that are preferences the worse answers, the better ones are these.
    """

    path: Path
    starts: IntArray
    sizes: IntArray
    rows: IntArray
    tokenizer: TextTokenizer
    whole: bool = False
    rejected: StoredTokens | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and 1: each is one text."""
        return len(self.rows), 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""
        return np.dtype(np.int32)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: IntArray) -> Self:
        """A view of some rows; reads nothing."""
        rejected = None if self.rejected is None else self.rejected.take(rows)
        return replace(self, rows=self.rows[rows], rejected=rejected)

    def largest(self) -> float:
        """Of any id."""
        return float(self.tokenizer.vocabulary - 1)

    @property
    def of_file(self) -> int:
        """Ids of the whole file, whatever rows this is a view of."""
        return int(self.starts[-1])

    @property
    def lengths(self) -> IntArray:
        """int64 [rows] ids of each, that which starts and that which ends it among them."""
        return (self.starts[1:] - self.starts[:-1])[self.rows]

    @property
    def size_bytes(self) -> IntArray:
        """int64 [rows], of what is learned of each, as text in UTF-8."""
        return self.sizes[self.rows]

    def opened(self) -> Ids:
        """All ids of the file, mapped into memory."""
        return np.memmap(self.path, dtype=np.int32, mode="r")

    def texts(self) -> Iterator[Ids]:
        """The ids of each row, read one by one."""
        with self.path.open("rb", buffering=0) as file:
            for row in self.rows.tolist():
                start, stop = self.starts[row : row + 2].tolist()
                content = os.pread(file.fileno(), ID_BYTES * (stop - start), ID_BYTES * start)
                yield np.frombuffer(content, dtype=np.int32)


def plain_rows(tokenizer: TextTokenizer) -> Encoder:
    """An example is a text, of which everything is learned but the id that starts it."""

    def encode(texts: Sequence[str]) -> Iterator[TokenRow]:
        for text, ids in zip(texts, tokenizer.encode(texts), strict=True):
            row = np.empty(len(ids) + 2, dtype=np.int32)
            row[0], row[1:-1], row[-1] = ~tokenizer.start, ids, tokenizer.end
            yield TokenRow(row, len(text.encode("utf-8", "surrogatepass")))

    return encode


def store(
    texts: Sequence[str], tokenizer: TextTokenizer, encode: Encoder, whole: bool = False
) -> StoredTokens:
    """Encode all of them into a file of the scratch folder; one that is there already is read. Raises
    BudgetError where the disk has no room.
    """
    path = SCRATCH.folder() / f"tokens-{_digest(texts, tokenizer)[:32]}.int32"
    facts = path.with_suffix(".npy")
    if not facts.is_file():
        _write(texts, encode, path, facts)
    table = np.load(facts, allow_pickle=False)
    return StoredTokens(path, table[0], table[1][:-1], np.arange(len(texts)), tokenizer, whole)


def _write(texts: Sequence[str], encode: Encoder, path: Path, facts: Path) -> None:
    """The file, and behind it what says that it is whole: [2, rows + 1] starts, and sizes."""
    starts, sizes = array("q", [0]), array("q")
    own = f".{os.getpid()}.tmp.npy"  # another worker may write the same
    aside, told = path.with_suffix(own), facts.with_suffix(own + ".npy")
    with aside.open("wb") as file:
        for some in few_at_once(texts, AT_ONCE, CHARACTERS):
            for row in encode(some):
                starts.append(starts[-1] + len(row.ids))
                sizes.append(row.size_bytes)
                file.write(np.ascontiguousarray(row.ids, dtype=np.int32).data)
            SCRATCH.check_disk(file.tell(), "room for the tokens of all texts")
    sizes.append(0)
    np.save(told, np.array([starts, sizes], dtype=np.int64), allow_pickle=False)
    aside.replace(path)
    told.replace(facts)


def _digest(texts: Sequence[str], tokenizer: TextTokenizer) -> str:
    sha = hashlib.sha256(tokenizer.digest.encode())
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        sha.update(len(content).to_bytes(8, "little"))
        sha.update(content)
    return sha.hexdigest()
