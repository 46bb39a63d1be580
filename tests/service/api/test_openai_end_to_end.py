"""The stock client against a server with a worker: from a file to a model that answers; and a server that is killed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai_worlds import BASE, GENERATES, published, rows
from service_process import ServiceProcess
from service_worlds import world

from language_bundles import bundle
from language_checkpoints import chats, write_lines
from sixfold.service.use_cases import registry
from sixfold.service.use_cases.registry import NewVersion

pytestmark = pytest.mark.slow
PATIENCE_S = 1800.0  # a safety net
CREATES, KILLS = 12, 8


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServiceProcess, str]]:
    """A server with a worker, and a tiny language model in its registry."""
    home = tmp_path_factory.mktemp("home")
    with world(home) as here:
        tree, size = here.service.artifacts.put_tree(bundle(home.parent / "base"))
        with here.service.database.transaction() as transaction:
            new = NewVersion(tree, size, GENERATES)
            registry.publish(here.service, transaction, here.operator.tenant_id, BASE, new)
        key = here.key
    server = ServiceProcess(home)
    server.start()
    yield server, key
    server.stop()


@pytest.fixture
def client(served: tuple[ServiceProcess, str]) -> openai.OpenAI:
    server, key = served
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, timeout=600.0)


def until(client: openai.OpenAI, job_id: str, *wanted: str) -> Any:
    """The job, once its status is one of these; another end of it is a failure."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        job = client.fine_tuning.jobs.retrieve(job_id)
        if job.status in wanted:
            return job
        assert job.status not in ("failed", "succeeded", "cancelled"), job
        time.sleep(0.5)
    raise AssertionError(f"{job_id} is not {wanted}")


def created(client: openai.OpenAI, folder: Path, epochs: int, **more: Any) -> Any:
    file = write_lines(folder / "chats.jsonl", chats(40))
    stored = client.files.create(file=file, purpose="fine-tune")
    settings = {"n_epochs": epochs, "batch_size": 4, "learning_rate_multiplier": 20}
    method = {"type": "supervised", "supervised": {"hyperparameters": settings}}
    return client.fine_tuning.jobs.create(
        model=BASE,
        training_file=stored.id,
        method=method,  # type: ignore[arg-type]
        extra_body={"recipe": {"build": {"rank": 4}}},
        **more,
    )


def test_from_a_file_to_a_model_that_answers(client: openai.OpenAI, tmp_path: Path) -> None:
    job = created(client, tmp_path, 2, suffix="polite")
    done = until(client, job.id, "succeeded")
    name = done.fine_tuned_model
    assert name.startswith(f"ft:{BASE}:sixfold:polite:") and done.trained_tokens > 0
    told = list(client.fine_tuning.jobs.list_events(job.id, limit=7))
    assert told[0].message.startswith("The job succeeded")
    figures = [one.data for one in told if one.type == "metrics"]
    assert figures and all(one["train_loss"] > 0 for one in figures)  # type: ignore[index]
    table = client.files.content(done.result_files[0]).text.splitlines()
    assert table[0] == "step,epoch,train_loss" and len(table) > 2
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=1))
    assert [one.step_number for one in checkpoints] == sorted(
        (one.step_number for one in checkpoints), reverse=True
    )
    assert len(checkpoints) == 2
    assert all(one.metrics.full_valid_loss > 0 for one in checkpoints)  # type: ignore[operator]
    names = [name, *(one.fine_tuned_model_checkpoint for one in checkpoints), BASE]
    assert set(names) <= {one.id for one in client.models.list()}
    for each in (name, checkpoints[-1].fine_tuned_model_checkpoint):  # the first epoch's
        _answers(client, each)
    assert client.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        for _ in range(20):  # a replica in work is told within a second
            client.chat.completions.create(model=name, messages=[{"role": "user", "content": "?"}])
            time.sleep(0.5)
    assert client.fine_tuning.jobs.retrieve(job.id).status == "succeeded"


def test_preferences_through_the_api(client: openai.OpenAI, tmp_path: Path) -> None:
    """DPO: the plan fills in what was left to it, and result and checkpoint answer."""
    pairs = [
        {
            "input": {"messages": row["messages"][:1]},
            "preferred_output": row["messages"][1:2],
            "non_preferred_output": [{"role": "assistant", "content": "No!"}],
        }
        for row in chats(16)
    ]
    file = write_lines(tmp_path / "pairs.jsonl", pairs)
    stored = client.files.create(file=file, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=stored.id,
        method={"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 1}}},
        extra_body={"recipe": {"build": {"rank": 2}}},
    )
    done = until(client, job.id, "succeeded")
    settings = done.method.dpo.hyperparameters
    assert (settings.n_epochs, settings.batch_size) == (1, 4)
    assert settings.beta == 0.1 and settings.learning_rate_multiplier == 1.0
    (kept,) = client.fine_tuning.jobs.checkpoints.list(job.id).data
    for name in (done.fine_tuned_model, kept.fine_tuned_model_checkpoint):
        _answers(client, name)


def _answers(client: openai.OpenAI, name: str) -> None:
    messages: Any = [{"role": "user", "content": "Say red or green?"}]
    asked: dict[str, Any] = {"model": name, "max_tokens": 4, "seed": 1}
    whole = client.chat.completions.create(messages=messages, **asked)
    assert whole.model == name and whole.usage is not None
    parts = list(client.chat.completions.create(messages=messages, stream=True, **asked))
    assert {one.model for one in parts} == {name} and len(parts) > 1
    text = "".join(one.choices[0].delta.content or "" for one in parts if one.choices)
    assert text == whole.choices[0].message.content
    assert client.completions.create(prompt="The", **asked).model == name
    vector = client.embeddings.create(model=name, input="The").data[0].embedding
    assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-3)


def test_pause_resume_and_cancel_while_it_runs(client: openai.OpenAI, tmp_path: Path) -> None:
    job = created(client, tmp_path, 500)
    until(client, job.id, "running")
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        newest = client.fine_tuning.jobs.list_events(job.id, limit=1).data[0].message
        if newest == "The job is paused.":
            break
        time.sleep(0.5)
    assert newest == "The job is paused."
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    until(client, job.id, "running")
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    found = until(client, job.id, "cancelled")
    assert found.fine_tuned_model is None and found.error is None


def test_a_server_that_is_killed_makes_no_job_twice(tmp_path: Path) -> None:
    """Killed at random while the client uploads, creates and lists: one job a create, and no other."""
    home = tmp_path / "home"
    home.mkdir()
    with world(home) as here:
        published(here, tmp_path / "bundle")
        key = here.key
    server, over = ServiceProcess(home, workers=0), threading.Event()
    draw, kills = random.Random(1), 0
    server.start()
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=100, timeout=60.0)
    found: list[str] = []

    def ask() -> None:
        file = write_lines(tmp_path / "rows.jsonl", rows())
        for number in range(CREATES):
            stored = client.files.create(file=file, purpose="fine-tune")
            job = client.fine_tuning.jobs.create(
                model=BASE, training_file=stored.id, metadata={"number": str(number)}
            )
            found.append(job.id)
            assert client.fine_tuning.jobs.list(limit=1).data
        over.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    while kills < KILLS and not over.wait(draw.uniform(0.1, 3.0)) and asking.is_alive():
        server.kill()
        server.start()
        kills += 1
    asking.join(PATIENCE_S)
    try:
        assert over.is_set() and kills > 0
        listed = list(client.fine_tuning.jobs.list(limit=7))
        numbers = [int((one.metadata or {})["number"]) for one in listed]
        assert numbers == list(reversed(range(CREATES))), "each create made one job"
        assert [one.id for one in listed] == list(reversed(found))
    finally:
        server.stop()
    print(f"{kills} kills, {CREATES} creates, {len(listed)} jobs")
