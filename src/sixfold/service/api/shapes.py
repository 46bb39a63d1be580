"""What the routes of `/api/v1` take and give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from sixfold.service.domain.files import StoredFile
from sixfold.service.domain.jobs import JobEvent, TrainingJob
from sixfold.service.domain.keys import ApiKey
from sixfold.service.domain.people import Quota, Scope, Tenant
from sixfold.service.domain.registry import Alias, ModelVersion, RegisteredModel
from sixfold.service.ports.pages import Page, Row
from sixfold.service.use_cases.registry import ModelPage

Answer = TypeVar("Answer", bound=BaseModel)
NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
DIGEST_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SCOPE = WithJsonSchema({"type": "string", "enum": sorted(Scope)})  # the domain says what is wrong


class Body(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def example(**fields: Any) -> ConfigDict:
    """Of a body, for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class NewJob(Body):
    """A recipe and its files: plain relative path beside the recipe → id of an uploaded file."""

    model_config = example(
        recipe="version: 1\nname: churn\ndata: {source: churn.csv, target: left}\n",
        files={"churn.csv": "file-01k9x0h6w2t7m4c8d5f3g1j9n0p2"},
        publish="churn",
    )
    recipe: str = Field(max_length=1 << 20)
    files: dict[str, str] = Field(default_factory=dict, max_length=1000)
    name: str | None = Field(None, pattern=NAME)
    priority: int = Field(
        0, ge=-100, le=100, description="Higher ones first, within the whole service."
    )
    publish: str | None = Field(
        None,
        pattern=NAME,
        description="The model that a success adds a version to; left out: the job's name.",
    )


class JobAnswer(BaseModel):
    """A job. Times are seconds since 1970. `settings`: of the training, as the plan resolved them; `forgotten_at`: when its run,
    events and data were removed, as the operator keeps them for a time.
    """

    id: str
    name: str
    state: str
    wish: str
    priority: int
    publish: str | None
    recipe: str
    files: dict[str, str]
    needs: dict[str, Any] | None
    measured: dict[str, Any] | None
    attempt: int
    worker_id: str | None
    crashes: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    failure: dict[str, Any] | None
    result: dict[str, Any]
    progress: dict[str, Any]
    settings: dict[str, Any]
    forgotten_at: float | None

    @classmethod
    def of(cls, job: TrainingJob) -> Self:
        """What its owner sees."""
        return cls(
            id=job.id,
            name=job.name,
            state=job.state,
            wish=job.wish,
            priority=job.priority,
            publish=job.spec.publish,
            recipe=job.spec.recipe,
            files=dict(job.spec.inputs),
            needs=None if job.needs is None else asdict(job.needs),
            measured=None if job.measured is None else asdict(job.measured),
            attempt=job.attempt,
            worker_id=job.worker_id,
            crashes=job.crashes,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            failure=None if job.failure is None else asdict(job.failure),
            result=dict(job.result),
            progress=dict(job.progress),
            settings=dict(job.settings),
            forgotten_at=job.forgotten_at,
        )


class EventAnswer(BaseModel):
    """A fact of a job."""

    seq: int
    at: float
    kind: str
    level: str
    message: str
    data: dict[str, Any]

    @classmethod
    def of(cls, event: JobEvent) -> Self:
        """As stored."""
        facts = asdict(event)
        facts.pop("job_id")
        return cls(**facts)


class FileAnswer(BaseModel):
    """An uploaded file."""

    id: str
    filename: str
    purpose: str
    bytes: int
    digest: str
    created_at: float
    expires_at: float | None

    @classmethod
    def of(cls, file: StoredFile) -> Self:
        """What its owner sees."""
        return cls(**{name: getattr(file, name) for name in cls.model_fields})


class VersionAnswer(BaseModel):
    """A version of a model."""

    id: str
    number: int
    state: str
    bytes: int
    tree: str
    created_at: float
    served_as: str | None
    aliases: list[str]
    lineage: dict[str, Any]
    receipt: dict[str, Any]
    summary: dict[str, Any]

    @classmethod
    def of(cls, version: ModelVersion, aliases: tuple[Alias, ...] = ()) -> Self:
        """With the names that point at it."""
        facts = {
            name: getattr(version, name)
            for name in ("id", "number", "state", "bytes", "tree", "created_at", "served_as")
        }
        return cls(
            **facts,
            aliases=[one.name for one in aliases if one.version_id == version.id],
            lineage=asdict(version.lineage),
            receipt=dict(version.receipt),
            summary=dict(version.summary),
        )


class ModelAnswer(BaseModel):
    """A model."""

    name: str
    created_at: float
    description: str

    @classmethod
    def of(cls, model: RegisteredModel) -> Self:
        """What its owner sees."""
        return cls(name=model.name, created_at=model.created_at, description=model.description)


class ModelWithVersions(ModelAnswer):
    """A model and a page of its versions, newest first. `has_more`: `before` of the next one is the last number of this one."""

    versions: list[VersionAnswer]
    has_more: bool

    @classmethod
    def of_page(cls, found: ModelPage) -> Self:
        """With the names that point at them."""
        return cls(
            **ModelAnswer.of(found.model).model_dump(),
            versions=[VersionAnswer.of(one, found.aliases) for one in found.versions.rows],
            has_more=found.versions.more,
        )


class NewAlias(Body):
    """`version`: a number, another alias, or `latest`."""

    model_config = example(version="3")
    version: str = Field("latest", max_length=63)


class NewKey(Body):
    """A key's name, what it may do, and for how long."""

    model_config = example(name="ci", scopes=["read", "predict"], expires_after_s=2592000)
    name: str = Field(min_length=1, max_length=64)
    scopes: list[Annotated[str, SCOPE]] = Field(min_length=1, max_length=len(Scope))
    expires_after_s: float | None = Field(None, gt=0, le=10 * 366 * 86400)


class KeyAnswer(BaseModel):
    """What is known of a key. `key`: itself, in the answer that makes it and never again."""

    id: str
    name: str
    shown: str
    scopes: list[str]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    used_at: float | None
    rotated_from: str | None
    key: str | None = None

    @classmethod
    def of(cls, row: ApiKey, key: str | None = None) -> Self:
        """`key` only where it was just made."""
        facts = {
            name: getattr(row, name) for name in cls.model_fields if name not in ("scopes", "key")
        }
        return cls(**facts, scopes=sorted(row.scopes), key=key)


class QuotaBody(Body):
    """Limits of a tenant; null: none."""

    model_config = example(jobs_running=4, storage_bytes=50_000_000_000, requests_per_minute=600)
    jobs_running: int | None = Field(None, ge=0)
    jobs_waiting: int | None = Field(1000, ge=0)
    memory_bytes: int | None = Field(None, ge=0)
    job_time_s: int | None = Field(None, ge=0)
    storage_bytes: int | None = Field(None, ge=0)
    requests_per_minute: int | None = Field(None, ge=0)
    tokens_per_minute: int | None = Field(None, ge=0)

    def quota(self) -> Quota:
        """As the domain has it."""
        return Quota(**self.model_dump())


class NewTenant(Body):
    """A tenant's name and limits."""

    model_config = example(name="lab", quota={"jobs_running": 4})
    name: str = Field(pattern=NAME)
    quota: QuotaBody = Field(default_factory=QuotaBody)


class TenantAnswer(BaseModel):
    """`key`: of its first administrator, in the answer that makes it and never again."""

    id: str
    name: str
    created_at: float
    quota: dict[str, Any]
    key: str | None = None

    @classmethod
    def of(cls, tenant: Tenant, key: str | None = None) -> Self:
        """`key` only where it was just made."""
        return cls(
            id=tenant.id,
            name=tenant.name,
            created_at=tenant.created_at,
            quota=asdict(tenant.quota),
            key=key,
        )


class Hello(Body):
    """A worker and what it has."""

    model_config = example(
        id="worker-01k9x0h6w2t7m4c8d5f3g1j9n0",
        name="rack-7",
        cores=16,
        memory_bytes=64_000_000_000,
        free_bytes=60_000_000_000,
        version="0.1.0",
    )
    id: str = Field(pattern=r"^worker-[0-9a-z]{10,40}$")
    name: str = Field(min_length=1, max_length=255)
    cores: int = Field(ge=1)
    memory_bytes: int = Field(ge=0)
    free_bytes: int = Field(ge=0)
    version: str = Field("", max_length=64)
    devices: list[str] = Field(default_factory=list, max_length=64)


class ClaimBody(Body):
    """Bytes of memory that no job is promised, and the jobs that the worker knows it has."""

    model_config = example(free_bytes=60_000_000_000, held=[])
    free_bytes: int = Field(ge=0)
    held: list[str] | None = Field(None, max_length=10_000)


class AttemptBody(Body):
    """Of which attempt the worker tells something."""

    model_config = example(attempt=1)
    attempt: int = Field(ge=1)


class BeatBody(AttemptBody):
    """It lives."""

    model_config = example(attempt=1, progress={})
    progress: dict[str, Any] = Field(default_factory=dict)


class NeedsBody(Body):
    """What the plan says, or a run took."""

    memory_bytes: int = Field(ge=0)
    time_s: float = Field(ge=0)
    disk_bytes: int = Field(ge=0)
    how: Literal["counted", "tried", "tried and counted", "measured"] = "counted"


class PlannedBody(AttemptBody):
    """The recipe is good. `settings`: of its training, as the plan resolved them."""

    model_config = example(
        attempt=1,
        needs={"memory_bytes": 500_000_000, "time_s": 61.5, "disk_bytes": 2_000_000},
        settings={"epochs": 30, "batch_size": 64},
    )
    needs: NeedsBody
    settings: dict[str, int | float | str] = Field(default_factory=dict, max_length=100)


class LineBody(Body):
    """A line of the run's stream of events."""

    line: int = Field(ge=1)
    at: float
    kind: str = Field(max_length=200)
    level: str = Field(max_length=10)
    message: str = Field(max_length=4000)
    data: dict[str, Any] = Field(default_factory=dict)


class EventsBody(AttemptBody):
    """At most 1,000 lines at once."""

    model_config = example(
        attempt=1,
        lines=[
            {"line": 1, "at": 1.8e9, "kind": "note", "level": "info", "message": "120 rows."},
        ],
    )
    lines: list[LineBody] = Field(max_length=1000)


class SavedBody(AttemptBody):
    """Finished stages are stored."""

    model_config = example(attempt=1, run_tree=DIGEST_EXAMPLE)
    run_tree: str = Field(pattern=r"^[0-9a-f]{64}$")


class BundleBody(Body):
    """What was made."""

    tree: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    receipt: dict[str, Any] = Field(default_factory=dict)
    summary: dict[str, Any] = Field(default_factory=dict)


class SucceededBody(AttemptBody):
    """The job is done."""

    model_config = example(attempt=1, new={"tree": DIGEST_EXAMPLE, "bytes": 21480})
    new: BundleBody
    result: dict[str, Any] = Field(default_factory=dict)
    measured: NeedsBody | None = None


class FailureBody(Body):
    """Why it cannot be done."""

    code: str = Field(max_length=64)
    message: str = Field(max_length=8000)
    param: str | None = Field(None, max_length=1000)
    last_lines: list[str] = Field(default_factory=list, max_length=100)


class FailedBody(AttemptBody):
    """The job failed."""

    model_config = example(
        attempt=1, failure={"code": "refused", "message": "recipe.yaml, line 3: no column 'left'"}
    )
    failure: FailureBody


class ReleasedBody(AttemptBody):
    """Given back."""

    model_config = example(attempt=1, crashed=False)
    crashed: bool
    last_lines: list[str] = Field(default_factory=list, max_length=200)


class Listed(BaseModel, Generic[Answer]):
    """A page: `after` of the next one is the last id of this one."""

    data: list[Answer]
    has_more: bool

    @classmethod
    def of(cls, found: Page[Row], answer: Callable[[Row], Answer]) -> Self:
        """`answer`: of a row."""
        return cls(data=[answer(row) for row in found.rows], has_more=found.more)


def fields(body: BaseModel, *without: str) -> Mapping[str, Any]:
    """The body's fields by name."""
    return {name: getattr(body, name) for name in type(body).model_fields if name not in without}
