"""Fine-tuning as OpenAI has it: a request becomes a job of kind `fine-tune`, whose recipe is made here."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sixfold.recipe import yaml_text
from sixfold.recipe.load import problems_in
from sixfold.service.domain.errors import InvalidRequest, NotFound
from sixfold.service.domain.files import StoredFile
from sixfold.service.domain.ids import name_like, new_id
from sixfold.service.domain.jobs import TrainingJob
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.records import Remembered
from sixfold.service.domain.registry import Lineage, ModelVersion
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.use_cases import files, jobs, registry, served_models
from sixfold.service.use_cases.idempotency import Answer, OnceOnly, once
from sixfold.service.use_cases.service import Service
from sixfold.service.use_cases.training_lines import check_lines

KIND: Final = "fine-tune"  # of jobs, and the purpose of their files
RESULTS: Final = "fine-tune-results"
TRAINING, VALIDATION, BASE = "training.jsonl", "validation.jsonl", "base"
HF: Final = "hf/"  # the checkpoint within the bundle of a language model
RESENT_S: Final = 600.0  # within which a create that is sent again is the same one
KEPT_EPOCHS: Final = 3  # models of the last epochs, as OpenAI keeps them
LOOKED_AT: Final = 100  # jobs of one page, where metadata filters
# What `learning_rate_multiplier` multiplies: the family's own rates for adapters, and for all weights.
RATES: Final = {"adapters": 2e-4, "whole": 5e-5}
MADE: Final = (
    ("version",),
    ("task",),
    ("data", "source"),
    ("data", "test"),
    ("build", "family"),
    ("build", "checkpoint"),
)


@dataclass(frozen=True)
class FineTuneRequest:
    """What was asked. `hyperparameters`: without those left to the recipe; `recipe`: merged over the one that is made."""

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    seed: int | None = None
    method: str = "supervised"
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, str] | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SentCreate:
    """How a create came. `request_hash`: of its body; `retry`: how often its client had sent it before; `arrived_at`: when;
    `once`: its Idempotency-Key, which stock clients do not send.
    """

    request_hash: str
    retry: int
    arrived_at: float
    once: OnceOnly | None = None


def create(
    service: Service, who: Principal, request: FineTuneRequest, sent: SentCreate
) -> TrainingJob:
    """A job, durable when this returns. One that is sent again within ten minutes is the job that it was before: which
    was made, and how it was asked for, are written in one transaction. Raises InvalidRequest, NotFound, QuotaExceeded.
    """
    who.require(Scope.JOBS)
    made = _job_request(service, who, request)

    def work(rows: Transaction) -> Answer:
        return 200, {"id": jobs.accept(service, rows, who, made, "ftjob").id}

    if sent.once is not None:
        _, answer = once(service, who, sent.once, work)
        return jobs.get(service, who, answer["id"])
    key = f"fine-tuning {who.key_id} {sent.request_hash}"
    row = Remembered(who.tenant_id, key, sent.request_hash, service.now())
    with service.database.transaction() as rows:
        kept = rows.records.remember(row)
        known = None if kept is None else _same(rows, kept, sent)
        if known is not None:
            return known
        if kept is not None:
            rows.records.forget(who.tenant_id, key)
            rows.records.remember(row)
        job = jobs.accept(service, rows, who, made, "ftjob")
        rows.records.answered(who.tenant_id, key, 200, {"id": job.id, "retry": sent.retry})
        return job


def page(
    service: Service,
    who: Principal,
    query: PageQuery,
    metadata: Mapping[str, str] | None = None,
    without_metadata: bool = False,
) -> Page[TrainingJob]:
    """Fine-tuning jobs of the tenant, newest first: with all of this metadata, or with none."""
    found = list[TrainingJob]()
    for job in _newest(service, who, query.after):
        own = job.spec.options.get("metadata") or {}
        if (without_metadata and own) or (metadata and not metadata.items() <= own.items()):
            continue
        found.append(job)
        if len(found) > query.limit:
            break
    return Page(tuple(found[: query.limit]), len(found) > query.limit)


def get(service: Service, who: Principal, job_id: str) -> TrainingJob:
    """Raises NotFound for a job of another kind, too."""
    job = jobs.get(service, who, job_id)
    if job.spec.kind != KIND:
        raise NotFound(
            "the job", "the id of a fine-tuning job", repr(job_id[:80]), "List your jobs."
        )
    return job


def results(
    service: Service, rows: Transaction, job: TrainingJob, result: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What a success leaves besides its version: the table of its steps as a file, and a version for each checkpoint.
    Within the caller's transaction, before the version itself, which is the model's newest.
    """
    if job.spec.kind != KIND:
        return result
    now, kept = service.now(), dict(result)
    table = kept.pop("metrics", None)
    if table is not None:
        size, digest = table["bytes"], table["digest"]
        name = "step_metrics.csv"
        file = StoredFile(new_id("file"), job.tenant_id, name, RESULTS, size, digest, now)
        rows.files.add(file)
        kept["result_files"] = [file.id]
    kept["checkpoints"] = [
        _checkpoint_version(service, rows, job, one) for one in kept.get("checkpoints", ())
    ]
    return kept


def _checkpoint_version(
    service: Service, rows: Transaction, job: TrainingJob, kept: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A version, and what the job keeps of it."""
    options, step = job.spec.options, int(kept["step"])
    served_as = f"{options['served_as']}:ckpt-step-{step}"
    lineage = Lineage(job.id, job.spec.recipe, dict(job.spec.inputs), options["base"])
    new = registry.NewVersion(**kept["new"], lineage=lineage, served_as=served_as)
    publish = job.spec.publish or job.name
    version = registry.publish(service, rows, job.tenant_id, publish, new)
    return {
        "id": new_id("ftckpt"),
        "step": step,
        "metrics": kept.get("metrics", {}),
        "served_as": served_as,
        "version_id": version.id,
        "created_at": version.created_at,
    }


def hyperparameters(job: TrainingJob) -> dict[str, float | str]:
    """Of a fine-tuning job: those that were asked for; the others as its plan resolved them, `auto` until there is one."""
    asked, told = job.spec.options["asked"], job.settings
    names = ["n_epochs", "batch_size", "learning_rate_multiplier"]
    names += ["beta"] if asked["method"] == "dpo" else []
    resolved = {
        name: told[known]
        for name, known in (("n_epochs", "epochs"), ("batch_size", "batch_size"), ("beta", "beta"))
        if known in told
    }
    rate = told.get("learning_rate")
    if isinstance(rate, int | float):
        base = RATES["whole" if told.get("adapt") == "whole" else "adapters"]
        resolved["learning_rate_multiplier"] = round(rate / base, 6)
    return {name: asked["hyperparameters"].get(name, resolved.get(name, "auto")) for name in names}


def made_recipe(request: FineTuneRequest, name: str) -> dict[str, Any]:
    """The recipe of a request, with its own part merged over it. Raises InvalidRequest where that one says what the request
    says elsewhere.
    """
    asked = request.hyperparameters
    data: dict[str, Any] = {"source": TRAINING}
    data |= {"test": VALIDATION} if request.validation_file else {"holdout": 0.1}
    build: dict[str, Any] = {"family": "language", "checkpoint": BASE, "adapt": "lora"}
    build |= {"keep_epochs": KEPT_EPOCHS}
    build |= {"beta": asked["beta"]} if "beta" in asked else {}
    train: dict[str, Any] = {}
    train |= {"epochs": int(asked["n_epochs"])} if "n_epochs" in asked else {}
    train |= {"batch_size": int(asked["batch_size"])} if "batch_size" in asked else {}
    if "learning_rate_multiplier" in asked:
        train["optimizer"] = _optimizer(asked["learning_rate_multiplier"], request.recipe)
    made = {
        "version": 1,
        "name": name,
        "task": "generation",
        "data": data,
        "build": build,
        "initialize": {"seed": request.seed or 0},
        "train": train,
        "evaluate": {"scheme": "holdout", "share": 0.1},
    }
    _check_own(request, made)
    return _merged(made, request.recipe or {})


def _job_request(service: Service, who: Principal, request: FineTuneRequest) -> jobs.JobRequest:
    """Everything that can be looked at before the job is made, without a lock held."""
    with service.database.reading() as rows:
        base = served_models.version_of(rows, who.tenant_id, request.model)
        given = _files(rows, who.tenant_id, request)
    for param, file in given.items():
        with service.artifacts.open(file.digest) as source:
            check_lines(source, param, request.method)
    label = _label(request.model)
    served_as = _served_as(service, label, request.suffix)
    publish = name_like(f"{label}-{request.suffix or 'tuned'}")
    names = {"training_file": TRAINING, "validation_file": VALIDATION}
    recipe = yaml_text.dump(made_recipe(request, publish))
    _check_recipe(recipe)
    return jobs.JobRequest(
        recipe,
        {names[param]: file.id for param, file in given.items()},
        publish=publish,
        kind=KIND,
        inputs={BASE: f"tree:{_checkpoint(service, base, request.model)}"},
        options={
            "base": base.id,
            "served_as": served_as,
            "asked": {
                "model": request.model,
                "training_file": request.training_file,
                "validation_file": request.validation_file,
                "method": request.method,
                "hyperparameters": dict(request.hyperparameters),
                "seed": request.seed or 0,
                "suffix": request.suffix,
            },
            "metadata": None if request.metadata is None else dict(request.metadata),
        },
    )


def _check_recipe(text: str) -> None:
    """By the schema and the rules, as `sixfold check` does. Raises InvalidRequest with the place in `recipe`."""
    for problem in problems_in(text, "recipe"):
        place = problem.where.partition(": ")[2]
        where = f"recipe.{place}" if place else "recipe"
        raise InvalidRequest(where, problem.expected, problem.found, problem.remedy)


def _files(rows: Transaction, tenant_id: str, request: FineTuneRequest) -> dict[str, StoredFile]:
    found = {}
    for param in ("training_file", "validation_file"):
        file_id = getattr(request, param)
        if file_id is None:
            continue
        try:
            found[param] = files.found(rows, tenant_id, file_id)
        except NotFound as error:
            raise InvalidRequest(param, error.expected, error.found, error.remedy) from None
        if found[param].purpose != KIND:
            purpose = found[param].purpose
            raise InvalidRequest(
                param, f"a file of purpose {KIND}", purpose, f"Upload it with purpose={KIND}."
            )
    return found


def _checkpoint(service: Service, base: ModelVersion, model: str) -> str:
    """The digest of a tree of the base's checkpoint alone. Raises InvalidRequest for what is no language model."""
    content = service.artifacts.tree(base.tree).files
    own = {path.removeprefix(HF): one for path, one in content.items() if path.startswith(HF)}
    if "config.json" not in own:
        raise InvalidRequest(
            "model",
            "a language model",
            repr(model[:80]),
            "List the models, and choose one of text.",
        )
    text = json.dumps({"files": own}, sort_keys=True, separators=(",", ":")).encode()
    return service.artifacts.put(io.BytesIO(text))[0]


def _same(rows: Transaction, kept: Remembered, sent: SentCreate) -> TrainingJob | None:
    """The job of an earlier sending of the same create; also where the first sending comes behind its repetition."""
    if kept.created_at < sent.arrived_at - RESENT_S:
        return None
    overtaken = kept.answer.get("retry", 0) > 0 and kept.created_at >= sent.arrived_at
    if sent.retry > 0 or overtaken:
        return rows.jobs.get(kept.tenant_id, str(kept.answer.get("id")))
    return None


def _newest(service: Service, who: Principal, after: str | None) -> Iterator[TrainingJob]:
    while True:
        some = jobs.page(service, who, PageQuery(LOOKED_AT, after, where={"kind": KIND}))
        yield from some.rows
        if not some.more:
            return
        after = some.rows[-1].id


def _label(model: str) -> str:
    """The base's name, of a model or of one that was fine-tuned from it.

    >>> _label("ft:story:sixfold:polite:0abc"), _label("story@production")
    ('story', 'story')
    """
    return model.split(":")[1] if model.startswith("ft:") else model.partition("@")[0]


def _served_as(service: Service, label: str, suffix: str | None) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", suffix or "").strip("-")
    return f"ft:{label}:{service.settings.organization}:{plain}:{new_id('ft')[-8:]}"


def _optimizer(multiplier: float, own: Mapping[str, Any]) -> dict[str, Any]:
    build = own.get("build")
    whole = isinstance(build, Mapping) and build.get("adapt") == "whole"
    rate = RATES["whole" if whole else "adapters"] * multiplier
    return {
        "name": "adamw",
        "learning_rate": rate,
        "beta2": 0.95,
        "weight_decay": 0.01 if whole else 0.0,
    }


def _check_own(request: FineTuneRequest, made: Mapping[str, Any]) -> None:
    """The request's own recipe says nothing that its parameters say."""
    given = [
        (("train", "epochs"), "n_epochs"),
        (("train", "batch_size"), "batch_size"),
        (("train", "optimizer"), "learning_rate_multiplier"),
        (("build", "beta"), "beta"),
    ]
    told = [path for path, name in given if name in request.hyperparameters]
    told += [("initialize", "seed")] if request.seed is not None else []
    for name in made:
        if isinstance(made[name], Mapping) and not isinstance(
            request.recipe.get(name, {}), Mapping
        ):
            found = type(request.recipe[name]).__name__
            raise InvalidRequest(f"recipe.{name}", "an object", found, "Name its fields alone.")
    for path in (*MADE, *told):
        if _holds(request.recipe, path):
            raise InvalidRequest(
                f"recipe.{'.'.join(path)}",
                "what the other parameters do not say",
                "both",
                "Leave it out of recipe.",
            )


def _holds(value: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True


def _merged(made: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged key by key; everything else of `own` takes the place of what was made."""
    found = dict(made)
    for name, value in own.items():
        before = found.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _merged(before, value)
        found[name] = value
    return found
