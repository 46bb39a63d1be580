"""Figure 12: ten times what a deployment can do, then what it can. Who is refused is told at once, and when to come again; who is
accepted does not wait behind the refused; afterwards all are answered.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tiny_bundle
from gateway_worlds import gateway_world, until

from sixfold.service.gateway import replica

WORK_S, CONCURRENCY = 0.02, 2
PLACES = CONCURRENCY * 5
SECONDS = 3.0
RETRY_S = (
    0.1  # sooner than it says: with it, ten times as many clients ask ten times what it can do
)
BODY = json.dumps([tiny_bundle.raw()] * 100).encode()  # too long to go together with others
SLOW = f"""
import time
from sixfold.__main__ import main
from sixfold.bundle.predictor import Predictor
ask = Predictor.predict
Predictor.predict = lambda self, *a, **k: (time.sleep({WORK_S}), ask(self, *a, **k))[1]
main()
"""


class Answer(NamedTuple):
    """`retry`: whether it says when to come again."""

    status: int
    seconds: float
    retry: bool


def load(port: int, key: str, clients: int) -> list[Answer]:
    head = "POST /models/tiny/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {key}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    answers: list[Answer] = []

    async def client(end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            started = time.monotonic()
            writer.write(head.encode() + BODY)
            got = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(got.split(b"content-length: ")[1].split(b"\r\n")[0]))
            seconds = time.monotonic() - started
            answers.append(Answer(int(got[9:12]), seconds, b"retry-after: " in got))
            if answers[-1].status == 503:
                await asyncio.sleep(RETRY_S)
        writer.close()

    async def run() -> None:
        end = time.monotonic() + SECONDS
        await asyncio.gather(*(client(end) for _ in range(clients)))

    asyncio.run(run())
    return answers


def quantile_ms(answers: list[Answer], status: int, share: float) -> float:
    seconds = [one.seconds for one in answers if one.status == status]
    return 1e3 * float(np.quantile(seconds, share))


@pytest.mark.slow
def test_overload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "PROGRAM", (replica.PROGRAM[0], "-c", SLOW))
    with gateway_world(tmp_path) as gate:
        recipe = tiny_bundle.RECIPE.replace("max_rows", f"concurrency: {CONCURRENCY}, max_rows")
        gate.publish(recipe=recipe)
        gate.deploy()
        until(lambda: gate.state()["state"] == "ready")
        before, flooded, after = (
            load(gate.port, gate.key, clients) for clients in (PLACES, 10 * PLACES, PLACES)
        )
        assert {one.status for one in before} == {one.status for one in after} == {200}
        assert {one.status for one in flooded} == {200, 503}
        refused = [one for one in flooded if one.status == 503]
        assert len(refused) > len(flooded) / 2 and all(one.retry for one in refused)
        print(
            f"\naccepted p99: {quantile_ms(before, 200, 0.99):.0f} ms, at ten times the load "
            f"{quantile_ms(flooded, 200, 0.99):.0f} ms, afterwards {quantile_ms(after, 200, 0.99):.0f} ms; "
            f"refused p99 {quantile_ms(flooded, 503, 0.99):.0f} ms"
        )
        assert quantile_ms(flooded, 503, 0.5) < quantile_ms(flooded, 200, 0.5)
