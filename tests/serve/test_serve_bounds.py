"""The parts that keep a server within its bounds, one by one."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from sixfold.serve import quiet_log
from sixfold.serve.bodies import Incoming, Pool
from sixfold.serve.connections import LEAST, MOST, RESERVED, Connections, most_connections
from sixfold.serve.errors import Refusal
from sixfold.serve.limits import Gate
from sixfold.serve.quiet_log import Rarely


@dataclass
class Transport:
    gone: bool = False
    held: int = 0

    def unsent(self) -> int:
        return self.held

    def abort(self) -> None:
        self.gone, self.held = True, 0


@dataclass(eq=False)
class Member:
    at: int
    since: float
    joined: Transport = field(default_factory=Transport)
    seen: tuple[Any, ...] = ()

    def phase(self) -> int:
        return self.at

    def state(self) -> tuple[Any, ...]:
        return self.at, self.joined.held

    def drop(self) -> None:
        self.joined.abort()


def gone(members: list[Member]) -> list[int]:
    return [number for number, one in enumerate(members) if one.joined.gone]


def test_the_one_that_has_waited_for_longest_makes_room() -> None:
    members = [Member(3, 0.0), Member(1, 2.0), Member(2, 1.0), Member(0, 9.0)]
    connections = Connections(members, 4)
    order = []
    for _ in range(3):
        members.append(Member(3, 10.0))
        assert connections.make_room()
        order += [number for number in gone(members) if number not in order]
    assert order == [
        3,
        2,
        1,
    ]  # the one that is closing anyway, then by time; never one that is worked on
    assert not connections.make_room()
    assert Connections(members, 100).make_room() and not Connections(members, 100).make_room(
        opening=100
    )


def test_what_does_not_go_on_is_dropped() -> None:
    members = [Member(0, 0.0), Member(1, 0.0), Member(3, 0.0), Member(0, 0.0, Transport(held=9))]
    connections = Connections(members, 4)
    connections.sweep(0.0)
    connections.sweep(3.0)
    assert gone(members) == [0]
    connections.sweep(14.9)
    members[2].joined.held = 5  # something has happened
    connections.sweep(15.1)
    assert gone(members) == [0, 1]
    connections.sweep(59.0)
    assert gone(members) == [0, 1]
    connections.sweep(61.0)
    assert gone(members) == [0, 1, 3]  # its client had a minute to take what is left of the answer
    connections.sweep(76.0)
    members.append(Member(3, 0.0))
    connections.sweep(76.0)
    connections.sweep(9999.0)  # work takes as long as it takes
    assert gone(members) == [0, 1, 2, 3]


def test_answers_that_are_not_taken_are_dropped_from_the_oldest_on() -> None:
    connections = Connections([], 4)
    slow = [Transport(held=6 << 20) for _ in range(4)]
    for one in slow:
        connections.long_answer(one)  # type: ignore[arg-type]
    assert [one.gone for one in slow] == [True, True, False, False]


def test_descriptors_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    found = []
    for limit in (10, 500, 1 << 20, resource.RLIM_INFINITY):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=limit: (soft, soft))
        found.append(most_connections())
    assert found[0] == LEAST
    assert LEAST < found[1] < 500 - RESERVED
    assert found[2:] == [MOST, MOST]


def test_a_pool_gives_up_the_oldest_for_the_next() -> None:
    async def run() -> None:
        async with asyncio.timeout(10) as first_timeout, asyncio.timeout(10) as second_timeout:
            pool, first, second = Pool(100, 5.0), Incoming(first_timeout), Incoming(second_timeout)
            pool.take(first, 60)
            with pytest.raises(Refusal) as refused:
                pool.take(second, 60)
            assert (refused.value.status, pool.used) == (503, 60)
            first.started -= 6
            pool.arrived(first)  # is worked on: it stays
            with pytest.raises(Refusal):
                pool.take(second, 60)
            pool.free(first)
            pool.take(first, 60)
            before = first_timeout.when()
            pool.take(second, 60)
            assert pool.used == 60
            assert before is not None and (first_timeout.when() or 0) < before - 5
            pool.free(first)
            pool.free(second)
            assert pool.used == 0
            first_timeout.reschedule(None)
            await asyncio.sleep(0)

    asyncio.run(run())


def test_large_bodies_are_worked_on_one_at_a_time() -> None:
    gate, at_once, most = Gate(8), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1

    async def run() -> None:
        await asyncio.gather(*(gate.work_large(work) for _ in range(5)))

    asyncio.run(run())
    assert (most, gate.in_threads) == (1, 0)


def test_the_same_message_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(quiet_log.time, "monotonic", lambda: now)
    rarely, written = Rarely(), []
    for now in (0.0, 0.1, 0.2, 0.3, 1.1, 1.2, 2.5):
        record = logging.LogRecord("a", logging.WARNING, "", 0, "Something: %s", (now,), None)
        if rarely.filter(record):
            written.append(record.getMessage())
    assert written == [
        "Something: 0.0",
        "Something: 1.1 (3 more like this)",
        "Something: 2.5 (1 more like this)",
    ]
    for number in range(1000):
        assert rarely.filter(
            logging.LogRecord("a", logging.WARNING, "", 0, f"message {number}", (), None)
        )
    assert len(rarely._last) <= quiet_log.REMEMBERED
