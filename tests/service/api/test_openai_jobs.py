"""Fine-tuning jobs through the stock client: shapes, paging, what is refused, what is sent again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai_worlds import BASE, OpenAIWorld, openai_world, rows
from service_worlds import NEEDS, holding

from sixfold.recipe.load import from_text
from sixfold.service.domain.jobs import JobFailure, JobNeeds
from sixfold.service.use_cases import jobs, workers
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.use_cases.workers import RunLine


@pytest.fixture
def here(tmp_path: Path) -> Iterator[OpenAIWorld]:
    with openai_world(tmp_path) as found:
        yield found


def test_a_job_as_the_client_reads_it(here: OpenAIWorld) -> None:
    file = here.upload(rows())
    job = here.client.fine_tuning.jobs.create(
        model=BASE, training_file=file, suffix="polite answers", seed=7, metadata={"team": "a"}
    )
    assert job.id.startswith("ftjob-")
    assert (job.object, job.status, job.model) == ("fine_tuning.job", "validating_files", BASE)
    assert (job.training_file, job.validation_file, job.seed) == (file, None, 7)
    assert job.hyperparameters.n_epochs == "auto" and job.method.type == "supervised"
    assert (job.error, job.fine_tuned_model, job.finished_at, job.trained_tokens) == (None,) * 4
    assert (job.metadata, job.result_files, job.organization_id) == ({"team": "a"}, [], "sixfold")
    assert here.client.fine_tuning.jobs.retrieve(job.id).to_dict() == job.to_dict()


def test_auto_is_what_the_plan_says(here: OpenAIWorld) -> None:
    """Until there is a plan it is `auto`; what was asked for stays as it was asked."""
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 7}}}
    job = here.job(method=method)
    assert job.hyperparameters.batch_size == "auto" and job.hyperparameters.n_epochs == 7
    held = here.world.claim("w", 0)
    assert held is not None
    told = {"epochs": 7, "batch_size": 4, "learning_rate": 1e-4, "adapt": "lora", "beta": 0.1}
    workers.planned(here.world.service, here.world.operator, holding(held), NEEDS, told)
    found = here.client.fine_tuning.jobs.retrieve(job.id)
    assert found.hyperparameters.to_dict() == {
        "n_epochs": 7,
        "batch_size": 4,
        "learning_rate_multiplier": 0.5,
    }
    assert found.method.supervised.hyperparameters.to_dict() == found.hyperparameters.to_dict()


def test_its_recipe_is_made_of_the_request(here: OpenAIWorld) -> None:
    preferences = [
        {
            "input": {"messages": row["messages"][:1]},
            "preferred_output": row["messages"][1:],
            "non_preferred_output": [{"role": "assistant", "content": "No!"}],
        }
        for row in rows()
    ]
    settings = {"n_epochs": 5, "batch_size": 2, "learning_rate_multiplier": 3, "beta": 0.2}
    created = here.client.fine_tuning.jobs.create(
        model=BASE,
        training_file=here.upload(preferences),
        validation_file=here.upload(preferences),
        seed=3,
        method={"type": "dpo", "dpo": {"hyperparameters": settings}},
        extra_body={"recipe": {"build": {"rank": 2}, "budget": {"memory": "1GiB"}}},
    )
    job = jobs.get(here.world.service, here.world.operator, created.id)
    recipe = from_text(job.spec.recipe, "recipe.yaml").model_dump(mode="json")
    (build,) = recipe["build"]
    assert build["checkpoint"] == "base" and build["adapt"] == "lora"
    assert (build["rank"], build["beta"]) == (2, 0.2)
    assert (recipe["data"]["source"], recipe["data"]["test"]) == (
        "training.jsonl",
        "validation.jsonl",
    )
    assert (recipe["train"]["epochs"], recipe["train"]["batch_size"]) == (5, 2)
    assert recipe["train"]["optimizer"]["learning_rate"] == pytest.approx(6e-4)
    assert recipe["initialize"]["seed"] == 3 and recipe["budget"]["memory"] == "1GiB"
    assert sorted(job.spec.inputs) == ["base", "training.jsonl", "validation.jsonl"]
    tree = here.world.service.artifacts.tree(job.spec.inputs["base"].removeprefix("tree:"))
    assert sorted(tree.files) == ["config.json"], "the checkpoint alone"
    assert created.method.dpo.hyperparameters.beta == 0.2


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"build": found}
    return found


@pytest.mark.parametrize(
    ("more", "param", "text"),
    [
        ({"extra_body": {"temperature": 1}}, "temperature", "supported"),
        ({"model": "nobody"}, None, "nobody"),
        ({"training_file": "file-0"}, "training_file", "file-0"),
        ({"validation_file": "file-0"}, "validation_file", "file-0"),
        ({"suffix": "x" * 65}, "suffix", "64"),
        ({"seed": -1}, "seed", "0"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "16"),
        ({"metadata": {"k" * 65: ""}}, "metadata", "64"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations", "0"),
        ({"method": {"type": "reinforcement"}}, "method.type", "supervised"),
        ({"method": {"type": "dpo"}}, "training_file", "line 1: examples"),
        ({"method": {"type": "supervised", "dpo": {}}}, "method", "dpo"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "1"),
        ({"hyperparameters": {"beta": 1}}, "hyperparameters.beta", "supported"),
        ({"hyperparameters": {}, "method": {"type": "supervised"}}, None, "method"),
        ({"extra_body": {"recipe": {"bogus": 1}}}, "recipe.bogus", "bogus"),
        ({"extra_body": {"recipe": {"build": {"rnak": 4}}}}, None, "rank"),
        ({"extra_body": {"recipe": {"build": []}}}, "recipe.build", "an object"),
        ({"extra_body": {"recipe": deep(41)}}, "recipe", "at most 40 levels"),
        ({"extra_body": {"recipe": deep(900)}}, "recipe", "at most 40 levels"),
        ({"extra_body": {"recipe": {"data": {"source": "x.csv"}}}}, "recipe.data.source", "both"),
        (
            {
                "hyperparameters": {"n_epochs": 2},
                "extra_body": {"recipe": {"train": {"epochs": 3}}},
            },
            "recipe.train.epochs",
            "both",
        ),
    ],
)
def test_what_cannot_act_is_refused_by_its_name(
    here: OpenAIWorld, more: dict[str, Any], param: str | None, text: str
) -> None:
    asked = {"model": BASE, "training_file": here.upload(rows()), **more}
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as caught:
        here.client.fine_tuning.jobs.create(**asked)
    assert text in caught.value.message
    if param is not None:
        assert isinstance(caught.value, openai.BadRequestError) and caught.value.param == param
    assert not here.client.fine_tuning.jobs.list().data


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "an empty file"),
        (b"\n\n", "an empty file"),
        (b'{"messages": []}\n', "line 1: no message of the assistant"),
        (
            b'{"a": 1}\n[1]\nno\n{"messages": 3}\n',
            "line 1: the keys 'a'; line 2: a list where an object is due; line 3: no JSON",
        ),
        (b"\xff\xfe\n", "line 1: no JSON"),
        (b'{"%b": 1}' % (b"k" * 100_000), "line 1: the keys 'kkkk"),
        (b"[" * 100_000, "line 1: no JSON"),
        (b'{"prompt": "a", "chosen": "b", "rejected": "c"}', "line 1: preferences"),
    ],
)
def test_a_training_file_is_looked_at_at_once(here: OpenAIWorld, content: bytes, text: str) -> None:
    file = here.client.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    with pytest.raises(openai.BadRequestError) as caught:
        here.client.fine_tuning.jobs.create(model=BASE, training_file=file.id)
    assert text in caught.value.message and caught.value.param == "training_file"
    assert len(caught.value.message) < 1000


def test_a_file_of_another_purpose_is_no_training_file(here: OpenAIWorld) -> None:
    file = here.client.files.create(file=("a.jsonl", b"{}"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="user_data"):
        here.client.fine_tuning.jobs.create(model=BASE, training_file=file.id)


def test_lists_come_in_pages_and_by_metadata(here: OpenAIWorld) -> None:
    made = [here.job(metadata={"n": str(n % 2), "at": str(n)}).id for n in range(5)]
    bare = here.job().id
    listed = here.client.fine_tuning.jobs.list(limit=2)
    assert listed.has_more and len(listed.data) == 2
    assert [one.id for one in listed] == [bare, *reversed(made)]
    some = here.client.fine_tuning.jobs.list(limit=1, metadata={"n": "1"})
    assert [one.id for one in some] == [made[3], made[1]]
    answer = here.http.get("/v1/fine_tuning/jobs?metadata=null").json()
    assert [one["id"] for one in answer["data"]] == [bare] and answer["has_more"] is False
    assert here.http.get("/v1/fine_tuning/jobs?bogus=1").status_code == 400


def test_pause_resume_and_cancel_take_an_empty_body(here: OpenAIWorld) -> None:
    job = here.job()
    verbs = here.client.fine_tuning.jobs
    assert verbs.pause(job.id).status == "paused"
    with pytest.raises(openai.ConflictError) as caught:
        verbs.pause(job.id)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert verbs.resume(job.id).status == "validating_files"
    empty = {"content-type": "application/json"}
    answer = here.http.post(f"/v1/fine_tuning/jobs/{job.id}/cancel", content=b"", headers=empty)
    assert answer.json()["status"] == "cancelled" and answer.json()["finished_at"]
    for verb in (verbs.cancel, verbs.pause, verbs.resume):
        with pytest.raises(openai.ConflictError):
            verb(job.id)


def test_events_are_newest_first_with_the_figures_of_steps(here: OpenAIWorld) -> None:
    job = here.job()
    world = here.world
    world.plan()
    assert here.client.fine_tuning.jobs.retrieve(job.id).status == "queued"
    running = world.claim()
    assert running is not None
    steps = {"epoch": 1, "steps": [2, 4], "losses": [3.0, 2.5]}
    lines = [
        RunLine(1, 5.0, "note", "warn", "Something.", {"text": "Something."}),
        RunLine(2, 6.0, "steps", "info", "steps: epoch 1", {**steps, "fold": 0}),
        RunLine(3, 7.0, "steps", "info", "steps: epoch 1", steps),
    ]
    workers.report(world.service, world.operator, holding(running), lines)
    shown = here.client.fine_tuning.jobs.retrieve(job.id)
    assert shown.status == "running" and shown.estimated_finish is not None
    found = list(here.client.fine_tuning.jobs.list_events(job.id, limit=2))
    assert len({one.id for one in found}) == len(found) > 4
    assert [one.type for one in found[:3]] == ["metrics", "message", "message"]
    assert found[0].data == {"step": 4, "epoch": 1, "train_loss": 2.5}
    assert (found[0].message, found[2].level) == ("Step 4: train loss 2.5", "warn")
    assert found[-1].message.startswith("The job is accepted")
    with pytest.raises(openai.BadRequestError, match="nothing"):
        here.client.fine_tuning.jobs.list_events(job.id, after="nothing")


def test_a_failed_job_says_why(here: OpenAIWorld) -> None:
    job = here.job()
    held = here.world.claim("w", 0)
    assert held is not None
    failure = JobFailure("refused", "line 3 is wrong", "training.jsonl, line 3")
    workers.failed(here.world.service, here.world.operator, holding(held), failure)
    found = here.client.fine_tuning.jobs.retrieve(job.id)
    assert found.status == "failed" and found.finished_at is not None
    assert found.error is not None and found.error.model_dump() == {
        "code": "refused",
        "message": "line 3 is wrong",
        "param": "training_file",
    }


def test_a_create_that_is_sent_again_is_the_same_job(here: OpenAIWorld) -> None:
    body = {"model": BASE, "training_file": here.upload(rows())}

    def create(retry: int, **more: Any) -> str:
        headers = {"x-stainless-retry-count": str(retry)}
        answer = here.http.post("/v1/fine_tuning/jobs", json={**body, **more}, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    first = create(0)
    assert create(1) == first == create(2)
    assert create(1, suffix="b") != first, "another body is another job"
    second = create(0)
    assert second != first, "asked for anew, not again"
    assert create(1) == second
    here.world.clock.at += 601
    assert create(1) not in (first, second), "what is that old is no repetition"
    assert len(list(here.client.fine_tuning.jobs.list())) == 4


def test_an_idempotency_key_makes_one_job(here: OpenAIWorld) -> None:
    file = here.upload(rows())
    sent = {"extra_headers": {"Idempotency-Key": "a"}}
    create = here.client.fine_tuning.jobs.create
    first, again = (create(model=BASE, training_file=file, **sent) for _ in range(2))
    assert first.id == again.id
    with pytest.raises(openai.UnprocessableEntityError):
        create(model=BASE, training_file=file, suffix="x", **sent)


def test_a_job_of_another_kind_is_none_of_these(here: OpenAIWorld) -> None:
    job = here.world.submit()
    for path in ("", "/events", "/checkpoints"):
        assert here.http.get(f"/v1/fine_tuning/jobs/{job.id}{path}").status_code == 404
    for verb in ("cancel", "pause", "resume"):
        assert here.http.post(f"/v1/fine_tuning/jobs/{job.id}/{verb}").status_code == 404
    assert not here.client.fine_tuning.jobs.list().data


def test_a_result_has_its_files_and_checkpoints(here: OpenAIWorld) -> None:
    job = here.job(suffix="polite")
    world = here.world
    world.plan(JobNeeds(1000, 1.0, 10))
    running = world.claim()
    assert running is not None
    digest, size = world.service.artifacts.put(io.BytesIO(b"step,train_loss\n"))
    result = {"metrics": {"digest": digest, "bytes": size}, "trained_tokens": 99}
    workers.succeeded(
        world.service, world.operator, holding(running), NewVersion("0" * 64, 1), result
    )
    found = here.client.fine_tuning.jobs.retrieve(job.id)
    assert found.status == "succeeded" and found.trained_tokens == 99
    name = str(found.fine_tuned_model)
    assert name.startswith(f"ft:{BASE}:sixfold:polite:")
    (file,) = found.result_files
    assert here.client.files.retrieve(file).purpose == "fine-tune-results"
    assert here.client.files.content(file).read() == b"step,train_loss\n"
    assert {one.id for one in here.client.models.list()} == {BASE, name}
    assert here.client.models.retrieve(name).id == name
    assert here.client.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        here.client.models.retrieve(name)
