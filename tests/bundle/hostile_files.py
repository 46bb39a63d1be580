"""Bundles that a stranger sealed again: files that take a reader's memory or time, by the file that
they stand for.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import tiny_bundle

from sixfold.bundle import manifest
from sixfold.bundle.page import START

MB = 1 << 20
Named = tuple[str, bytes]


def jsons(size: int) -> Iterator[Named]:
    """Texts of about `size` bytes that are hard on a reader of JSON, whatever they stand for."""
    yield "newlines", b"\n" * size
    yield "open brackets", b"[" * size
    yield "open braces", b'{"a":' * (size // 5)
    yield "closed brackets", b"[" * (size // 2) + b"]" * (size // 2)
    yield "keys", b"{" + b",".join(b'"k%d":1' % number for number in range(size // 12)) + b"}"
    yield "one key", b"{" + b",".join([b'"k":1'] * (size // 6)) + b"}"
    yield "zeros", b"[" + b"0," * (size // 2) + b"0]"
    yield "empty lists", b"[" + b"[]," * (size // 3) + b"[]]"
    yield "quotes", b'"' * size
    yield "escapes", b'"' + b'\\"' * (size // 2) + b'"'
    yield "escapes without an end", b'"' + b"\\\\" * (size // 2)
    yield "long number", b'{"task":' + b"9" * (size - 9) + b"}"
    yield "5,000 digits", b'{"task":' + b"9" * 5000 + b"}"
    yield "long fraction", b'{"task":0.' + b"1" * size + b"}"
    yield "large exponent", b'{"task":1e999999}'
    yield "long text", b'{"task":"' + b"a" * (size - 12) + b'"}'
    yield "no UTF-8", b'{"task":"' + b"\xff" * (size - 12) + b'"}'
    yield "nothing", b""
    yield "null", b"null"
    yield "NaN", b"NaN"


def signatures(size: int) -> Iterator[Named]:
    """Signatures that are valid but for being large, or for one field said over and over."""
    yield from jsons(size)
    whole = tiny_bundle.signature().model_dump(mode="json")
    first, colour = whole["inputs"][0], whole["inputs"][-1]
    for name, inputs in (
        ("columns", [{**first, "name": f"c{number}"} for number in range(size // 150)]),
        ("levels", [{**colour, "levels": [f"l{number}" for number in range(size // 10)]}]),
        ("levels that are numbers", [{**colour, "levels": list(range(size // 8))}]),
        ("a long level", [{**colour, "levels": ["x" * (size - 1000)]}]),
        ("a long name", [{**first, "name": "x" * (size - 1000)}]),
        ("unknown keys", [{**first, **{f"k{number}": 0 for number in range(size // 12)}}]),
        ("columns that are none", [0] * (size // 3)),
    ):
        yield name, json.dumps({**whole, "inputs": inputs}, separators=(",", ":")).encode()[:size]
    yield (
        "missing tokens",
        json.dumps({**whole, "missing": [str(n) for n in range(size // 10)]}).encode(),
    )
    yield "classes", json.dumps({**whole, "classes": [str(n) for n in range(size // 10)]}).encode()


def receipts(size: int) -> Iterator[Named]:
    yield from jsons(size)
    whole = tiny_bundle.parts().receipt.model_dump(mode="json")
    yield (
        "folds",
        json.dumps(
            {**whole, "quality": [{**whole["quality"][0], "folds_before": [0.5] * (size // 5)}]}
        ).encode(),
    )
    yield "a long name", json.dumps({**whole, "candidate": "x" * (size - 2000)}).encode()
    yield "a size of 400 digits", json.dumps({**whole, "rows_trained": int("9" * 400)}).encode()
    yield (
        "machines",
        json.dumps({**whole, "machine": {str(n): n for n in range(size // 16)}}).encode(),
    )


def reports(size: int) -> Iterator[Named]:
    yield from jsons(size)
    whole = json.loads(tiny_bundle.parts().report_json)
    count = size // 16
    curve = {"candidate": "by hand", "fold": 0, "epochs": list(range(count)), "loss": [0.5] * count}
    yield "a curve", json.dumps({**whole, "curves": [curve]}).encode()
    yield (
        "curves",
        json.dumps(
            {**whole, "curves": [{**curve, "epochs": [], "loss": []}] * (size // 60)}
        ).encode(),
    )
    yield "columns", json.dumps({**whole, "columns": whole["columns"][:1] * (size // 90)}).encode()
    yield "a verdict", json.dumps({**whole, "verdict": ["x" * 10] * (size // 14)}).encode()
    yield (
        "counts",
        json.dumps(
            {**whole, "confusion": {"classes": ["a"], "counts": [[1] * (size // 3)]}}
        ).encode(),
    )


def recipes(size: int) -> Iterator[Named]:
    start = "data: {source: a.csv, target: fate}\n"
    for name, text in (
        ("a number in base 60", f"seed: 1{':1' * (size // 2)}"),
        ("digits", f"name: {'9' * size}"),
        ("5,000 digits", f"serve: {{max_rows: {'9' * 5000}}}"),
        ("a size of 400 digits", f"serve: {{max_rows: {'9' * 400}}}"),
        ("underscores", f"name: {'1_' * (size // 2)}"),
        ("newlines", "\n" * size),
        ("comments", "#\n" * (size // 2)),
        ("lines of a text", "a\n" * (size // 2)),
        ("items", "a:\n" + "- b\n" * (size // 4)),
        ("flow", "a: [" + "b," * (size // 2) + "]"),
        ("keys", "".join(f"k{number}: 1\n" for number in range(size // 10))),
        ("open brackets", "[" * size),
        ("open braces", "{" * size),
        ("dashes", "- " * (size // 2)),
        ("questions", "? " * (size // 2)),
        ("quotes", "'" * size),
        ("an anchor in itself", "a: &a [*a]"),
        ("anchors", "a: &a b\nc: [" + "*a," * (size // 3) + "]"),
        (
            "many laughs",
            "a0: &a0 [x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
        ),
        (
            "merges",
            "a0: &a0 {x: 1}\n"
            + "".join(
                f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 9)
            ),
        ),
        ("a tag", "name: !!python/object/apply:os.system [ls]"),
        ("a boolean by tag", "name: !!bool foo"),
        ("a moment by tag", "name: !!timestamp x"),
        ("a number by tag", "name: !!int abc"),
        ("a long tag", f"name: !<{'a' * size}> b"),
        ("bytes by tag", "name: !!binary x"),
        ("a long key", f"{'k' * (size - 100)}: 1"),
        ("a long name", f"name: {'a' * size}"),
        ("two documents", "---\na: 1\n---\nb: 2"),
        ("a list", "- 1"),
        ("nothing", ""),
        ("a date", "2026-11-23"),
        ("half a character", 'name: "\\ud800"'),
        ("a control character", "name: \x01"),
        ("infinity", "data: {holdout: .inf}"),
    ):
        yield (
            name,
            (
                start + text if ": " in text and not text.startswith(("[", "{", "-", "?")) else text
            ).encode(),
        )
    yield "no UTF-8", b"name: \xff\xfe"


def stored_rows(size: int) -> Iterator[Named]:
    """Packed rows: small files of which some unpack to `size` bytes and more."""
    rows, columns = 4, [column.name for column in tiny_bundle.signature().inputs]
    honest = [json.dumps({"column": name, "values": ["1"] * rows}) for name in columns]
    labels = json.dumps({"output": "label", "values": ["keep"] * rows})
    for name, lines in (
        ("zeros", ["\0" * size]),
        ("newlines", ["\n" * size]),
        ("spaces", [" " * size]),
        ("open brackets", ["[" * size]),
        ("lists", ["[" + "[]," * (size // 3) + "[]]"]),
        ("values", ['{"column": "size", "values": [' + '"",' * (size // 3) + '""]}']),
        (
            "a long value",
            [*honest[1:], json.dumps({"column": "size", "values": ["9" * (size // 8)] * rows})],
        ),
        (
            "long labels",
            [*honest, json.dumps({"output": "label", "values": ["x" * (size // 8)] * rows})],
        ),
        (
            "numbers",
            [
                *honest,
                labels,
                '{"output": "probability", "columns": [[' + "0.5," * (size // 4) + "0.5]]}",
            ],
        ),
        (
            "empty columns",
            [
                *honest,
                labels,
                '{"output": "probability", "columns": [' + "[]," * (size // 3) + "[]]}",
            ],
        ),
        ("keys", ["{" + ",".join(f'"k{number}":1' for number in range(size // 12)) + "}"]),
        ("lines", honest * (size // 200)),
        (
            "a long number",
            [*honest, labels, f'{{"output": "probability", "columns": [[{"9" * (size // 2)}]]}}'],
        ),
        ("no number", [*honest, labels, '{"output": "probability", "columns": [["a"], ["b"]]}']),
        ("nothing", []),
        ("rows", ['{"row": {"size": "1"}, "expected": {"label": "keep"}}'] * (size // 60)),
        (
            "a moment of no calendar",
            [
                *honest[:3],
                json.dumps({"column": "since", "values": ["9" * 300] * rows}),
                honest[4],
                labels,
            ],
        ),
    ):
        yield name, gzip.compress("\n".join(lines).encode(), 9)
    packed = gzip.compress("\n".join([*honest, labels]).encode())
    yield "half of it", packed[: len(packed) // 2]
    yield "more behind it", packed + b"more"
    yield "twice", packed * 1000
    yield "no gzip", b"PK\x03\x04" * 100
    yield "nothing at all", b""


def pages(size: int) -> Iterator[Named]:
    yield "no policy", b"<!doctype html><script>alert(1)</script>"
    for name, text in (
        ("a script", "<script>alert(1)</script>"),
        ("a script in capitals", "<SCRIPT src=x>"),
        ("a refresh", "<meta http-equiv=refresh>"),
        ("a base", "<base href=x>"),
        ("a frame", "<iframe src=x>"),
        ("a form", "<form action=x>"),
        ("a link", "<link rel=dns-prefetch>"),
        ("an object", "<object data=x>"),
    ):
        yield name, f"{START}{text}".encode()
    yield "brackets, and a script at the end", START.encode() + b"<" * size + b"script>"


def manifests(size: int) -> Iterator[Named]:
    """In the place of manifest.json itself."""
    yield from jsons(size)
    entry = {"bytes": 1, "sha256": "0" * 64}
    yield (
        "files",
        json.dumps(
            {"version": "1", "files": {f"f{n}": entry for n in range(size // 100)}}
        ).encode(),
    )
    yield (
        "400 digits",
        b'{"version": "1", "files": {"model.onnx": {"bytes": %s, "sha256": "0"}}}' % (b"9" * 400),
    )


def attributions(size: int) -> Iterator[Named]:
    yield "a header of brackets", size.to_bytes(8, "little") + b"[" * size
    yield "a header longer than the file", b"\xff" * 8 + b" " * size
    names = b",".join(b'"%d":{"dtype":"U8"}' % number for number in range(size // 24))
    yield "a header of arrays", (len(names) + 2).to_bytes(8, "little") + b"{" + names + b"}"
    header = b'{"__metadata__":{},"cover":{"dtype":"U8","shape":[%s],"data_offsets":[0,1]}}'
    long = header % (b"9" * 30)
    yield "more than there is", len(long).to_bytes(8, "little") + long + b"x"


KINDS = {
    "explain.safetensors": attributions,
    "signature.json": signatures,
    "receipt.json": receipts,
    "report.json": reports,
    "recipe.yaml": recipes,
    "parity.jsonl.gz": stored_rows,
    "report.html": pages,
    "manifest.json": manifests,
}


def variants(size: int) -> Iterator[tuple[str, str, bytes]]:
    """File, name and content of every hostile file of about `size` bytes."""
    for file, kind in KINDS.items():
        most = manifest.LARGEST.get(file, MB)
        for name, content in kind(min(size, most) - 16):
            yield file, name, content


def seal(folder: Path, whole: dict[str, bytes], file: str, content: bytes) -> Path:
    """A bundle with this content in the place of one file, and a manifest that agrees."""
    folder.mkdir(parents=True)
    files = {**whole, file: content}
    rendered = content if file == manifest.MANIFEST else manifest.make("0.1.0", files).rendered()
    for name, each in {**files, manifest.MANIFEST: rendered}.items():
        (folder / name).write_bytes(each)
    return folder


def oversized(folder: Path, whole: dict[str, bytes], file: str, size: int) -> Path:
    """A file of `size` bytes of which the disk holds none, and a manifest that knows how long it
    is.
    """
    seal(folder, whole, file, b"")
    made = manifest.make("0.1.0", whole)
    entry = manifest.Entry(bytes=size, sha256=hashlib.sha256(b"").hexdigest())
    lying = made.model_copy(update={"files": {**made.files, file: entry}})
    (folder / manifest.MANIFEST).write_bytes(lying.rendered())
    with (folder / file).open("r+b") as handle:
        handle.truncate(size)
    return folder
