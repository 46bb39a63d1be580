"""What no row names goes; nothing that a row names, or may soon name, ever does."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_worlds import World, holding, world

from sixfold.service.domain.errors import NotFound
from sixfold.service.domain.files import Tree
from sixfold.service.stores.artifacts import tree_json
from sixfold.service.use_cases import files, jobs, workers
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.use_cases.sweep import UNUSED_S, Sweeper

VERBS = ("upload", "delete", "orphan", "saved", "rest", "sweep", "ask")


@dataclass
class Hoard:
    """A world, and which bytes its rows need."""

    here: World
    folder: Path
    uploaded: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    count: int = 0

    def put(self, content: bytes = b"") -> str:
        self.count += 1
        text = content or b"piece %d" % self.count
        digest, _ = self.here.service.artifacts.put(io.BytesIO(text))
        self.digests.append(digest)
        return digest

    def put_tree(self) -> str:
        return self.put(tree_json(Tree({"a": self.put(), "b/c": self.put()})))

    def upload(self) -> None:
        self.count += 1
        source = io.BytesIO(b"file %d" % self.count)
        file = files.upload(self.here.service, self.here.operator, "a.csv", source, "data")
        self.uploaded.append(file.id)
        self.digests.append(file.digest)

    def delete(self) -> None:
        if self.uploaded:
            files.delete(self.here.service, self.here.operator, self.uploaded.pop(0))

    def orphan(self) -> None:
        self.put_tree()

    def saved(self) -> None:
        job = self.here.running()
        tree = self.put_tree()
        workers.saved(self.here.service, self.here.operator, holding(job), tree)
        if self.count % 2:
            workers.released(self.here.service, self.here.operator, holding(job), False, [])
            jobs.cancel(self.here.service, self.here.operator, job.id)
        else:
            new = NewVersion(tree, 10)
            workers.succeeded(self.here.service, self.here.operator, holding(job), new, {})

    def rest(self) -> None:
        """A day without uploads."""
        for path in self.folder.glob("??/??/*"):
            os.utime(path, (0, time.time() - UNUSED_S - 60))

    def ask(self) -> None:
        """As a client does before it sends what may be there."""
        if self.digests:
            self.here.service.artifacts.has(self.digests[0])

    def sweep(self) -> None:
        store = self.here.service.artifacts
        with self.here.service.database.reading() as rows:
            needed = set(rows.digests())
        for root in tuple(needed):
            needed |= set(_files(self.here, root))
        before = set(store.digests())
        idle = set(store.digests(UNUSED_S))
        found = Sweeper(self.here.service).sweep()
        after = set(store.digests())
        assert needed & before <= after, "reachable bytes went"
        assert before - idle <= after, "young bytes went"
        if found.unreadable:
            assert after == before
        else:
            assert after == before - (idle - needed)
            assert found.artifacts == len(before - after)


def _files(here: World, digest: str) -> list[str]:
    try:
        return list(here.service.artifacts.tree(digest).files.values())
    except Exception:
        return []


@contextmanager
def hoard() -> Iterator[Hoard]:
    with TemporaryDirectory() as folder, world(Path(folder)) as here:
        yield Hoard(here, Path(folder) / "artifacts")


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(VERBS), max_size=12))
def test_nothing_reachable_is_ever_removed(verbs: list[str]) -> None:
    with hoard() as one:
        for verb in verbs:
            getattr(one, verb)()
        one.rest()
        one.sweep()


def test_what_no_row_names_goes_after_a_day() -> None:
    with hoard() as one:
        one.upload()
        one.orphan()
        one.sweep()
        assert len(list(one.here.service.artifacts.digests())) == 4
        one.rest()
        one.sweep()
        assert list(one.here.service.artifacts.digests()) == [one.digests[0]]


@pytest.mark.parametrize("jump_s", [2 * UNUSED_S, -2 * UNUSED_S])
def test_a_clock_that_jumps_removes_nothing_that_is_on_its_way(jump_s: float) -> None:
    """What was stored a moment ago looks two days old; for a day by the clock that does not jump, nothing goes."""
    elapsed = 0.0
    with hoard() as one:
        sweeper = Sweeper(one.here.service, monotonic=lambda: elapsed)
        assert sweeper.sweep().artifacts == 0
        one.orphan()
        elapsed += 300.0
        one.here.clock.at += 300.0 + jump_s
        one.rest()
        assert sweeper.sweep().artifacts == 0
        elapsed += UNUSED_S - 1
        one.here.clock.at += UNUSED_S - 1
        assert sweeper.sweep().artifacts == 0
        elapsed += 2
        one.here.clock.at += 2
        assert sweeper.sweep().artifacts > 0


def test_a_damaged_tree_keeps_everything() -> None:
    with hoard() as one:
        job = one.here.running()
        tree = one.put_tree()
        workers.saved(one.here.service, one.here.operator, holding(job), tree)
        one.orphan()
        one.rest()
        path = one.folder / tree[:2] / tree[2:4] / tree
        path.chmod(0o644)
        path.write_bytes(b"[" + path.read_bytes()[1:])
        os.utime(path, (0, 0))
        assert Sweeper(one.here.service).sweep().unreadable == (tree,)
        assert len(list(one.here.service.artifacts.digests())) == 6


def test_expired_files_and_old_answers_go() -> None:
    with hoard() as one:
        here = one.here
        source = io.BytesIO(b"soon gone")
        file = files.upload(here.service, here.operator, "a", source, "data", expires_after_s=10.0)
        assert Sweeper(here.service).sweep().files == 0
        here.clock.at += 11
        assert Sweeper(here.service).sweep().files == 1
        with pytest.raises(NotFound):
            files.get(here.service, here.operator, file.id)
