"""What the routes of `/v1` take and give: OpenAI's words for files, jobs, events, checkpoints and models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Generic, Literal, Self, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sixfold.recipe.yaml_nodes import MOST_DEPTH
from sixfold.service.api.problems import shown
from sixfold.service.api.shapes import example
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.domain.files import StoredFile
from sixfold.service.domain.jobs import JobEvent, JobState, TrainingJob, Wish
from sixfold.service.use_cases import fine_tuning
from sixfold.service.use_cases.fine_tuning import TRAINING, VALIDATION, FineTuneRequest
from sixfold.service.use_cases.served_models import ServedModel

MOST_BODY: Final = 1 << 20
STATUS: Final = {
    JobState.VALIDATING: "validating_files",
    JobState.QUEUED: "queued",
    JobState.RUNNING: "running",
    JobState.PAUSED: "paused",
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
WISHED: Final = {Wish.CANCEL: "cancelled", Wish.PAUSE: "paused"}  # which its worker does next
PARAMS: Final = {TRAINING: "training_file", VALIDATION: "validation_file"}
Sent = TypeVar("Sent", bound=BaseModel)
Setting = Literal["auto"] | None


class Asked(BaseModel):
    """Unknown keys are errors: a parameter acts, or is refused by its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SupervisedSettings(Asked):
    """`auto`, or left out: by the recipe's defaults."""

    n_epochs: Annotated[int, Field(ge=1, le=10_000)] | Setting = "auto"
    batch_size: Annotated[int, Field(ge=1, le=100_000)] | Setting = "auto"
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=10_000)] | Setting = "auto"

    def chosen(self) -> dict[str, float]:
        """Those that have a number."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: one for name, one in found.items() if one not in ("auto", None)}


class PreferenceSettings(SupervisedSettings):
    """`beta`: how dear it is to leave the base model."""

    beta: Annotated[float, Field(gt=0, le=2)] | Setting = "auto"


class SupervisedMethod(Asked):
    """Answers to learn by heart."""

    hyperparameters: SupervisedSettings = SupervisedSettings()


class PreferenceMethod(Asked):
    """Direct preference optimization."""

    hyperparameters: PreferenceSettings = PreferenceSettings()


class TuningMethod(Asked):
    """`type`, and what belongs to it."""

    type: Literal["supervised", "dpo"]
    supervised: SupervisedMethod | None = None
    dpo: PreferenceMethod | None = None

    @model_validator(mode="after")
    def _of_one_type(self) -> Self:
        other = "dpo" if self.type == "supervised" else "supervised"
        if getattr(self, other) is not None:
            raise ValueError(f"{other} is not of the type {self.type}")
        return self

    def settings(self) -> SupervisedSettings:
        """Of its type."""
        if self.type == "dpo":
            return (self.dpo or PreferenceMethod()).hyperparameters
        return (self.supervised or SupervisedMethod()).hyperparameters


class NewFineTuning(Asked):
    """`recipe`: fields of a recipe, merged over the one that is made of the rest (our own: `extra_body`)."""

    model_config = example(
        model="story",
        training_file="file-01k9x0h6w2t7m4c8d5f3g1j9n0p2",
        suffix="polite",
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
        recipe={"build": {"rank": 16}},
    )
    model: str = Field(min_length=1, max_length=300)
    training_file: str = Field(min_length=1, max_length=100)
    validation_file: str | None = Field(None, min_length=1, max_length=100)
    suffix: str | None = Field(None, min_length=1, max_length=64, pattern="[A-Za-z0-9]")
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    metadata: (
        dict[
            Annotated[str, Field(min_length=1, max_length=64)],
            Annotated[str, Field(max_length=512)],
        ]
        | None
    ) = Field(None, max_length=16)
    method: TuningMethod | None = None
    hyperparameters: SupervisedSettings | None = Field(None, deprecated=True)
    integrations: list[Any] | None = Field(None, max_length=0)
    recipe: dict[str, Any] = Field(default_factory=dict)

    @field_validator("recipe", mode="before")
    @classmethod
    def _or_none(cls, value: Any) -> Any:
        if _depth(value) > MOST_DEPTH:
            raise ValueError(f"at most {MOST_DEPTH} levels, as in a recipe")
        return {} if value is None else value

    @model_validator(mode="after")
    def _settings_once(self) -> Self:
        if self.method is not None and self.__dict__["hyperparameters"] is not None:
            raise ValueError("hyperparameters is the older form of method: send one of them")
        return self

    def request(self) -> FineTuneRequest:
        """As the use case has it."""
        settings = self.__dict__["hyperparameters"] or SupervisedSettings()
        settings = settings if self.method is None else self.method.settings()
        return FineTuneRequest(
            self.model,
            self.training_file,
            self.validation_file,
            self.suffix,
            self.seed,
            "supervised" if self.method is None else self.method.type,
            settings.chosen(),
            self.metadata,
            self.recipe,
        )


def _depth(value: Any) -> int:
    """Of lists and objects in each other; no further than one level too many."""
    level, depth = [value], 0
    while level and depth <= MOST_DEPTH:
        objects = [each for one in level if isinstance(one, dict) for each in one.values()]
        level = [*objects, *(each for one in level if isinstance(one, list) for each in one)]
        depth += 1
    return depth


async def body_of(request: Request) -> bytes:
    """Raises InvalidRequest for one that is large, or does not say how large it is."""
    told = request.headers.get("content-length", "")
    if not told.isdecimal() or len(told) > 12 or int(told) > MOST_BODY:
        raise InvalidRequest(
            "Content-Length", f"at most {MOST_BODY:,}", repr(told[:80]), "Send a smaller body."
        )
    return await request.body()


SentBody = Annotated[bytes, Depends(body_of)]


def parsed(kind: type[Sent], body: bytes) -> Sent:
    """The body as `kind`. Raises InvalidRequest, whose place is the parameter's name."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body", "JSON", "something else", "Send a JSON object.") from None
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _refused(error.errors(include_url=False)) from None


def _refused(errors: Sequence[Any]) -> InvalidRequest:
    """The first mistake that has a name of its own; what belongs to no known parameter goes first."""
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    names = [str(part) for part in first["loc"] if not _is_of_union(str(part))]
    names = names[:1] if "[key]" in names else names
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "a parameter that is supported here"
    found = "it" if first["type"] == "missing" else shown(first.get("input"))
    return InvalidRequest(
        ".".join(names) or message.split(" ")[0], message, found, "Correct it, or leave it out."
    )


def _is_of_union(part: str) -> bool:
    """What pydantic adds to the place of a mistake to tell which of several types it means."""
    return part in ("int", "float") or part.startswith(("constrained", "literal", "function"))


class OpenAIFile(BaseModel):
    """An uploaded file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str
    status_details: str | None

    @classmethod
    def of(cls, file: StoredFile) -> Self:
        """What its owner sees."""
        return cls(
            id=file.id,
            bytes=file.bytes,
            created_at=int(file.created_at),
            expires_at=_whole(file.expires_at),
            filename=file.filename,
            purpose=file.purpose,
            status=str(file.status),
            status_details=file.status_details,
        )


class OpenAIJob(BaseModel):
    """A fine-tuning job."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    error: dict[str, Any] | None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: dict[str, Any]
    model: str
    organization_id: str
    result_files: list[str]
    seed: int
    status: str
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
    integrations: list[Any]
    estimated_finish: int | None
    method: dict[str, Any]
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, job: TrainingJob, organization: str) -> Self:
        """What its owner sees."""
        asked = job.spec.options["asked"]
        settings = fine_tuning.hyperparameters(job)
        done = job.state is JobState.SUCCEEDED
        return cls(
            id=job.id,
            created_at=int(job.created_at),
            error=_error(job),
            fine_tuned_model=job.spec.options["served_as"] if done else None,
            finished_at=_whole(job.finished_at),
            hyperparameters=settings,
            model=asked["model"],
            organization_id=organization,
            result_files=list(job.result.get("result_files", ())),
            seed=asked["seed"],
            status=WISHED.get(job.wish) or STATUS[job.state],
            trained_tokens=job.result.get("trained_tokens"),
            training_file=asked["training_file"],
            validation_file=asked["validation_file"],
            integrations=[],
            estimated_finish=_estimated(job),
            method={"type": asked["method"], asked["method"]: {"hyperparameters": settings}},
            metadata=job.spec.options.get("metadata"),
        )


class OpenAIEvent(BaseModel):
    """A fact of a job: a sentence, and where it is one of the training's steps, its figures."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: str
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]

    @classmethod
    def of(cls, event: JobEvent) -> Self:
        """`id` ends with the event's number in its job."""
        figures = metrics_of(event)
        message, data = event.message, dict(event.data)
        if figures is not None:
            data = figures
            shown = ", ".join(
                f"{name.replace('_', ' ')} {value:.4g}"
                for name, value in figures.items()
                if name.endswith("loss")
            )
            message = f"Step {figures['step']}: {shown}"
        return cls(
            id=f"ftevent-{event.job_id.removeprefix('ftjob-')}-{event.seq}",
            created_at=int(event.at),
            level=event.level,
            message=message,
            type="message" if figures is None else "metrics",
            data=data,
        )


def metrics_of(event: JobEvent) -> dict[str, Any] | None:
    """Figures of steps of the last training, on all rows; None for every other event."""
    if event.kind != "steps" or "fold" in event.data or not event.data.get("steps"):
        return None
    return {
        "step": event.data["steps"][-1],
        "epoch": event.data["epoch"],
        "train_loss": event.data["losses"][-1],
    }


class OpenAICheckpoint(BaseModel):
    """A model of an epoch's end, callable by its name."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: dict[str, Any]

    @classmethod
    def of(cls, job: TrainingJob, checkpoint: Mapping[str, Any]) -> Self:
        """As the job's result has it."""
        return cls(
            id=checkpoint["id"],
            created_at=int(checkpoint["created_at"]),
            fine_tuning_job_id=job.id,
            fine_tuned_model_checkpoint=checkpoint["served_as"],
            step_number=checkpoint["step"],
            metrics={"step": checkpoint["step"], **checkpoint.get("metrics", {})},
        )


class OpenAIModel(BaseModel):
    """What `model` may name."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str

    @classmethod
    def of(cls, model: ServedModel, organization: str) -> Self:
        """Of a deployment, a fine-tuned model, a checkpoint or a base model."""
        return cls(id=model.name, created=int(model.created_at), owned_by=organization)


Listable = TypeVar("Listable", OpenAIFile, OpenAIJob, OpenAIEvent, OpenAICheckpoint)


class OpenAIList(BaseModel, Generic[Listable]):
    """A page: `after` of the next one is `last_id`."""

    object: Literal["list"] = "list"
    data: list[Listable]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, rows: Sequence[Listable], more: bool) -> Self:
        """Of these rows, in their order."""
        first, last = (rows[0].id, rows[-1].id) if rows else (None, None)
        return cls(data=list(rows), first_id=first, last_id=last, has_more=more)


class OpenAIModels(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[OpenAIModel]


class OpenAIDeleted(BaseModel):
    """What is gone."""

    id: str
    object: Literal["file", "model"]
    deleted: Literal[True] = True


def _error(job: TrainingJob) -> dict[str, Any] | None:
    failure = job.failure
    if failure is None:
        return None
    param = next((name for path, name in PARAMS.items() if path in (failure.param or "")), None)
    return {"code": failure.code, "message": failure.message, "param": param}


def _estimated(job: TrainingJob) -> int | None:
    if job.state is not JobState.RUNNING or job.needs is None or job.started_at is None:
        return None
    return int(job.started_at + job.needs.time_s)


def _whole(at: float | None) -> int | None:
    return None if at is None else int(at)
