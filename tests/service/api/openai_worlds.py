"""A service with a base model, and the stock client before its application, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from service_worlds import World, world
from starlette.testclient import TestClient

from sixfold.service.api.app import create
from sixfold.service.use_cases import registry
from sixfold.service.use_cases.registry import NewVersion

BASE = "story"
GENERATES = {"signature": {"task": "generation"}}


@dataclass
class OpenAIWorld:
    """`http`: to the application as it is; `client`: the stock client over it."""

    world: World
    http: TestClient
    client: openai.OpenAI

    def upload(self, rows: list[dict[str, Any]], **more: Any) -> str:
        """A file for fine-tuning: its id."""
        content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        sent = ("rows.jsonl", content)
        return self.client.files.create(file=sent, purpose="fine-tune", **more).id

    def job(self, **more: Any) -> Any:
        """A fine-tuning job on a new file."""
        return self.client.fine_tuning.jobs.create(
            model=BASE, training_file=self.upload(rows()), **more
        )


def rows(count: int = 12) -> list[dict[str, Any]]:
    """Conversations."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"Say {number}?"},
                {"role": "assistant", "content": f"I say {number}."},
            ]
        }
        for number in range(count)
    ]


def published(
    here: World, folder: Path, name: str = BASE, files: tuple[str, ...] = ("config.json",)
) -> str:
    """A version whose tree looks like that of a language model's bundle: its tree."""
    for file in files:
        (folder / "hf").mkdir(parents=True, exist_ok=True)
        (folder / "hf" / file).write_text("{}")
    (folder / "model.gguf").write_text("GGUF")
    tree, size = here.service.artifacts.put_tree(folder)
    with here.service.database.transaction() as transaction:
        new = NewVersion(tree, size, GENERATES)
        registry.publish(here.service, transaction, here.operator.tenant_id, name, new)
    return tree


@contextmanager
def openai_world(folder: Path) -> Iterator[OpenAIWorld]:
    with world(folder) as here:
        published(here, folder / "bundle")
        app = create(here.service, folder)
        headers = {"Authorization": f"Bearer {here.key}"}
        with TestClient(app, base_url="http://127.0.0.1", headers=headers) as http:
            client = openai.OpenAI(
                base_url="http://127.0.0.1/v1", api_key=here.key, http_client=http, max_retries=0
            )
            yield OpenAIWorld(here, http, client)
