"""What is kept of every request: use, figures, samples. Written to disk and database once a second."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass, field
from typing import Final

from sixfold.core.errors import SixfoldError
from sixfold.service.gateway.exchange import Exchange
from sixfold.service.gateway.figures import GatewayFigures
from sixfold.service.gateway.gateway import DeploymentRoute, Gateway
from sixfold.service.gateway.limits import TenantBuckets
from sixfold.service.gateway.request_log import RequestLog
from sixfold.service.gateway.usage_meter import UsageMeter

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
DRIFT_EVERY_S: Final = 30.0  # for the figures; who asks for it gets it as it is now


@dataclass
class GatewayRecords:
    """Of one server process."""

    gateway: Gateway
    figures: GatewayFigures = field(default_factory=GatewayFigures)

    def __post_init__(self) -> None:
        self.meter = UsageMeter(self.gateway.service)
        self.requests = RequestLog(self.gateway.home / "requests")
        self._drift_at = time.monotonic()

    def answered(
        self, one: Exchange, route: DeploymentRoute | None, buckets: TenantBuckets
    ) -> None:
        """A request that reached a deployment, once its answer is out."""
        one.seconds = time.perf_counter() - one.started
        tokens = one.tokens()
        if any(tokens):
            buckets.tokens.take(sum(tokens))
        self.meter.count(one.who, one.status >= 400, tokens)
        self.figures.answered(one, tokens)
        if route is not None and one.whole and one.status == 200:
            self._sample(one, route)

    def _sample(self, one: Exchange, route: DeploymentRoute) -> None:
        row = route.deployment
        if one.version_id == row.version_id and one.asked.target == b"/predict":
            route.drift.sample(one.asked.body, one.answer)
        if row.log_share and random.random() < row.log_share:
            line = {
                "at": self.gateway.service.now(),
                "request_id": one.request_id,
                "version": one.version_id,
                "key": one.who.key_id,
                "path": one.asked.target,
                "ms": round(one.seconds * 1e3, 3),
                "body": one.asked.body,
                "answer": one.answer,
            }
            self.requests.add(row.tenant_id, row.name, line)

    async def keep(self) -> None:
        """Until it is cancelled; then what is left is written."""
        writing: asyncio.Future[None] | None = None
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                self.meter.turn()
                writing = asyncio.ensure_future(asyncio.to_thread(self._write))
                await asyncio.shield(writing)
        finally:
            if writing is not None:
                await writing  # one after the other: nothing is written twice
            self.meter.turn()
            self._write()

    def _write(self) -> None:
        """In a thread. What fails is told, and tried again where it must not be lost."""
        for write in (self.meter.write, self.requests.flush, self._read_samples):
            try:
                write()
            except (SixfoldError, OSError) as error:
                log.warning("the gateway's records: %s", error)

    def _read_samples(self) -> None:
        due = time.monotonic() - self._drift_at > DRIFT_EVERY_S
        for route in tuple(self.gateway.routes.values()):
            route.drift.read()
            route.shadow.read()
            if due and route.drift.rows:
                self.gateway.drift(route)
        if due:
            self._drift_at = time.monotonic()
