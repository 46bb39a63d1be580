"""Which work the event loop does itself, and that no more is in work at once than may be."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
import tiny_bundle

from sixfold.bundle.load import load
from sixfold.serve.app import create
from sixfold.serve.limits import SAMPLED, SHORT_S, Gate


def where(gate: Gate, rows: int | None) -> str:
    """The thread in which the gate works on so many rows."""

    async def ask() -> int:
        return await gate.work(threading.get_ident, rows)

    return "loop" if asyncio.run(ask()) == threading.get_ident() else "thread"


@pytest.mark.parametrize(
    ("seconds", "rows", "expected"),
    [
        ({}, 1, "thread"),  # nothing is known yet
        ({1: SHORT_S / 2}, 1, "loop"),
        ({1: SHORT_S * 2}, 1, "thread"),
        ({1: SHORT_S / 2}, 2, "thread"),  # of more rows nothing is known
        ({2: SHORT_S / 2}, 3, "loop"),  # two and three have as many bits
        ({0: SHORT_S / 2}, None, "thread"),  # a body that was not read yet is long
    ],
)
def test_short_work_is_done_at_once(
    seconds: dict[int, float], rows: int | None, expected: str
) -> None:
    gate = Gate(2)
    gate.seconds.update(seconds)
    assert where(gate, rows) == expected


def test_what_was_short_goes_to_the_loop_and_what_becomes_long_leaves_it() -> None:
    gate = Gate(2)
    assert [where(gate, 1), where(gate, 1)] == ["thread", "loop"]

    async def burn() -> None:
        def work() -> None:
            end = time.thread_time() + 4 * SHORT_S
            while time.thread_time() < end:
                pass

        await gate.work(work, 1)

    for _ in range(5 * SAMPLED):
        asyncio.run(burn())
    assert gate.seconds[1] > SHORT_S
    assert where(gate, 1) == "thread"


def test_one_slow_run_does_not_send_short_work_away() -> None:
    gate = Gate(2)
    gate.seconds[1] = SHORT_S / 10
    gate._runs = SAMPLED - 1  # this one is timed

    async def ask() -> None:
        await gate.work(lambda: [time.thread_time() for _ in range(100_000)], 1)

    asyncio.run(ask())
    assert SHORT_S / 10 < gate.seconds[1] < SHORT_S


def test_the_loop_does_not_work_beside_as_many_threads_as_may() -> None:
    """`concurrency` is of all work: with its threads busy, short work waits for one of them,
    too.
    """
    gate = Gate(2)
    gate.seconds[1] = SHORT_S / 10
    release, busy = threading.Event(), threading.Barrier(3)
    at_work: list[int] = []

    def long() -> None:
        busy.wait(10)
        release.wait(10)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        waiting = [asyncio.create_task(gate.work(long)) for _ in range(2)]
        await loop.run_in_executor(None, busy.wait, 10)
        short = asyncio.create_task(gate.work(lambda: at_work.append(threading.get_ident()), 1))
        await asyncio.sleep(0.05)
        assert not short.done()
        release.set()
        await asyncio.gather(*waiting, short)

    asyncio.run(run())
    assert at_work and at_work[0] != threading.get_ident()


def test_a_server_knows_at_its_start_how_long_a_row_takes(tmp_path: Path) -> None:
    bundle = load(tiny_bundle.make(tmp_path / "bundle"))
    app = create(bundle, bundle.recipe.serve)
    assert app.server.gate.seconds == {}
    app.server.warm()
    assert 0 < app.server.gate.seconds[1] < 1
