"""A process of `sixfold serve` on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sixfold.service.domain.errors import Unavailable
from sixfold.service.gateway.wire import Wire
from sixfold.service.process_tools import BEFORE_EXEC, child_environment
from sixfold.telemetry import traces

PROGRAM = (sys.executable, "-m", "sixfold")
READY: Final = re.compile(rb"answers on http://([0-9.]+):(\d+)")
START_S: Final = 120.0
DRAIN_S: Final = 60.0  # for requests in work of a replica that nobody is sent to any more
STOP_S: Final = 30.0
TICK_S: Final = 0.02
TAIL: Final = 600
MOST_LOG: Final = 1 << 20  # bytes, from which on a replica's log begins anew


@dataclass
class ReplicaProcess:
    """`in_work`: requests that it answers now."""

    process: asyncio.subprocess.Process
    wire: Wire
    in_work: int = 0
    used_at: float = field(default_factory=time.monotonic)
    _reading: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._reading = asyncio.create_task(self._read())

    @property
    def alive(self) -> bool:
        """Whether its process is."""
        return self.process.returncode is None

    async def stop(self, drain_s: float = DRAIN_S) -> None:
        """Requests in work are finished; after half a minute more it is killed."""
        end = time.monotonic() + drain_s
        while self.in_work and self.alive and time.monotonic() < end:
            await asyncio.sleep(TICK_S)
        self.wire.close()
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), STOP_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()

    async def _read(self) -> None:
        """What it still writes: a full pipe would stop it."""
        if self.process.stdout is not None:
            while await self.process.stdout.read(TAIL):
                pass


async def start(bundle: Path, log: Path, name: str) -> ReplicaProcess:
    """A replica that answers as `name`. Raises Unavailable with what it wrote, where it does not come up."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        if log.stat().st_size > MOST_LOG:
            log.unlink()
    with log.open("ab") as errors:
        began = errors.tell()
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *("serve", str(bundle), "--host", "127.0.0.1", "--port", "0", "--name", name),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=child_environment(traced=traces.are_taken()),
            start_new_session=True,
            preexec_fn=BEFORE_EXEC,
        )
    address = None
    try:
        with contextlib.suppress(TimeoutError):
            address = await asyncio.wait_for(_address(process), START_S)
    finally:  # a start that is cancelled leaves no process behind
        if address is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if address is None:
        raise Unavailable(
            "a replica",
            "one that answers",
            _tail(log, began),
            "Look at the bundle with `sixfold verify`.",
        )
    return ReplicaProcess(process, Wire(*address))


async def _address(process: asyncio.subprocess.Process) -> tuple[str, int] | None:
    if process.stdout is None:
        return None
    while line := await process.stdout.readline():
        found = READY.search(line)
        if found:
            return found[1].decode(), int(found[2])
    return None


def _tail(log: Path, began: int) -> str:
    """Of what was written since then."""
    try:
        text = log.read_bytes()[began:][-TAIL:].decode(errors="replace").strip()
    except OSError:
        text = ""
    return text or "no word"
