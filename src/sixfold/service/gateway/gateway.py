"""Which deployment answers a request, kept in step with the database; the pools behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sixfold.core.errors import SixfoldError
from sixfold.service.domain.deployments import Deployment, DeploymentState, Scaling
from sixfold.service.domain.errors import NotFound, Unavailable
from sixfold.service.domain.registry import ModelVersion
from sixfold.service.gateway import pool as pools
from sixfold.service.gateway import replica, traffic
from sixfold.service.gateway.batching import PoolClosed
from sixfold.service.gateway.bundle_cache import BundleCache
from sixfold.service.gateway.drift_figures import ColumnDrift
from sixfold.service.gateway.drift_watch import DriftWatch
from sixfold.service.gateway.pool import VersionPool
from sixfold.service.gateway.shadow_watch import ShadowWatch
from sixfold.service.gateway.traffic import VersionTraffic
from sixfold.service.use_cases import deployments, served_models
from sixfold.service.use_cases.service import Service

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
AGAIN_S: Final = 10.0  # before versions that could not be swapped in are tried again; guessed
ON_DEMAND: Final = Scaling(
    least=0, most=1, sleep_after_s=300.0
)  # of versions that are asked by their own name
LAST_DRAIN_S: Final = 3.0  # the server has waited for its requests by then
Key = tuple[str, str]  # tenant, name


@dataclass
class DeploymentRoute:
    """A deployment as it answers now. `pools`, `traffic`: by version. `drift`: of the first version's answers; `shadow`: how far
    the shadow's are from those that were given.
    """

    deployment: Deployment
    pools: dict[str, VersionPool]
    traffic: dict[str, VersionTraffic] = field(default_factory=dict)
    drift: DriftWatch = field(default_factory=DriftWatch)
    shadow: ShadowWatch = field(default_factory=ShadowWatch)

    def chosen(self) -> str:
        """The version that answers the next request."""
        canary = self.deployment.canary
        if (
            canary is not None
            and canary.version_id in self.pools
            and random.random() < canary.share
        ):
            return canary.version_id
        return self.deployment.version_id

    def count(self, version_id: str, status: int, seconds: float) -> None:
        """One answer."""
        seen = self.traffic.get(version_id)
        if seen is None:
            seen = self.traffic[version_id] = VersionTraffic()
        seen.count(status, seconds, time.time())


@dataclass
class Gateway:
    """`home`: for bundles and logs of replicas."""

    service: Service
    home: Path
    routes: dict[Key, DeploymentRoute] = field(default_factory=dict)
    on_demand: dict[Key, DeploymentRoute] = field(default_factory=dict)
    _openings: set[asyncio.Task[None]] = field(default_factory=set)
    _closings: set[asyncio.Task[None]] = field(default_factory=set)
    _opening: dict[Key, asyncio.Lock] = field(default_factory=dict)
    _failed: dict[Key, tuple[tuple[str, ...], float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bundles = BundleCache(self.service.artifacts, self.home / "bundles")
        self._open_pools: dict[int, VersionPool] = {}

    async def begin(self) -> None:
        """Before the first request: no deployment is ready, whatever a server before this one told of its own replicas."""
        with contextlib.suppress(Unavailable):  # told by `keep`, and by whoever asks
            for row in await asyncio.to_thread(self._all):
                if row.state is DeploymentState.READY:
                    await self._tell(row, DeploymentState.STARTING, row.reason)

    async def keep(self) -> None:
        """In step with the database, until it is cancelled; then every replica ends."""
        try:
            while True:
                try:
                    await self._look()
                except (Unavailable, OSError) as error:
                    log.warning("the gateway waits for the database: %s", error)
                except Exception:
                    log.exception("the gateway goes on after a fault of its own")
                await asyncio.sleep(LOOK_S)
        finally:
            for task in tuple(self._openings):
                task.cancel()
            await asyncio.gather(*self._openings, return_exceptions=True)
            await asyncio.gather(*self._closings, return_exceptions=True)
            left = tuple(self._open_pools.values())
            await asyncio.gather(*(pool.close(LAST_DRAIN_S) for pool in left))
            await pools.all_ended()

    async def route(self, tenant_id: str, name: str, of_model: bool) -> DeploymentRoute:
        """By a deployment's name, else by `ft:…`, the version's own; `of_model`: else by NAME or NAME@alias of the registry.
        Raises NotFound.
        """
        key, by_version = (tenant_id, name), of_model or ":" in name
        known = self.routes.get(key) or (self.on_demand.get(key) if by_version else None)
        known = known or await self._just_made(key)
        if known is None and by_version:
            known = await self._version(key)
        if known is None:
            raise _unknown(name, "a deployment of yours", "List your deployments.")
        return known

    def drift(self, route: DeploymentRoute) -> tuple[int, list[ColumnDrift]]:
        """Rows of the bundle that it is compared with, and an entry a column: in a thread. None and no entry where the bundle
        keeps none.
        """
        row = route.deployment
        try:
            version = self._version_row(row.tenant_id, row.version_id)
            bundle = self.bundles.bundle(version.tree)
            return route.drift.figures(bundle, row.drift, self.service.now())
        except (OSError, ValueError, KeyError) as error:
            log.info("no reference for %s: %s", row.name, error)
            return 0, []

    async def _just_made(self, key: Key) -> DeploymentRoute | None:
        """A deployment that is not on its way yet."""
        row = await asyncio.to_thread(self._row, *key)
        return None if row is None else await self._open(row)

    def _row(self, tenant_id: str, name: str) -> Deployment | None:
        with self.service.database.reading() as rows:
            return rows.deployments.named(tenant_id, name)

    async def _version(self, key: Key) -> DeploymentRoute:
        version = await asyncio.to_thread(self._served, key)
        if version is None:
            raise _unknown(key[1], "a deployment or a model of yours", "List the models.")
        known = self.on_demand.get(key)
        if known is None:
            row = Deployment(
                version.id, key[0], "on-demand", version.id, version.created_at, scaling=ON_DEMAND
            )
            known = DeploymentRoute(row, {version.id: self._pool(version, ON_DEMAND, key[1])})
            self.on_demand[key] = known
        return known

    def _served(self, key: Key) -> ModelVersion | None:
        with self.service.database.reading() as rows, contextlib.suppress(NotFound):
            return served_models.version_of(rows, *key)
        return None

    async def _look(self) -> None:
        rows = await asyncio.to_thread(self._all)
        wanted = {(one.tenant_id, one.name): one for one in rows}
        for key in [key for key in self.routes if key not in wanted]:
            self._close(self.routes.pop(key).pools.values())
        for key in [key for key in self._failed if key not in wanted]:
            del self._failed[key]
        for key, row in wanted.items():
            known = self.routes.get(key)
            if known is None or _versions(known.deployment) != _versions(row):
                self._swap(key, row)
                if known is not None:
                    await self._look_at(known, row_is_old=True)
            else:
                known.deployment = row
                await self._look_at(known)
        await self._look_on_demand()

    async def _look_on_demand(self) -> None:
        """Versions that are deleted, retired or deployed by now answer no longer; those that sleep are forgotten."""
        for key, known in tuple(self.on_demand.items()):
            for pool in known.pools.values():
                pool.look()
            asleep = all(pool.asleep for pool in known.pools.values())
            gone = (
                asleep or key in self.routes or await asyncio.to_thread(self._served, key) is None
            )
            if gone and self.on_demand.get(key) is known:
                del self.on_demand[key]
                self._close(known.pools.values())

    def _all(self) -> tuple[Deployment, ...]:
        with self.service.database.reading() as rows:
            return rows.deployments.all()

    def _swap(self, key: Key, row: Deployment) -> None:
        """Once the new versions answer, the old ones get no new requests and end with those in work."""
        failed = self._failed.get(key)
        if failed is not None and failed[0] == _versions(row) and time.monotonic() < failed[1]:
            return
        lock = self._opening.get(key)
        if lock is None or not lock.locked():
            _hold(self._openings, self._opened(row))

    async def _opened(self, row: Deployment) -> None:
        await self._open(row)

    async def _open(self, row: Deployment) -> DeploymentRoute | None:
        """One at a time for each name. None: it is gone, or cannot be answered."""
        key = row.tenant_id, row.name
        lock = self._opening.setdefault(key, asyncio.Lock())
        async with lock:
            before = self.routes.get(key)
            if before is not None and _versions(before.deployment) == _versions(row):
                return before
            return await self._opened_by_one(row, before)

    async def _opened_by_one(
        self, row: Deployment, before: DeploymentRoute | None
    ) -> DeploymentRoute | None:
        key, fresh = (row.tenant_id, row.name), dict[str, VersionPool]()
        known = {} if before is None else before.pools
        try:
            for version_id in _versions(row):
                if version_id not in known:
                    version = await asyncio.to_thread(self._version_row, row.tenant_id, version_id)
                    fresh[version_id] = self._pool(version, row.scaling, row.name)
            made = DeploymentRoute(
                row, {one: known.get(one) or fresh[one] for one in _versions(row)}
            )
            if before is None:
                self.routes[key] = made
                return made
            if row.scaling.least or not before.pools[before.deployment.version_id].asleep:
                await asyncio.gather(*(pool.ready() for pool in made.pools.values()))
        except (SixfoldError, PoolClosed) as error:
            self._close(fresh.values())
            self._failed[key] = _versions(row), time.monotonic() + AGAIN_S
            await self._tell(row, DeploymentState.FAILED, str(error))
            return before
        except BaseException:
            self._close(fresh.values())
            raise
        if self.routes.get(key) is not before:  # deleted in the meantime
            self._close(fresh.values())
            return self.routes.get(key)
        made.traffic = {one: before.traffic[one] for one in made.pools if one in before.traffic}
        if row.version_id == before.deployment.version_id:
            made.drift = before.drift
            if row.shadow == before.deployment.shadow:
                made.shadow = before.shadow
        self.routes[key] = made
        self._failed.pop(key, None)
        self._close(pool for one, pool in before.pools.items() if one not in made.pools)
        return made

    def _version_row(self, tenant_id: str, version_id: str) -> ModelVersion:
        with self.service.database.reading() as rows:
            version = rows.versions.get(tenant_id, version_id)
        if version is None:
            raise NotFound("the version", "one that is there", version_id, "Deploy another.")
        return version

    def _pool(self, version: ModelVersion, scaling: Scaling, name: str) -> VersionPool:
        place = self.home / "logs" / f"{version.id}.txt"

        async def start() -> replica.ReplicaProcess:
            try:
                bundle = await asyncio.to_thread(self.bundles.bundle, version.tree)
            except (SixfoldError, OSError) as error:
                raise Unavailable(
                    "the bundle", "one that can be fetched", str(error), "Look at the store."
                ) from error
            return await replica.start(bundle, place, name)

        made = VersionPool(start, scaling)
        self._open_pools[id(made)] = made
        return made

    async def _look_at(self, known: DeploymentRoute, row_is_old: bool = False) -> None:
        """`row_is_old`: other versions are on their way in its place; what the database tells of it is about them."""
        row = known.deployment
        for pool in known.pools.values():
            pool.scaling = row.scaling
            pool.look()
        if row_is_old:
            return
        first = known.pools[row.version_id]
        state, reason = _state(first, row)
        if state is not row.state:
            await self._tell(row, state, reason)
        canary = row.canary
        if canary is not None:
            ours, theirs = (
                known.traffic.get(one, VersionTraffic())
                for one in (row.version_id, canary.version_id)
            )
            why = traffic.worse(canary, ours, theirs)
            if why:
                reason = f"The canary was rolled back: {why}."
                log.warning("deployment %s: %s", row.name, reason)
                await asyncio.to_thread(deployments.rolled_back, self.service, row, reason)

    async def _tell(self, row: Deployment, state: DeploymentState, reason: str) -> None:
        if state is row.state and reason == row.reason:
            return
        with contextlib.suppress(Unavailable):
            await asyncio.to_thread(deployments.became, self.service, row, state, reason)

    def _close(self, closing: Iterable[VersionPool]) -> None:
        for pool in closing:
            _hold(self._closings, self._closed(pool))

    async def _closed(self, pool: VersionPool) -> None:
        await pool.close()
        self._open_pools.pop(id(pool), None)


def _hold(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _state(first: VersionPool, row: Deployment) -> tuple[DeploymentState, str]:
    """What is told of the deployment, and why. A reason stays until the deployment fails or recovers."""
    if first.replicas:
        return DeploymentState.READY, "" if row.state is DeploymentState.FAILED else row.reason
    if first.failure:
        return DeploymentState.FAILED, first.failure
    if first.asleep and row.scaling.least == 0:
        return DeploymentState.ASLEEP, row.reason
    return DeploymentState.STARTING, row.reason


def _unknown(name: str, expected: str, remedy: str) -> NotFound:
    return NotFound("model", f"the name of {expected}", repr(name[:80]), remedy)


def _versions(row: Deployment) -> tuple[str, ...]:
    """All that must answer: the first, the canary's, the shadow."""
    others = (row.canary.version_id if row.canary else None, row.shadow)
    return tuple(dict.fromkeys([row.version_id, *(one for one in others if one is not None)]))
