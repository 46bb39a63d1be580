"""Proofs as lines of JSON in a gzip file: written by training, read by whoever serves."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from sixfold.core import json_limits
from sixfold.core.errors import BundleError
from sixfold.core.json_limits import JsonLimits
from sixfold.recipe.section import Section

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class StoredLines(Generic[S]):
    """A file of one object a line, at least one and `most` at most. `reader`: of all lines as a list;
    `noun`: what messages call several; `limits`: of all lines, unpacked; `remedy`: for a file that is none.
    """

    reader: TypeAdapter[list[S]]
    noun: str
    most: int
    limits: JsonLimits
    remedy: str

    def packed(self, lines: Sequence[S]) -> bytes:
        """The content of the file; the same lines give the same bytes."""
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
            for line in lines:
                file.write(line.model_dump_json(exclude_none=True).encode() + b"\n")
        return buffer.getvalue()

    def unpacked(self, content: bytes, where: str) -> list[S]:
        """Raises BundleError."""
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                text = file.read(self.limits.size_bytes + 1)
            document = b"[" + b",".join(text.split(b"\n")[:-1]) + b"]"
            if found := json_limits.violation(document, self.limits):
                raise BundleError(where, *found, self.remedy)
            lines = self.reader.validate_json(document)
        except (OSError, EOFError, zlib.error, ValidationError) as error:
            told = str(error).splitlines()[0][:200]
            raise BundleError(where, f"stored {self.noun}", told, self.remedy) from None
        if not 0 < len(lines) <= self.most:
            expected = f"1 to {self.most} {self.noun}"
            raise BundleError(where, expected, f"{len(lines):,}", self.remedy)
        return lines
