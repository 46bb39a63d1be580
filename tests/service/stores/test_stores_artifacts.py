"""The Artifacts port over a folder and over an S3-speaking server."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sixfold.service.domain.errors import (
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    Unavailable,
    Unprocessable,
)
from sixfold.service.domain.files import Tree
from sixfold.service.stores import open_artifacts
from sixfold.service.stores.artifacts import BlobArtifacts, tree_json

BIG = os.urandom(3 << 20)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(artifacts: BlobArtifacts, content: bytes) -> str:
    return artifacts.put(io.BytesIO(content))[0]


def folder_of(path: Path, **files: bytes) -> Path:
    for name, content in files.items():
        place = path / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [b"", b"x", BIG], ids=["empty", "small", "big"])
def test_bytes_come_back_under_their_digest(artifacts: BlobArtifacts, content: bytes) -> None:
    assert artifacts.put(io.BytesIO(content)) == (sha(content), len(content))
    assert artifacts.has(sha(content))
    with artifacts.open(sha(content)) as file:
        assert file.read() == content
    with artifacts.open(sha(content)) as file:
        copied = io.BytesIO()
        shutil.copyfileobj(file, copied, 65_537)
    assert copied.getvalue() == content
    assert put(artifacts, content) == sha(content)
    assert list(artifacts.digests()) == [sha(content)]
    assert artifacts.remove([sha(content), sha(b"none"), "../.."]) == len(content)
    assert not artifacts.has(sha(content))
    assert list(artifacts.digests()) == []


@pytest.mark.parametrize("digest", ["ab" * 32, "", "../../etc/passwd", "AB" * 32, "\0"])
def test_what_is_not_there_is_not_found(artifacts: BlobArtifacts, digest: str) -> None:
    assert not artifacts.has(digest)
    with pytest.raises(NotFound):
        artifacts.open(digest)
    with pytest.raises(NotFound):
        artifacts.tree(digest)


def test_too_much_is_refused_and_nothing_is_kept(artifacts: BlobArtifacts) -> None:
    with pytest.raises(QuotaExceeded, match="at most 1,000 bytes"):
        artifacts.put(io.BytesIO(BIG), most_bytes=1000)
    assert list(artifacts.digests()) == []
    assert artifacts.put(io.BytesIO(b"x" * 1000), most_bytes=1000)[1] == 1000


def test_a_folder_comes_back_as_it_was(artifacts: BlobArtifacts, tmp_path: Path) -> None:
    source = folder_of(tmp_path / "a", model=BIG, stages__fit=b"1", stages__deep__empty=b"")
    digest, size = artifacts.put_tree(source)
    assert size == len(BIG) + 1
    assert set(artifacts.tree(digest).files) == {"model", "stages/fit", "stages/deep/empty"}
    artifacts.fetch_tree(digest, tmp_path / "b" / "c")
    for name in artifacts.tree(digest).files:
        assert (tmp_path / "b" / "c" / name).read_bytes() == (source / name).read_bytes()
    with pytest.raises(InvalidRequest, match="a new folder"):
        artifacts.fetch_tree(digest, tmp_path / "b" / "c")
    assert artifacts.put_tree(tmp_path / "b" / "c") == (digest, size)


def test_a_tree_of_which_a_file_is_missing_leaves_nothing(
    artifacts: BlobArtifacts, tmp_path: Path
) -> None:
    digest, _ = artifacts.put_tree(folder_of(tmp_path / "a", one=b"1", two=b"2"))
    artifacts.remove([sha(b"2")])
    with pytest.raises(NotFound):
        artifacts.fetch_tree(digest, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir() if "b" in path.name] == []


NAMES = [
    "../a",
    "/etc/passwd",
    "a/../../b",
    "a//b",
    "./a",
    "",
    "a\0b",
    "a\\b",
    "a/",
    " ",
    "x" * 999,
]
NAMES += ["..", "a\nb", "a/" * 600 + "b"]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_tree_writes_nothing(artifacts: BlobArtifacts, tmp_path: Path, name: str) -> None:
    digest = put(artifacts, tree_json(Tree({name: put(artifacts, b"evil")})))
    with pytest.raises(Unprocessable, match="a list of plain file names and digests"):
        artifacts.fetch_tree(digest, tmp_path / "deep" / "folder")
    assert not (tmp_path / "deep").exists() or list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"files":[]}',
        b'{"files":{"a":1}}',
        b'{"files":{"a":"xyz"}}',
        b'{"files": {}}',
        b"[" * 100_000,
    ],
)
def test_bytes_that_are_no_tree_are_told(artifacts: BlobArtifacts, text: bytes) -> None:
    with pytest.raises(Unprocessable, match="a list of plain file names"):
        artifacts.tree(put(artifacts, text))


def test_a_file_in_the_way_of_a_folder_is_told(artifacts: BlobArtifacts, tmp_path: Path) -> None:
    one = put(artifacts, b"1")
    digest = put(artifacts, tree_json(Tree({"a": one, "a/b": one})))
    with pytest.raises(Unprocessable, match="plain files in plain folders"):
        artifacts.fetch_tree(digest, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("kind", ["symbolic link", "link to a folder", "hard link", "pipe", "name"])
def test_a_folder_with_what_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    artifacts = open_artifacts(tmp_path / "artifacts")
    source, outside = folder_of(tmp_path / "a", fine=b"1"), tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    make = {
        "symbolic link": lambda: (source / "bad").symlink_to(outside / "secret"),
        "link to a folder": lambda: (source / "bad").symlink_to(outside),
        "hard link": lambda: (source / "bad").hardlink_to(outside / "secret"),
        "pipe": lambda: os.mkfifo(source / "bad"),
        "name": lambda: (source / "b\nad").write_text("1"),
    }
    make[kind]()
    with pytest.raises(InvalidRequest, match="plain files, each with one name"):
        artifacts.put_tree(source)
    assert not artifacts.has(sha(b"secret"))


def stored(root: Path, digest: str) -> Path:
    return root / digest[:2] / digest[2:4] / digest


@pytest.mark.parametrize("at", [0, 1 << 20, len(BIG) - 1])
@pytest.mark.parametrize("how", ["flipped", "cut", "longer"])
def test_damaged_bytes_are_never_read_to_their_end(tmp_path: Path, at: int, how: str) -> None:
    artifacts = open_artifacts(tmp_path / "artifacts")
    digest = put(artifacts, BIG)
    place = stored(tmp_path / "artifacts", digest)
    place.chmod(0o644)
    changed = bytearray(BIG)
    changed[at] ^= 1
    place.write_bytes({"flipped": changed, "cut": BIG[:at], "longer": BIG + b"x"}[how])
    with artifacts.open(digest) as file, pytest.raises(Unprocessable, match=digest):
        shutil.copyfileobj(file, io.BytesIO())
    with artifacts.open(digest) as file, pytest.raises(Unprocessable, match="restore"):
        file.read()
    assert put(artifacts, BIG) == digest  # brought again, it is whole again
    with artifacts.open(digest) as file:
        assert file.read() == BIG


@pytest.mark.slow
def test_a_kill_during_put_leaves_nothing_half(tmp_path: Path) -> None:
    """5 kills at different moments; whatever is at an address is whole."""
    root = tmp_path / "artifacts"
    script = (
        "import io, os, sys\nfrom sixfold.service.stores import open_artifacts\n"
        f"store = open_artifacts({str(root)!r})\nprint('ready', flush=True)\n"
        "while True:\n    store.put(io.BytesIO(os.urandom(1 << 20)))\n"
    )
    for turn in range(5):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.04 * turn)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    artifacts = open_artifacts(root)
    found = list(artifacts.digests())
    assert found
    for digest in found:
        with artifacts.open(digest) as file:
            assert sha(file.read()) == digest


def test_what_a_killed_upload_left_is_cleared_after_a_day(tmp_path: Path) -> None:
    open_artifacts(tmp_path / "artifacts")
    for name, age_s in (("old", 90_000), ("new", 10)):
        left = tmp_path / "artifacts" / "incoming" / name
        left.mkdir()
        os.utime(left, (time.time() - age_s,) * 2)
    open_artifacts(tmp_path / "artifacts")
    left_over = (tmp_path / "artifacts" / "incoming").iterdir()
    assert [path.name for path in left_over] == ["new"]


@pytest.mark.slow
def test_a_full_disk_is_told_and_nothing_is_kept(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
import io, os
from pathlib import Path
from sixfold.service.domain.errors import Unavailable
from sixfold.service.stores import open_artifacts
store = open_artifacts("{disk}/artifacts")
digest, _ = store.put(io.BytesIO(b"fine"))
try:
    store.put(io.BytesIO(os.urandom(4 << 20)))
except Unavailable as error:
    print(error)
print(list(store.digests()) == [digest], list((Path("{disk}") / "artifacts/incoming").iterdir()))
"""
    enter = f"mount -t tmpfs -o size=1m tmpfs {disk}"
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, enter], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    (tmp_path / "script.py").write_text(script)
    command = f"{enter} && {sys.executable} {tmp_path / 'script.py'}"
    done = subprocess.run([*inside, command], capture_output=True, text=True, check=True)
    assert "expected free disk space; found No space left on device." in done.stdout
    assert done.stdout.endswith("True []\n")


def test_a_store_that_is_gone_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Unavailable, match="expected a store that can be read and written"):
        open_artifacts("s3://bucket/prefix").has("ab" * 32)


@pytest.mark.parametrize("place", ["nothing://a/b", "://"])
def test_an_address_that_means_no_store_is_told(place: str) -> None:
    with pytest.raises(InvalidRequest, match="a folder, or a URL of a store"):
        open_artifacts(place)


def test_trees_are_the_form_that_workers_send() -> None:
    tree = Tree({"b": "1", "a": "2"})
    assert json.loads(tree_json(tree)) == {"files": tree.files}
    assert tree_json(tree) == b'{"files":{"a":"2","b":"1"}}'


@pytest.mark.parametrize("cuts", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_no_flipped_bit_and_no_cut_of_a_folder_comes_back(tmp_path: Path, cuts: int) -> None:
    """Twice as many flipped bits as cuts in a tree or its files, and each of them missing: nothing is fetched."""
    rng = random.Random(6)
    store = open_artifacts(tmp_path / "artifacts")
    names = {name: put(store, rng.randbytes(rng.randint(1, 3000))) for name in ("a", "b/c", "d")}
    tree = put(store, tree_json(Tree(names)))
    pieces = [stored(tmp_path / "artifacts", digest) for digest in (tree, *names.values())]
    whole = {path: path.read_bytes() for path in pieces}
    damages: list[tuple[Path, bytes | None]] = [(path, None) for path in pieces]
    for _ in range(2 * cuts):
        path = rng.choice(pieces)
        content = bytearray(whole[path])
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        damages.append((path, bytes(content)))
    for _ in range(cuts):
        path = rng.choice(pieces)
        damages.append((path, whole[path][: rng.randrange(len(whole[path]))]))
    for path, content in damages:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises((Unprocessable, NotFound)):
            store.fetch_tree(tree, tmp_path / "got")
        assert not (tmp_path / "got").exists()
        path.unlink(missing_ok=True)
        path.write_bytes(whole[path])
    store.fetch_tree(tree, tmp_path / "got")
