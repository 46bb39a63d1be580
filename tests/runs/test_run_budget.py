"""Budgets: shares of time, and limits on memory and disk that are looked at."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sixfold.core.errors import BudgetError
from sixfold.recipe.schema import Budget
from sixfold.runs import memory
from sixfold.runs.budget import WORK_SHARE, Limits, TimeShares
from sixfold.runs.context import Context
from sixfold.runs.disk import DiskLimit
from sixfold.runs.memory import MemoryGuard
from sixfold.runs.saves import Checkpoints


def test_without_a_budget_there_is_no_deadline() -> None:
    limits = Limits.start(Budget())
    assert limits.deadline(0.5) is None
    assert limits.part(limits.deadline(0.5), 3) is None
    assert Context(deadline=limits.deadline(1.0)).left_s() == float("inf")


def test_shares_are_given_out_of_what_is_left() -> None:
    limits = Limits.start(Budget(time="100s"))
    half = limits.deadline(0.5)
    part = limits.part(limits.deadline(0.5), 2)
    assert half is not None
    assert part is not None
    assert half - limits.started == pytest.approx(50)
    assert part - time.monotonic() == pytest.approx(25, abs=1)


def test_what_is_whole_or_nothing_may_take_all_that_is_left() -> None:
    limits = Limits.start(Budget(time="100s"), started=time.monotonic() - 50).rest(0.9)
    part = limits.part(limits.deadline(0.5), 4)
    assert part is not None
    assert limits.time_s == pytest.approx(40, abs=1)
    assert part - time.monotonic() == pytest.approx(20, abs=1)
    assert Limits.start(Budget(time="100s"), started=time.monotonic() - 200).rest(0.9).time_s == 0.0
    assert Limits.start(Budget()).rest(0.9).time_s is None


@pytest.mark.parametrize(
    ("time_s", "work_s"), [(100, 95.0), (30, 28.5), (10, 8.5), (4, 2.5), (2, 1.0)]
)
def test_a_short_time_keeps_enough_to_finish(time_s: int, work_s: float) -> None:
    """5%, and 1.5 s at least where that is less than half; evaluation and refit have their shares
    of the rest.
    """
    limits = Limits.start(Budget(time=f"{time_s}s"), started=0.0)
    assert limits.deadline(WORK_SHARE) == pytest.approx(work_s)
    assert limits.deadline(0.5 * WORK_SHARE) == pytest.approx(work_s / 2)
    inner = limits.rest(WORK_SHARE)  # what is whole or nothing ends in time already
    assert replace(inner, time_s=2.0, started=0.0).deadline(1.0) == 2.0


def test_the_clock_may_have_started_before() -> None:
    limits = Limits.start(Budget(time="100s"), started=time.monotonic() - 90)
    assert Context(deadline=limits.deadline(1.0)).left_s() == pytest.approx(10, abs=1)


@pytest.mark.parametrize("compresses", [False, True])
@pytest.mark.parametrize("evaluated", [0.5, 4.0, 20.0, 999.0])
def test_a_row_has_the_same_time_in_evaluation_and_refit(
    compresses: bool, evaluated: float
) -> None:
    evaluation, refit = Limits.start(Budget(time="1h")).until(compresses, evaluated)
    assert evaluation / evaluated == pytest.approx(refit - evaluation)
    assert refit == (0.75 if compresses else 0.95)


def test_time_that_is_spent_is_an_error_with_the_work_in_it() -> None:
    with pytest.raises(BudgetError, match="found no time left while fitting mlp"):
        Context(deadline=time.monotonic() - 1).check_time("fitting mlp")


def test_memory_that_was_held_between_two_safe_points_is_seen() -> None:
    """A peak that is over when somebody asks counts; and what is given up gives the next one a
    chance.
    """
    held = [500]
    guard = MemoryGuard(1000, lambda: held[0])
    guard.check()
    held[0] = 2000
    guard.look()  # as the thread does
    held[0] = 600
    with pytest.raises(
        BudgetError, match=r"budget\.memory: expected at most 1\.0 kB; found 2\.0 kB in use"
    ):
        guard.check()
    guard.recover()
    guard.check()
    held[0] = 2000
    with pytest.raises(BudgetError):
        Context(check_memory=guard.check).check_time("fitting svm")
    guard.rest()  # the run ends with what it has
    guard.check()


def test_the_guard_looks_while_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()

    def held() -> int:
        looked.set()
        return 1

    monkeypatch.setattr(memory, "EVERY_S", 0.001)
    with MemoryGuard(10, held) as guard:
        assert looked.wait(60)
    assert guard.most == 1
    assert not any(thread.name == "memory guard" for thread in threading.enumerate())
    with MemoryGuard(None, held):
        assert not any(thread.name == "memory guard" for thread in threading.enumerate())


def test_disk_is_asked_before_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"\x00" * 2000)
    with pytest.raises(
        BudgetError,
        match=r"budget\.disk: expected at most 4\.0 kB; found 2\.0 kB in .*, and 2\.0 kB to write",
    ):
        DiskLimit(tmp_path, 4000).room(2000)
    DiskLimit(tmp_path, 4000).room(500)
    DiskLimit(tmp_path, None).room(10**12)
    assert not DiskLimit(tmp_path, 4000).has_room(2000)


def test_what_is_kept_to_continue_goes_before_anything_is_refused(tmp_path: Path) -> None:
    for name in ("evaluate-0.saved", "evaluate-0", "refit", "refit.saved"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"\x00" * 1000)
    limit = DiskLimit(tmp_path, 6000)
    limit.room(1500, spare=("evaluate-*",), keep=(tmp_path / "refit.saved" / "piece.tmp",))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "evaluate-0",
        "refit",
        "refit.saved",
    ]
    limit.room(2500, spare=("evaluate-*",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluate-0", "refit"]
    limit.room(3500, spare=("evaluate-*",))
    assert [path.name for path in tmp_path.iterdir()] == ["refit"]
    with pytest.raises(BudgetError):
        limit.room(5000, spare=("evaluate-*",))


def test_a_state_without_room_is_not_saved(tmp_path: Path) -> None:
    full = Checkpoints(
        tmp_path, "key", lambda kind, facts: None, 0.0, disk=DiskLimit(tmp_path, 3000)
    )
    full.keep("folds-0", lambda folder: None, 10_000)
    assert full.within("part").disk is full.disk
    assert full.piece("folds-0") is None
    full.keep("folds-0", lambda folder: None, 10)
    assert full.piece("folds-0") is not None


def test_the_refit_of_the_best_so_far_is_kept_back() -> None:
    limits = Limits.start(Budget(time="100s"), started=0.0)
    assert limits.before(TimeShares(0.8, 0.95), 5.0) == pytest.approx(80.0)
    assert limits.before(TimeShares(0.8, 0.95), 40.0) == pytest.approx(55.0)
    assert Limits.start(Budget()).before(TimeShares(0.8, 0.95), 40.0) is None


def test_contexts_of_parts_have_their_own_seed_and_facts() -> None:
    heard: list[tuple[str, dict[str, object]]] = []
    context = Context(seed=7, emit_to=lambda kind, facts: heard.append((kind, facts)))
    part = context.within("mlp", 0, candidate="mlp", fold=0)
    part.emit("epoch", loss=0.5)
    assert part.seed != context.seed
    assert part.seed == context.within("mlp", 0).seed
    assert heard == [("epoch", {"candidate": "mlp", "fold": 0, "loss": 0.5})]
