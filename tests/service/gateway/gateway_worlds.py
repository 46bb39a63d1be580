"""The whole application on a free port, in a thread, over a service in a folder; bundles and replicas are real."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny_bundle
import uvicorn
from service_worlds import World, world

from sixfold.service.api.app import create
from sixfold.service.domain.people import Scope
from sixfold.service.domain.registry import ModelVersion
from sixfold.service.gateway.bounded_head import BoundedHead
from sixfold.service.gateway.front_door import FrontDoor
from sixfold.service.use_cases import people, registry
from sixfold.service.use_cases.people import KeyRequest
from sixfold.service.use_cases.registry import NewVersion

PATIENCE_S = 300.0  # a safety net, on a machine that is busy with other things
ROW = tiny_bundle.raw()
BODY = json.dumps({"rows": [ROW]}).encode()


@dataclass
class GatewayWorld:
    """`key`: of an operator who may do everything."""

    world: World
    front: FrontDoor
    port: int
    folder: Path

    @property
    def key(self) -> str:
        return self.world.key

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        key: str | None = "",
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        """Over a connection of its own. `key` None: without one; left out, the operator's."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("content-type", "application/json")
        if key is not None:
            sent["authorization"] = f"Bearer {key or self.key}"
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def predict(self, name: str = "tiny", body: bytes = BODY, key: str = "") -> tuple[int, bytes]:
        status, _, answer = self.ask("POST", f"/models/{name}/predict", body, key)
        return status, answer

    def json(self, method: str, path: str, body: Any = None) -> Any:
        status, _, answer = self.ask(
            method, path, None if body is None else json.dumps(body).encode()
        )
        assert status < 400, (status, answer)
        return json.loads(answer) if answer else None

    def publish(
        self, model: str = "tiny", served_as: str | None = None, **changes: Any
    ) -> ModelVersion:
        """A small bundle as the model's next version. `changes`: as `tiny_bundle.parts` has them."""
        count = len(list(self.folder.glob("bundle-*")))
        bundle = tiny_bundle.make(self.folder / f"bundle-{count}", **changes)
        service = self.world.service
        tree, size = service.artifacts.put_tree(bundle)
        tenant = self.world.operator.tenant_id
        with service.database.transaction() as rows:
            return registry.publish(
                service, rows, tenant, model, NewVersion(tree, size, served_as=served_as)
            )

    def deploy(self, name: str = "tiny", **facts: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.json(
            "PUT", f"/api/v1/deployments/{name}", {"model": "tiny", **facts}
        )
        return answer

    def state(self, name: str = "tiny") -> dict[str, Any]:
        answer: dict[str, Any] = self.json("GET", f"/api/v1/deployments/{name}")
        return answer

    def up(self, name: str = "tiny", **facts: Any) -> None:
        """A deployment that answers."""
        self.publish()
        self.deploy(name, **facts)
        until(lambda: self.state(name)["state"] == "ready")

    def predict_key(self, *scopes: Scope) -> tuple[str, str]:
        """A key that may do that alone, and its id."""
        request = KeyRequest("p", frozenset(scopes or {Scope.PREDICT}))
        row, key = people.create_key(self.world.service, self.world.operator, request)
        return key, row.id


def until(condition: Callable[[], Any]) -> Any:
    """Its first value that is true."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not come about")


@contextmanager
def gateway_world(folder: Path) -> Iterator[GatewayWorld]:
    with world(folder) as made:
        front = create(made.service, folder / "home")
        config = uvicorn.Config(
            front,
            port=0,
            http=BoundedHead,
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        serving = threading.Thread(target=server.run)
        serving.start()
        try:
            until(lambda: server.started or not serving.is_alive())
            port = server.servers[0].sockets[0].getsockname()[1]
            yield GatewayWorld(made, front, port, folder)
        finally:
            server.should_exit = True
            serving.join()
