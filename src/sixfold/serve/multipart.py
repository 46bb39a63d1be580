"""multipart/form-data (RFC 7578) of a whole body: fields and files become columns of raw values.

By hand on `bytes.find`: the body is here already and bounded, so that a streaming parser would be
one more package in the serving process. The tests hold it against python-multipart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sixfold.bundle.frontend import shorten
from sixfold.bundle.modality_reader import reader_of
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.signature import Signature
from sixfold.serve.errors import Refusal, bad_request

FORM: Final = "multipart/form-data"
MOST_PARTS: Final = 10_000  # of a body: rows times columns; guessed
LONGEST_HEAD: Final = 4 << 10  # bytes of a part's headers; guessed
MOST_HEADERS: Final = 8  # of a part: three are in use
LONGEST_VALUE: Final = 64 << 10  # bytes of a number, a category, a boolean or a date; guessed
LONGEST_BOUNDARY: Final = 70  # RFC 2046
REMEDY: Final = (
    "Let a client write the form: curl --form 'column=@file', requests.post(files=…), FormData."
)
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(
    rf'[ \t]*;[ \t]*({_WORD})[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"\s]*)[ \t]*', re.DOTALL
)
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]*[0-9A-Za-z'()+_,./:=?-]")
_ESCAPED: Final = re.compile(r'\\(["\\])')
_PLAIN_CODINGS: Final = ("", "binary", "7bit", "8bit")


@dataclass(frozen=True)
class Part:
    """One field or file. `place` names it in messages; `is_file`: it has a file's name, or a type
    other than text.
    """

    name: str
    content: bytes
    is_file: bool
    place: str


class Form:
    """Reads forms whose fields are named as the columns of a signature; a field that comes n times
    is n rows.
    """

    def __init__(self, signature: Signature) -> None:
        self._names = {column.name for column in signature.inputs} | {
            *signature.target,
            *signature.fields,
        }
        modal = [column for column in signature.inputs if column.type not in PLAIN_KINDS]
        self._files = {column.name for column in modal if reader_of(column.type).in_files}
        self._long = {column.name for column in modal}

    def columns(self, content: bytes | bytearray, content_type: str) -> dict[str, list[Any]]:
        """Column → raw values: bytes of a file in a column of images, else text; '' is missing.

        Raises Refusal 400, 413 or 415.
        """
        found: dict[str, list[Any]] = {}
        for part in parts(content, boundary_of(content_type)):
            name = self._column(part.name)
            if len(part.content) > LONGEST_VALUE and name not in self._long:
                found_bytes = f"{len(part.content):,}"
                raise Refusal(
                    413,
                    part.place,
                    f"at most {LONGEST_VALUE:,} bytes",
                    found_bytes,
                    "Check the field's name.",
                )
            as_bytes = (
                name in self._files or name not in self._names
            )  # which the front end refuses by its name
            value = part.content if part.is_file and as_bytes else _text(part)
            found.setdefault(name, []).append(value)
        return found

    def _column(self, name: str) -> str:
        """The column that is meant: clients write a quote in a name as it is, as %22 (HTML), or
        with a backslash before it.
        """
        html = name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
        return next(
            (one for one in (name, _ESCAPED.sub(r"\1", name), html) if one in self._names), name
        )


def boundary_of(content_type: str) -> bytes:
    """What stands between the parts, from the Content-Type of the body. Raises Refusal 400."""
    _, semicolon, rest = content_type.partition(";")
    found = _parameters(semicolon + rest, "Content-Type").get("boundary", "")
    if len(found) > LONGEST_BOUNDARY or not _BOUNDARY.fullmatch(found):
        allowed = f"a boundary of 1 to {LONGEST_BOUNDARY} characters that RFC 2046 allows"
        raise bad_request(
            "Content-Type", allowed, f"'{shorten(found)}'" if found else "none", REMEDY
        )
    return found.encode()


def parts(content: bytes | bytearray, boundary: bytes) -> Iterator[Part]:
    """Every part in order. Raises Refusal 400, 413 or 415."""
    first, between = b"--" + boundary, b"\r\n--" + boundary
    if not content.startswith(first):
        raise bad_request(
            "the body", f"the boundary '{shorten(first.decode())}' first", _shown(content), REMEDY
        )
    at, number = len(first), 0
    while content[at : at + 2] != b"--":
        number += 1
        if number > MOST_PARTS:
            raise Refusal(
                413, "the body", f"at most {MOST_PARTS:,} parts", "more", "Send several requests."
            )
        head_end = _head_end(content, at, number)
        end = content.find(between, head_end)
        if end < 0:
            raise bad_request(
                f"part {number}", "the boundary behind it", "the end of the body", REMEDY
            )
        yield _part(bytes(content[at:head_end]), bytes(content[head_end:end]), number)
        at = end + len(between)
    if rest := bytes(content[at + 2 :]).strip(b" \t\r\n"):
        raise bad_request("the body", "nothing behind the last boundary", _shown(rest), REMEDY)


def _head_end(content: bytes | bytearray, at: int, number: int) -> int:
    """Where a part's headers, which begin behind a boundary, end with an empty line. Raises Refusal
    400.
    """
    end = content.find(b"\r\n\r\n", at, at + LONGEST_HEAD)
    if end < 0:
        allowed = f"headers of at most {LONGEST_HEAD:,} bytes and an empty line"
        raise bad_request(f"part {number}", allowed, _shown(content[at : at + 100]), REMEDY)
    return end + 4


def _part(head: bytes, content: bytes, number: int) -> Part:
    headers = _headers(head, f"part {number}")
    kind, semicolon, rest = headers.get("content-disposition", "").partition(";")
    given = _parameters(semicolon + rest, f"part {number}, Content-Disposition")
    if kind.strip().lower() != "form-data" or not given.get("name"):
        found = f"'{shorten(headers.get('content-disposition', ''))}'"
        raise bad_request(
            f"part {number}, Content-Disposition", 'form-data; name="COLUMN"', found, REMEDY
        )
    place = f"part {number}, field '{shorten(given['name'])}'"
    coding = headers.get("content-transfer-encoding", "").lower()
    if coding not in _PLAIN_CODINGS:
        where = f"{place}, Content-Transfer-Encoding"
        raise Refusal(415, where, "binary", f"'{shorten(coding)}'", "Send the bytes as they are.")
    type_of = headers.get("content-type", "text/plain").lower()
    if type_of.startswith("multipart/"):
        raise Refusal(
            415,
            place,
            "a field or a file",
            f"'{shorten(type_of)}'",
            "Send each file as a part of its own.",
        )
    is_file = "filename" in given or "filename*" in given or not type_of.startswith("text/")
    return Part(given["name"], content, is_file, place)


def _headers(head: bytes, where: str) -> dict[str, str]:
    """Lower-case name → value, each once. Raises Refusal 400."""
    try:
        start, *lines = head.decode().removesuffix("\r\n\r\n").split("\r\n")
    except UnicodeDecodeError as error:
        raise bad_request(
            where, "headers in UTF-8", f"{error.reason} at byte {error.start}", REMEDY
        ) from None
    if start.strip(" \t") or len(lines) > MOST_HEADERS:
        found = (
            f"{len(lines)} headers"
            if not start.strip(" \t")
            else f"'{shorten(start)}' behind the boundary"
        )
        raise bad_request(
            where,
            f"a line end behind the boundary, and at most {MOST_HEADERS} headers",
            found,
            REMEDY,
        )
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(_WORD, name) or name.lower() in headers:
            raise bad_request(
                where, "headers as 'Name: value', each once", f"'{shorten(line)}'", REMEDY
            )
        headers[name.lower()] = value.strip(" \t")
    return headers


def _parameters(text: str, where: str) -> dict[str, str]:
    """`; name="value"; …` → lower-case name → value, each once, with the escapes that it has.
    Raises Refusal 400.
    """
    text, at, found = text.rstrip("; \t"), 0, dict[str, str]()
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None or match[1].lower() in found:
            raise bad_request(
                where, 'parameters as name="value", each once', f"'{shorten(text[at:])}'", REMEDY
            )
        found[match[1].lower()] = match[2][1:-1] if match[2].startswith('"') else match[2]
        at = match.end()
    return found


def _text(part: Part) -> str:
    """Raises Refusal 400."""
    try:
        return part.content.decode()
    except UnicodeDecodeError as error:
        remedy = "Encode text as UTF-8; files are taken as they are in columns of images."
        raise bad_request(
            part.place, "UTF-8", f"{error.reason} at byte {error.start}", remedy
        ) from None


def _shown(content: bytes | bytearray) -> str:
    """How something that does not fit begins."""
    start = bytes(content[:40]).decode("utf-8", "backslashreplace")
    return f"'{shorten(start)}'" if start else "nothing"
