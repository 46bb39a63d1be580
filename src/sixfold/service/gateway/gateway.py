"""Which deployment answers a request, kept in step with the database; the pools behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sixfold.core.errors import SixfoldError
from sixfold.service.domain.deployments import Deployment, DeploymentState, Scaling
from sixfold.service.domain.errors import NotFound, Unavailable
from sixfold.service.domain.registry import ModelVersion
from sixfold.service.gateway import replica, traffic
from sixfold.service.gateway.bundle_cache import BundleCache
from sixfold.service.gateway.pool import VersionPool
from sixfold.service.gateway.traffic import VersionTraffic
from sixfold.service.use_cases import deployments
from sixfold.service.use_cases.service import Service

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
ON_DEMAND: Final = Scaling(
    least=0, most=1, sleep_after_s=300.0
)  # of versions that are asked by their own name


@dataclass
class DeploymentRoute:
    """A deployment as it answers now. `pools`, `traffic`: by version."""

    deployment: Deployment
    pools: dict[str, VersionPool]
    traffic: dict[str, VersionTraffic] = field(default_factory=dict)

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
        self.traffic.setdefault(version_id, VersionTraffic()).count(status, seconds)


@dataclass
class Gateway:
    """`home`: for bundles and logs of replicas."""

    service: Service
    home: Path
    routes: dict[tuple[str, str], DeploymentRoute] = field(default_factory=dict)
    _on_demand: dict[tuple[str, str], DeploymentRoute] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _swapping: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._bundles = BundleCache(self.service.artifacts, self.home / "bundles")

    async def keep(self) -> None:
        """In step with the database, until it is cancelled; then every replica ends."""
        try:
            while True:
                try:
                    await self._look()
                except (Unavailable, OSError) as error:
                    log.warning("the gateway waits for the database: %s", error)
                await asyncio.sleep(LOOK_S)
        finally:
            routes = [*self.routes.values(), *self._on_demand.values()]
            await asyncio.gather(
                *(pool.close() for route in routes for pool in route.pools.values())
            )

    async def route(self, tenant_id: str, name: str) -> DeploymentRoute:
        """By a deployment's name, else by the name under which a version is served (`ft:…`). Raises NotFound."""
        known = self.routes.get((tenant_id, name))
        if known is None:
            known = await self._just_made(tenant_id, name)
        if known is None:
            known = self._on_demand.get((tenant_id, name)) or await self._version(tenant_id, name)
        return known

    async def _just_made(self, tenant_id: str, name: str) -> DeploymentRoute | None:
        """A deployment that is not on its way yet."""
        row = await asyncio.to_thread(self._row, tenant_id, name)
        return None if row is None else self.routes.get((tenant_id, name)) or await self._open(row)

    def _row(self, tenant_id: str, name: str) -> Deployment | None:
        with self.service.database.transaction() as rows:
            return rows.deployments.named(tenant_id, name)

    async def _version(self, tenant_id: str, name: str) -> DeploymentRoute:
        version = await asyncio.to_thread(self._served, tenant_id, name)
        if version is None:
            raise NotFound(
                "model",
                "the name of a deployment or a model of yours",
                repr(name[:80]),
                "List the models.",
            )
        row = Deployment(
            version.id, tenant_id, "on-demand", version.id, version.created_at, scaling=ON_DEMAND
        )
        made = DeploymentRoute(row, {version.id: self._pool(version, ON_DEMAND)})
        return self._on_demand.setdefault((tenant_id, name), made)

    def _served(self, tenant_id: str, name: str) -> ModelVersion | None:
        with self.service.database.transaction() as rows:
            return rows.versions.served(tenant_id, name)

    async def _look(self) -> None:
        rows = await asyncio.to_thread(self._all)
        wanted = {(one.tenant_id, one.name): one for one in rows}
        for key in [key for key in self.routes if key not in wanted]:
            self._close(self.routes.pop(key).pools.values())
        for key, row in wanted.items():
            known = self.routes.get(key)
            if known is None or _versions(known.deployment) != _versions(row):
                self._background(self._swap(key, row))
            else:
                known.deployment = row
                await self._look_at(known)
        for each in self._on_demand.values():
            for pool in each.pools.values():
                pool.look()

    def _all(self) -> tuple[Deployment, ...]:
        with self.service.database.transaction() as rows:
            return rows.deployments.all()

    async def _swap(self, key: tuple[str, str], row: Deployment) -> None:
        """Once the new versions answer, the old ones get no new requests and end with those in work."""
        if key in self._swapping:
            return
        self._swapping.add(key)
        try:
            await self._open(row)
        finally:
            self._swapping.discard(key)

    async def _open(self, row: Deployment) -> DeploymentRoute | None:
        key = row.tenant_id, row.name
        before = self.routes.get(key)
        pools = dict(before.pools) if before is not None else {}
        try:
            for version_id in _versions(row):
                if version_id not in pools:
                    version = await asyncio.to_thread(self._version_row, row.tenant_id, version_id)
                    pools[version_id] = self._pool(version, row.scaling)
            made = DeploymentRoute(row, {one: pools[one] for one in _versions(row)})
            if before is None:
                self.routes[key] = made
            await asyncio.gather(
                *(pool.ready() for pool in made.pools.values() if row.scaling.least)
            )
        except SixfoldError as error:
            await self._tell(row, DeploymentState.FAILED, str(error))
            return self.routes.get(key)
        if before is not None:
            made.traffic = {one: before.traffic[one] for one in made.pools if one in before.traffic}
            self.routes[key] = made
            self._close(pool for one, pool in before.pools.items() if one not in made.pools)
        return made

    def _version_row(self, tenant_id: str, version_id: str) -> ModelVersion:
        with self.service.database.transaction() as rows:
            version = rows.versions.get(tenant_id, version_id)
        if version is None:
            raise NotFound("the version", "one that is there", version_id, "Deploy another.")
        return version

    def _pool(self, version: ModelVersion, scaling: Scaling) -> VersionPool:
        place = self.home / "logs" / f"{version.id}.txt"

        async def start() -> replica.ReplicaProcess:
            try:
                bundle = await asyncio.to_thread(self._bundles.bundle, version.tree)
            except (SixfoldError, OSError) as error:
                raise Unavailable(
                    "the bundle", "one that can be fetched", str(error), "Look at the store."
                ) from error
            return await replica.start(bundle, place)

        return VersionPool(start, scaling)

    async def _look_at(self, known: DeploymentRoute) -> None:
        row = known.deployment
        for pool in known.pools.values():
            pool.scaling = row.scaling
            pool.look()
        first = known.pools[row.version_id]
        state = DeploymentState.READY if first.replicas else DeploymentState.STARTING
        if first.asleep and row.scaling.least == 0:
            state = DeploymentState.ASLEEP
        if first.failure and not first.replicas:
            state = DeploymentState.FAILED
        if state is not row.state:
            await self._tell(row, state, first.failure)
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
        with contextlib.suppress(Unavailable):
            await asyncio.to_thread(
                deployments.became, self.service, row, state, reason or row.reason
            )

    def _close(self, pools: Iterable[VersionPool]) -> None:
        for pool in pools:
            self._background(pool.close())

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _versions(row: Deployment) -> tuple[str, ...]:
    """All that must answer: the first, the canary's, the shadow."""
    others = (row.canary.version_id if row.canary else None, row.shadow)
    return tuple(dict.fromkeys([row.version_id, *(one for one in others if one is not None)]))


def tenants_models(routes: Mapping[tuple[str, str], DeploymentRoute], tenant_id: str) -> list[str]:
    """Names of deployments of a tenant."""
    return sorted(name for tenant, name in routes if tenant == tenant_id)
