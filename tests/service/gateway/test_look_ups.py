"""What is known for a second: read once for all who ask together, anew before it ends, and never what has changed since."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from sixfold.service.domain.errors import Unauthenticated
from sixfold.service.gateway import look_ups
from sixfold.service.gateway.look_ups import LookUps

WAIT_S = 30.0


@dataclass
class Slow:
    """A database whose answers come when a test lets them."""

    answer: str = "first"
    fails: bool = False
    reads: int = 0
    may_end: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> str:
        self.reads += 1
        said = self.answer
        assert self.may_end.wait(WAIT_S)
        if self.fails:
            raise Unauthenticated("the key", "one that is known", "another", "Ask for one.")
        return said


@dataclass
class SetClock:
    """Seconds that a test sets."""

    at: float = 1000.0

    def __call__(self) -> float:
        return self.at


async def until_read(slow: Slow, reads: int) -> None:
    while slow.reads < reads:
        await asyncio.sleep(0.001)


async def idle(known: LookUps[str]) -> None:
    while known._reading:
        await asyncio.sleep(0.001)


def test_those_that_come_together_share_one_look_up() -> None:
    async def asked() -> None:
        clock, slow = SetClock(), Slow()
        known = LookUps[str](clock)
        together = [asyncio.create_task(known.get("key", slow)) for _ in range(64)]
        await until_read(slow, 1)
        together[0].cancel()  # who goes away takes nobody else's look-up along
        slow.may_end.set()
        found = await asyncio.gather(*together, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError) and found[1:] == ["first"] * 63
        assert await known.get("key", slow) == "first" and slow.reads == 1

    asyncio.run(asked())


def test_what_is_asked_for_is_read_anew_before_its_second_ends() -> None:
    async def asked() -> None:
        clock, slow = SetClock(), Slow()
        known = LookUps[str](clock)
        slow.may_end.set()
        assert await known.get("key", slow) == "first"
        slow.answer = "second"
        slow.may_end.clear()
        clock.at += look_ups.LASTS_S - look_ups.AHEAD_S / 2
        assert await known.get("key", slow) == "first"  # while it is read: nobody waits
        await until_read(slow, 2)
        slow.may_end.set()
        await idle(known)
        assert await known.get("key", slow) == "second" and slow.reads == 2
        clock.at += look_ups.LASTS_S
        slow.answer = "third"
        assert await known.get("key", slow) == "third"

    asyncio.run(asked())


def test_what_was_read_before_a_change_is_given_to_nobody_who_asks_after_it() -> None:
    async def asked() -> None:
        clock, slow = SetClock(), Slow()
        known = LookUps[str](clock)
        before = asyncio.create_task(known.get("key", slow))
        await until_read(slow, 1)
        known.forget()
        slow.answer = "second"
        after = asyncio.create_task(known.get("key", slow))
        await until_read(slow, 2)
        slow.may_end.set()
        assert await asyncio.gather(before, after) == ["first", "second"]
        assert await known.get("key", slow) == "second" and slow.reads == 2

    asyncio.run(asked())


def test_a_key_that_is_refused_is_known_no_longer() -> None:
    async def asked() -> None:
        clock, slow = SetClock(), Slow()
        known = LookUps[str](clock)
        slow.may_end.set()
        assert await known.get("key", slow) == "first"
        slow.fails = True
        clock.at += look_ups.LASTS_S - look_ups.AHEAD_S / 2
        assert await known.get("key", slow) == "first"
        await idle(known)
        with pytest.raises(Unauthenticated):
            await known.get("key", slow)

    asyncio.run(asked())
