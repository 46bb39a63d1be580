"""Packed files: the same bytes from each form, and refusals that are the same wherever a file is
read.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path
from typing import IO, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.bundle.stream import Source
from sixfold.core import archive
from sixfold.core.errors import DataError, SystemFault
from sixfold.data.load import load
from sixfold.recipe.schema import Data

TABLE = b"a,b,y\n1,x,p\n2,z,q\n3,x,p\n"
METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def zipped(
    members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, attribute: int = 0
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = attribute << 16, method
            made.writestr(info, content)
    return buffer.getvalue()


def encrypted(content: bytes) -> bytes:
    """With the flag of a password in both headers of the one file."""
    raw = bytearray(content)
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


@settings(max_examples=25)
@given(
    content=st.binary(max_size=5000),
    method=st.sampled_from([*METHODS, "gzip", "plain"]),
    size=st.integers(1, 700),
)
def test_every_form_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, method: str, size: int
) -> None:
    name = {"gzip": "t.csv.gz", "plain": "t.csv"}.get(method, "t.zip")
    path = tmp_path_factory.mktemp("archive") / name
    if method == "gzip":
        path.write_bytes(gzip.compress(content))
    else:
        path.write_bytes(
            content if method == "plain" else zipped({"folder/t.CSV": content}, METHODS[method])
        )
    assert archive.suffix(path) == ".csv"
    with archive.opened(path) as stream:
        assert stream.read() == content
    with archive.opened(path) as stream:
        assert b"".join(iter(lambda: stream.read(size), b"")) == content
    with archive.opened(path) as stream:
        assert io.BufferedReader(stream, size).read() == content
    with archive.seekable(path) as stream:
        stream.seek(len(content) // 2)
        assert stream.read() == content[len(content) // 2 :]


def broken(content: bytes, at: int) -> bytes:
    raw = bytearray(content)
    raw[at] ^= 0x01  # still UTF-8: only the checksum knows
    return bytes(raw)


LONG = b"a,y\n" + b"".join(b"%d,p\n" % (i * 7919) for i in range(3000))
REFUSED: dict[str, tuple[str, bytes, str]] = {
    "no gzip": ("t.csv.gz", TABLE, "expected a whole gzip file; found damage (Not a gzipped file"),
    "half a gzip": (
        "t.csv.gz",
        gzip.compress(LONG)[:-900],
        "expected a whole gzip file; found damage (Compressed file",
    ),
    "no zip": ("t.zip", TABLE, "expected a whole zip file; found damage (File is not a zip file)"),
    "half a zip": (
        "t.zip",
        zipped({"t.csv": LONG})[:-900],
        "expected a whole zip file; found damage",
    ),
    **{
        f"damaged {name}": (
            "t.zip",
            broken(zipped({"t.csv": LONG}, method), 400),
            "expected a whole zip file; found damage",
        )
        for name, method in METHODS.items()
    },
    "two": (
        "t.zip",
        zipped({"t.csv": TABLE, "u.csv": TABLE}),
        "a zip with exactly one file in it; found 2 files (t.csv, u",
    ),
    "none": ("t.zip", zipped({}), "found 0 files (none)"),
    "outside": ("t.zip", zipped({"../t.csv": TABLE}), "found a name that leads out of the archive"),
    "a link": ("t.zip", zipped({"t.csv": TABLE}, attribute=0o120777), "found a link"),
    "a password": ("t.zip", encrypted(zipped({"t.csv": TABLE})), "found an encrypted file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_training_and_prediction_refuse_in_the_same_four_parts(name: str, tmp_path: Path) -> None:
    file, content, text = REFUSED[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError) as trained:
        load(Data(source=file, target="y"), None, tmp_path)
    with pytest.raises(DataError) as predicted:
        list(Source.of(tmp_path / file).rows())
    assert vars(trained.value) == vars(predicted.value)
    assert text in str(trained.value)


def test_what_macos_adds_does_not_count_for_prediction_either(tmp_path: Path) -> None:
    (tmp_path / "t.zip").write_bytes(
        zipped({"t.csv": TABLE, "__MACOSX/._t.csv": b"x", "folder/": b""})
    )
    assert [row["b"] for row in Source.of(tmp_path / "t.zip").rows()] == ["x", "z", "x"]


@pytest.mark.parametrize("name", ["t.csv.gz", "t.zip"])
def test_bombs_are_refused_by_both(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BOMB_BYTES", 1 << 20)
    text = b"a,y\n" + b"0,p\n" * 600_000
    (tmp_path / name).write_bytes(
        gzip.compress(text) if name.endswith("gz") else zipped({"t.csv": text})
    )
    with pytest.raises(DataError) as trained:
        load(Data(source=name, target="y"), None, tmp_path)
    with pytest.raises(DataError) as predicted:
        for _ in Source.of(tmp_path / name).rows():
            pass
    assert vars(trained.value) == vars(predicted.value)
    assert "expected a file that unpacks to at most 200 times its size; found " in str(
        trained.value
    )


def test_reading_all_at_once_never_asks_for_more_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BOMB_BYTES", 5000)
    path = tmp_path / "t.gz"
    path.write_bytes(b"12345678")  # 200 times its size is less than 5,000
    asked: list[int] = []

    class Endless:
        def read(self, size: int) -> bytes:
            asked.append(size)
            return b"x" * size

    stream = archive.WatchedFile(cast(IO[bytes], Endless()), path, packed=True)
    assert len(stream.read(1000)) == 1000
    with pytest.raises(DataError, match=r"found more than 5\.0 kB"):
        stream.read()
    assert asked == [1000, 4001]


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(TABLE)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(SystemFault) as error, archive.opened(path):
        pass
    assert (
        str(error.value)
        == f"{path}: expected a file that may be read; found Permission denied. Change its permissions."
    )
