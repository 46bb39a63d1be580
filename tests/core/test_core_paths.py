"""Files are written whole or not at all; names cannot leave their folder."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from sixfold.core import paths
from sixfold.core.errors import SixfoldError, SystemFault


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "", "a/../../x", "."])
def test_a_name_that_leaves_its_folder(tmp_path: Path, name: str) -> None:
    if name == ".":
        assert paths.safe_join(tmp_path, name) == tmp_path.resolve()
        return
    with pytest.raises(SixfoldError) as caught:
        paths.safe_join(tmp_path, name)
    assert str(caught.value) == (
        f"{tmp_path}: expected a file name inside this folder; found {name!r}. Use a plain relative name."
    )


def test_a_link_that_leaves_its_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(SixfoldError):
        paths.safe_join(tmp_path / "in", "link/secret")
    assert (
        paths.safe_join(tmp_path / "in", "a/b.txt") == (tmp_path / "in" / "a" / "b.txt").resolve()
    )


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    paths.write_atomic(path, "älter")
    paths.write_atomic(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    paths.write_atomic(path, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemFault) as caught:
        paths.write_atomic(path, "new")
    assert str(caught.value) == (
        f"{path}: expected free disk space; found No space left on device. Free some space and run the same command: "
        "finished stages are kept."
    )
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (
            errno.EROFS,
            "expected a writable folder; found Read-only file system. Choose another folder with --out.",
        ),
        (
            errno.EACCES,
            "expected a writable folder; found Permission denied. Choose another folder with --out, or change its permissions.",
        ),
        (
            errno.ENOENT,
            "expected a file that can be written; found No such file or directory. Look at the path and the disk.",
        ),
    ],
)
def test_refusals_of_the_system(number: int, text: str) -> None:
    assert str(paths.system_fault(Path("x"), OSError(number, os.strerror(number)))) == f"x: {text}"


def test_a_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "a").write_bytes(data)
    assert paths.sha256_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()
