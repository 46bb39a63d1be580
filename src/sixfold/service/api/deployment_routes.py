"""`/api/v1/deployments`: which versions answer under which name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Self

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from sixfold.service.api.access import In, Once, PagedBy, Who, done_once
from sixfold.service.api.shapes import NAME, Body, Listed, example
from sixfold.service.domain.deployments import Canary, Deployment, DriftLimits, Scaling
from sixfold.service.gateway.gateway import Gateway
from sixfold.service.ports.database import Transaction
from sixfold.service.use_cases import deployments
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName

router = APIRouter(prefix="/api/v1/deployments", tags=["deployments"])


class VersionNameBody(Body):
    """A model's version: its number, an alias, or `latest`."""

    model: str = Field(pattern=NAME)
    version: str = Field("latest", max_length=63)

    def version_name(self) -> VersionName:
        """As the use case has it."""
        return VersionName(self.model, self.version)


class ScalingBody(Body):
    """Replicas; `least: 0` with `sleep_after_s` scales to zero, and the next request starts one."""

    least: int = Field(1, ge=0, le=64)
    most: int = Field(1, ge=1, le=64)
    sleep_after_s: float | None = Field(None, ge=1, le=86400 * 30)
    target_queue: int = Field(4, ge=1, le=1000)
    most_together: int = Field(1, ge=1, le=256)


class CanaryBody(VersionNameBody):
    """A second version for a share of the requests, rolled back by itself where it is worse."""

    share: float = Field(ge=0, le=1)
    most_errors: float = Field(0.02, ge=0, le=1)
    most_slower: float = Field(2.0, ge=1, le=1000)
    least_requests: int = Field(100, ge=1, le=1_000_000)

    def rules(self) -> Canary:
        """Its version is filled in later."""
        return Canary("", self.share, self.most_errors, self.most_slower, self.least_requests)


class DriftBody(Body):
    """From where on a column is called drifted, over at least `least_rows` of the newest 2,000 sampled rows: population stability
    index above `psi`; where they are given, Kolmogorov-Smirnov statistic above `ks`, share of unseen values above `unseen`.
    """

    model_config = example(psi=0.1, ks=0.2, unseen=0.05, least_rows=500)
    psi: float = Field(0.25, ge=0, le=1000)
    ks: float | None = Field(None, ge=0, le=1)
    unseen: float | None = Field(None, ge=0, le=1)
    least_rows: int = Field(100, ge=1, le=2000)

    def limits(self) -> DriftLimits:
        """As the domain has them."""
        return DriftLimits(**self.model_dump())


class NewDeployment(VersionNameBody):
    """What answers under the name; put again, its versions are swapped without a failed request. `drift`: left out, what was set
    before stays.
    """

    model_config = example(
        model="churn",
        version="production",
        scaling={"least": 1, "most": 4},
        canary={"model": "churn", "version": "candidate", "share": 0.1},
    )
    scaling: ScalingBody = Field(default_factory=ScalingBody)
    canary: CanaryBody | None = None
    shadow: VersionNameBody | None = None
    log_share: float = Field(0.0, ge=0, le=1)
    drift: DriftBody | None = None

    def request(self) -> DeploymentRequest:
        """As the use case has it."""
        return DeploymentRequest(
            self.version_name(),
            Scaling(**self.scaling.model_dump()),
            None if self.canary is None else (self.canary.version_name(), self.canary.rules()),
            None if self.shadow is None else self.shadow.version_name(),
            self.log_share,
            None if self.drift is None else self.drift.limits(),
        )


class DeploymentAnswer(BaseModel):
    """`version_id`: of the version that answers; `before`: of those that did, newest first; `url`: where to send rows."""

    name: str
    state: str
    reason: str
    version_id: str
    canary: dict[str, Any] | None
    shadow: str | None
    scaling: dict[str, Any]
    log_share: float
    drift: dict[str, Any]
    before: list[str]
    generation: int
    created_at: float
    url: str

    @classmethod
    def of(cls, row: Deployment) -> Self:
        """What its owner sees."""
        return cls(
            name=row.name,
            state=row.state,
            reason=row.reason,
            version_id=row.version_id,
            canary=None if row.canary is None else asdict(row.canary),
            shadow=row.shadow,
            scaling=asdict(row.scaling),
            log_share=row.log_share,
            drift=asdict(row.drift),
            before=list(row.before),
            generation=row.generation,
            created_at=row.created_at,
            url=f"/models/{row.name}/predict",
        )


class ColumnDriftAnswer(BaseModel):
    """A raw input or an output. `psi`: population stability index; `ks`: Kolmogorov-Smirnov statistic of numbers; `unseen`,
    `missing`: shares of the rows. `drifted`: beyond the deployment's limits.
    """

    column: str
    role: str
    psi: float
    ks: float | None
    unseen: float
    missing: float
    rows: int
    drifted: bool


class DriftAnswer(BaseModel):
    """The newest sampled rows beside `reference_rows` rows that the bundle keeps; 0: it keeps none to compare with."""

    name: str
    version_id: str
    reference_rows: int
    drifted: bool
    columns: list[ColumnDriftAnswer]


@router.put("/{name}", response_model=DeploymentAnswer)
def deploy(name: str, body: NewDeployment, service: In, who: Who, asked: Once) -> JSONResponse:
    """Deploy, or swap."""

    def work(rows: Transaction) -> DeploymentAnswer:
        row = deployments.deploy(service, rows, who, name, body.request())
        return DeploymentAnswer.of(row)

    return done_once(service, who, asked, work, 200)


@router.get("")
def page(
    service: In,
    who: Who,
    asked: PagedBy,
) -> Listed[DeploymentAnswer]:
    """Newest first."""
    return Listed[DeploymentAnswer].of(deployments.page(service, who, asked), DeploymentAnswer.of)


@router.get("/{name}")
def get(name: str, service: In, who: Who) -> DeploymentAnswer:
    """One deployment."""
    return DeploymentAnswer.of(deployments.get(service, who, name))


@router.get("/{name}/drift")
def drift(name: str, request: Request, service: In, who: Who) -> DriftAnswer:
    """How far what is asked and answered now is from the bundle's own rows; of this server's newest requests."""
    row = deployments.get(service, who, name)
    gateway: Gateway = request.app.state.gateway
    route = gateway.routes.get((who.tenant_id, name))
    rows, found = (0, []) if route is None else gateway.drift(route)
    columns = [ColumnDriftAnswer.model_validate(one, from_attributes=True) for one in found]
    return DriftAnswer(
        name=name,
        version_id=row.version_id,
        reference_rows=rows,
        drifted=any(one.drifted for one in columns),
        columns=columns,
    )


@router.put("/{name}/drift")
def set_drift(name: str, body: DriftBody, service: In, who: Who) -> DeploymentAnswer:
    """From where on a column is called drifted."""
    return DeploymentAnswer.of(deployments.set_drift(service, who, name, body.limits()))


@router.post("/{name}/roll-back")
def roll_back(name: str, service: In, who: Who) -> DeploymentAnswer:
    """The version that answered before answers again, without a failed request; a canary ends."""
    return DeploymentAnswer.of(deployments.roll_back(service, who, name))


@router.post("/{name}/canary/promote")
def promote_canary(name: str, service: In, who: Who) -> DeploymentAnswer:
    """The canary's version answers everything."""
    return DeploymentAnswer.of(deployments.promote_canary(service, who, name))


@router.post("/{name}/canary/end")
def end_canary(name: str, service: In, who: Who) -> DeploymentAnswer:
    """The first version answers everything again."""
    return DeploymentAnswer.of(deployments.end_canary(service, who, name))


@router.delete("/{name}", status_code=204)
def delete(name: str, service: In, who: Who) -> None:
    """Requests in work are finished first."""
    deployments.delete(service, who, name)
