"""Bodies of the largest size that a server takes, each of which would cost far more than its bytes
if it were simply read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import tiny_bundle

LARGEST = 8 << 20
ROWS = 10_000
RECIPE = tiny_bundle.RECIPE.replace(
    "max_rows: 100, max_body: 64KiB", f"max_rows: {ROWS}, max_body: 8MiB"
)
HEADER = "size,label,new,since,colour\n"


class Body(NamedTuple):
    """A body, its type, where it is sent, and the status that is its answer if it is not refused as
    one too many.
    """

    name: str
    content: bytes
    status: int
    kind: str = "application/json"
    path: str = "/predict"

    def request(self) -> bytes:
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {self.kind}\r\n"
        return f"{head}Content-Length: {len(self.content)}\r\n\r\n".encode() + self.content


def largest(size: int = LARGEST, rows: int = ROWS) -> Iterator[Body]:
    """Every kind once. `size`: of each, about; `rows`: of those that are answered."""
    raw = dict(tiny_bundle.raw())
    each = (size - 200) // rows
    line = "1.5,2,true,2026-11-23,"
    yield Body(
        "csv",
        (HEADER + (line + "x" * (each - len(line) - 2) + "\n") * rows).encode(),
        200,
        "text/csv",
    )
    row = json.dumps(raw)
    spaced = json.dumps([raw])[1:-2] + " " * (each - len(row) - 2) + "}"
    yield Body("rows", f"[{','.join([spaced] * rows)}]".encode(), 200)
    text = json.dumps({**raw, "colour": "😀"}, ensure_ascii=False)
    long = [text.replace("😀", f"😀{n:0{each - len(text) - 6}d}") for n in range(rows)]
    yield Body("rows of wide text", f'{{"rows": [{",".join(long)}]}}'.encode(), 200)
    columns = {name: [value] * rows for name, value in raw.items()}
    columns["colour"] = [f"{n:0{each - 60}d}" for n in range(rows)]
    yield Body("columns", json.dumps({"columns": columns}).encode(), 200)
    yield from _values(size)
    yield from _texts(size)
    yield from _csv(size)
    yield from _forms(size)


def _values(size: int) -> Iterator[Body]:
    yield Body("empty objects", f"[{','.join(['{}'] * (size // 3 - 10))}]".encode(), 422)
    yield Body("empty lists", f"[{','.join(['[]'] * (size // 3 - 10))}]".encode(), 422)
    for name, value in (
        ("numbers", "1"),
        ("texts", '"ab"'),
        ("objects", "{}"),
        ("lists", "[]"),
        ("nulls", "null"),
    ):
        values = ",".join([value] * (size // (len(value) + 1) - 30))
        yield Body(f"a column of {name}", f'{{"columns":{{"size":[{values}]}}}}'.encode(), 413)
    tensor = {"name": "size", "shape": [ROWS], "datatype": "FP64", "data": "VALUES"}
    text = json.dumps({"inputs": [tensor]}).replace(
        '"VALUES"', f"[{','.join(['1.5'] * (size // 4 - 60))}]"
    )
    yield Body("a tensor of numbers", text.encode(), 413, path="/v2/models/tiny/infer")
    tensors = ",".join(['{"name":"size"}'] * (size // 16 - 10))
    yield Body("tensors", f'{{"inputs":[{tensors}]}}'.encode(), 413, path="/v2/models/tiny/infer")


def _texts(size: int) -> Iterator[Body]:
    keys = ",".join(f'"{n:07d}":1' for n in range(size // 12 - 10))
    yield Body("keys", f"[{{{keys}}}]".encode(), 413)
    yield Body("brackets", b"[" * size, 400)
    yield Body("braces", b'{"a":' * (size // 5), 400)
    yield Body("one text", b'["' + "é".encode() * (size // 2 - 10) + b'"]', 413)
    yield Body("digits", b'[{"size": "' + b"1" * (size - 60) + b'x"}]', 413)
    yield Body("a number", b"[" + b"1" * (size - 60) + b"]", 400)
    yield Body("spaces", b" " * size, 400)


def _csv(size: int) -> Iterator[Body]:
    yield Body(
        "a header of names",
        ",".join(f"a{n:07d}" for n in range(size // 9)).encode(),
        422,
        "text/csv",
    )
    yield Body("a header of nothing", b"," * size, 422, "text/csv")
    yield Body("a header of one name", b"a" * size, 422, "text/csv")
    yield Body("lines", b"\n" * size, 422, "text/csv")
    yield Body("short rows", (HEADER + "1,2,t,,r\n" * (size // 9 - 10)).encode(), 413, "text/csv")
    yield Body(
        "a record of lines", (HEADER + '"a\n",' * (size // 5 - 10)).encode(), 422, "text/csv"
    )
    yield Body("an open quote", (HEADER + '"' + "a\n" * (size // 2 - 30)).encode(), 422, "text/csv")


def _forms(size: int) -> Iterator[Body]:
    kind = "multipart/form-data; boundary=b"
    head = b'--b\r\nContent-Disposition: form-data; name="size"\r\n\r\n'
    yield Body("parts", (head + b"1\r\n") * (size // (len(head) + 3)), 413, kind)
    yield Body("a part", head + b"1" * (size - 200) + b"x\r\n--b--", 413, kind)
    yield Body("boundaries", b"--b\r\n" * (size // 5), 400, kind)
    yield Body("a boundary that nearly comes", head + b"\r\n--" * (size // 4 - 100), 400, kind)
    yield Body("a part without an end", head + b"\r" * (size - 200), 400, kind)
