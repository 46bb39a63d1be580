"""The rows of a large JSON body one after the other: neither its whole text nor all of its values
are held at once.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

from sixfold.bundle.frontend import most_columns
from sixfold.bundle.modality_reader import modalities, reader_of
from sixfold.recipe.signature import Signature
from sixfold.serve.errors import Refusal, bad_request

WINDOW: Final = 64 << 10  # bytes that become text at once
LONGEST_ROW: Final = (
    64 << 10
)  # characters, or as many as a column may have, by the number of columns
OF_COLUMN: Final = 1 << 10
MOST_ROW: Final = 1 << 20  # with a column of text; with a column of files as long as the body
MOST_VALUES: Final = (
    100_000  # of a row, by its commas: of a long one, which takes memory for each; guessed
)
DEEP: Final = "too many brackets inside each other"
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_OPENING: Final = re.compile(rb'[ \t\n\r]*(?:(\{)[ \t\n\r]*"rows"[ \t\n\r]*:[ \t\n\r]*)?\[')

Scan = Callable[[str, int], tuple[Any, int]]


def longest_row(signature: Signature) -> int:
    """Characters of a row that a large body may have."""
    readers = list(map(reader_of, modalities(signature)))
    if any(reader.in_files for reader in readers):
        return sys.maxsize  # the body is bounded, and base64 has no commas
    if readers:
        return MOST_ROW
    return min(MOST_ROW, max(LONGEST_ROW, most_columns(signature) * OF_COLUMN))


def no_json(found: str) -> Refusal:
    """400: JSON by the letter is asked for. `found`: what stands there; hints for Python's users
    are cut.
    """
    return bad_request("the body", "JSON", found.split(";")[0], "Send null for a missing value.")


class JsonRows(Iterator[Any]):
    """The rows of `[row, …]` or `{"rows": [row, …]}`. `is_list`: whether `content` begins as one of
    these.

    `scan`: text and place → a JSON value and its end (json.JSONDecoder.raw_decode). `longest`:
    characters of a row. Raises Refusal 400 or 413.
    """

    def __init__(self, content: bytes | bytearray, scan: Scan, longest: int) -> None:
        opening = _OPENING.match(content)
        self.is_list = opening is not None
        self._rest = memoryview(content)[opening.end() if opening else 0 :]
        self._closing = ["]", "}"] if opening and opening[1] else ["]"]
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._scan, self._longest = scan, longest
        self._text, self._at, self._size = "", 0, len(content)
        head = bytes(content[: len(content) - len(self._rest)])
        self._line, self._column = (
            1 + head.count(b"\n"),
            len(head) - head.rfind(b"\n"),
        )  # of the text's first character
        self._first = True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if not self._closing:
            raise StopIteration
        letter = self._peek()
        if self._first and letter != "]":
            self._first = False
            return self._row()
        if not self._first and letter == ",":
            self._at += 1
            self._peek()
            return self._row()
        self._end()
        raise StopIteration

    def close(self) -> None:
        """The content is no longer read."""
        self._rest.release()

    def _row(self) -> Any:
        """The value that begins here; more of the text is read until it is whole."""
        window = WINDOW
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                broken = error
            except RecursionError:
                raise no_json(DEEP) from None
            except ValueError as error:
                raise no_json(str(error)) from None
            else:
                if not self._rest or self._is_whole(value, end):
                    self._at = end
                    return value
                broken = json.JSONDecodeError("Expecting ',' delimiter", self._text, end)
            if not self._rest:
                raise no_json(f"{broken.msg} at {self._place(broken.pos)}")
            self._check_length()
            self._more(window)
            window *= 2  # so that a long row is not read again and again

    def _check_length(self) -> None:
        """Of the row that is not whole yet. Raises Refusal 413."""
        where, remedy = f"the body, {self._place(self._at)}", "Check the quotes and the brackets."
        if len(self._text) - self._at > self._longest:
            allowed = f"rows of at most {self._longest:,} characters"
            raise Refusal(413, where, allowed, "a longer one, or no JSON", remedy)
        if self._text.count(",", self._at) > MOST_VALUES:
            raise Refusal(
                413, where, f"rows of at most {MOST_VALUES:,} values", "more, or no JSON", remedy
            )

    def _is_whole(self, value: Any, end: int) -> bool:
        """Whether no more text could make another value of it; "0." is the beginning of a number,
        and 0 all of one.
        """
        return end < len(self._text) and (
            not isinstance(value, int | float) or self._text[end] in " \t\n\r,]"
        )

    def _end(self) -> None:
        """Nothing but the closing brackets follows."""
        for expected in self._closing:
            found = self._peek()
            if found != expected:
                raise no_json(
                    f"{found or 'the end'!r} in the place of {expected!r} at {self._place(self._at)}"
                )
            self._at += 1
        self._closing = []
        if self._peek():
            raise no_json(f"Extra data at {self._place(self._at)}")

    def _peek(self) -> str:
        """The next character that is no space; none at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._rest:
                return ""
            self._more(WINDOW)

    def _more(self, size: int) -> None:
        """Drop the text that was read, and add the next bytes."""
        self._line, self._column = self._position(self._at)
        part, self._rest = self._rest[:size], self._rest[size:]
        start = self._size - len(self._rest) - len(part)
        try:
            self._text = self._text[self._at :] + self._decode(bytes(part), not self._rest)
        except UnicodeDecodeError as error:
            found = f"{error.reason} near byte {start + error.start}"
            raise bad_request("the body", "UTF-8", found, "Encode it as UTF-8.") from None
        self._at = 0

    def _position(self, at: int) -> tuple[int, int]:
        lines = self._text.count("\n", 0, at)
        return self._line + lines, at - self._text.rfind(
            "\n", 0, at
        ) if lines else self._column + at

    def _place(self, at: int) -> str:
        line, column = self._position(at)
        return f"line {line}, column {column}"
