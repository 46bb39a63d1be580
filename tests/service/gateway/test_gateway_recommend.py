"""A deployed recommender: `/models/NAME/recommend` by a real replica, with keys, quotas and use as for predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from gateway_worlds import GatewayWorld, gateway_world, until

from sixfold import Client, pipeline
from sixfold.bundle.load import Bundle, load
from sixfold.bundle.runtime import Recommends
from sixfold.recipe.load import load as load_recipe
from sixfold.serve.errors import to_json
from sixfold.serve.recommend_request import content_of, read_request
from sixfold.service.domain.people import Quota, Scope
from sixfold.service.gateway.shadow_watch import ShadowWatch
from sixfold.service.use_cases import people, registry
from sixfold.service.use_cases.registry import NewVersion

RECIPE = """version: 1
name: shop
task: recommendation
data: {source: "planted:40x30x8", time: time}
build: [{family: item_knn, neighbors: 10}]
evaluate: {folds: 2}
"""
PATH = "/models/shop/recommend"
ASKED = {"user": "u3", "k": 4, "blocked": ["i1"]}
BODY = json.dumps(ASKED).encode()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    """A deployment of a recommender that answers, which is its own shadow."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "gate").mkdir()
    (folder / "r.yaml").write_text(RECIPE)
    made = pipeline.run(load_recipe(folder / "r.yaml"), folder / "run")
    with gateway_world(folder / "gate") as gate:
        service, tenant = gate.world.service, gate.world.operator.tenant_id
        tree, size = service.artifacts.put_tree(made.bundle)
        for _ in range(2):
            with service.database.transaction() as rows:
                registry.publish(service, rows, tenant, "shop", NewVersion(tree, size))
        shadow = {"model": "shop", "version": "2"}
        gate.deploy("shop", model="shop", version="1", shadow=shadow, log_share=1.0)
        until(lambda: gate.state("shop")["state"] == "ready")
        yield gate


@pytest.fixture(scope="module")
def bundle(shop: GatewayWorld) -> Bundle:
    return load(shop.folder.parent / "run" / "bundle")


def expected(bundle: Bundle, asked: dict[str, Any]) -> dict[str, Any]:
    runtime = bundle.predictor.runtime
    assert isinstance(runtime, Recommends)
    model = runtime.recommender()
    answer = content_of(model.recommend(read_request(asked, model)), model)
    found: dict[str, Any] = json.loads(to_json(answer))
    return found


def test_it_answers_as_the_bundle_does(shop: GatewayWorld, bundle: Bundle) -> None:
    for asked in (ASKED, {"items": ["i2", "i5"]}, {"similar_to": "i4", "k": 2}, {}):
        status, headers, body = shop.ask("POST", PATH, json.dumps(asked).encode())
        assert (status, json.loads(body)) == (200, expected(bundle, asked))
        assert headers["content-type"] == "application/json"
        assert headers["x-request-id"].startswith("req-")
    with closing(Client(f"http://127.0.0.1:{shop.port}", shop.key)) as client:
        assert client.recommend("shop", ASKED) == expected(bundle, ASKED)
    status, _, body = shop.ask("POST", PATH, b'{"k": 0}')
    assert (status, json.loads(body)["error"]["where"]) == (422, "k")
    assert shop.ask("GET", PATH)[0] == 405


def test_a_key_needs_its_scope_and_its_tenant(shop: GatewayWorld) -> None:
    assert shop.ask("POST", PATH, BODY, None)[0] == 401
    reading, _ = shop.predict_key(Scope.READ)
    assert shop.ask("POST", PATH, BODY, reading)[0] == 403
    _, foreign = people.create_tenant(shop.world.service, shop.world.operator, "other", Quota())
    assert shop.ask("POST", PATH, BODY, foreign)[0] == 404


def test_quotas_and_use(shop: GatewayWorld) -> None:
    service, operator = shop.world.service, shop.world.operator
    key, key_id = shop.predict_key()
    before, mistakes = 3, 1
    statuses = [shop.ask("POST", PATH, BODY, key)[0] for _ in range(before)]
    statuses.append(shop.ask("POST", PATH, b'{"k": 0}', key)[0])
    assert statuses == [200] * before + [422]

    def used() -> list[tuple[int, int]]:
        rows = shop.json("GET", "/api/v1/usage")["data"]
        return [(row["requests"], row["errors"]) for row in rows if row["key_id"] == key_id]

    until(lambda: used() == [(before + mistakes, mistakes)])
    people.set_quota(service, operator, operator.tenant_id, Quota(requests_per_minute=2))
    shop.front.limits._quotas.forget()
    try:
        answers = [shop.ask("POST", PATH, BODY, key) for _ in range(8)]
        assert answers[0][0] == 200 and answers[-1][0] == 429
        assert int(answers[-1][1]["retry-after"]) >= 1
        assert json.loads(answers[-1][2])["code"] == "quota_exceeded"
    finally:
        people.set_quota(service, operator, operator.tenant_id, Quota())
        shop.front.limits._quotas.forget()


def test_requests_are_kept_and_the_shadow_is_compared(shop: GatewayWorld) -> None:
    assert shop.ask("POST", PATH, BODY)[0] == 200
    route = shop.front.gateway.routes[shop.world.operator.tenant_id, "shop"]
    until(lambda: route.shadow.rows > 0)
    assert route.shadow.same == route.shadow.rows
    (log,) = until(lambda: list((shop.folder / "home/gateway/requests").rglob("shop.jsonl")))
    kept = until(
        lambda: [
            one
            for line in log.read_text().splitlines()
            if json.loads((one := json.loads(line))["body"]) == ASKED
        ]
    )
    assert kept[0]["path"] == "/recommend" and "items" in json.loads(kept[0]["answer"])
    assert shop.json("GET", "/api/v1/deployments/shop/drift")["columns"] == []


def test_lists_are_the_same_in_the_same_order() -> None:
    def answer(*names: str) -> bytes:
        return json.dumps({"items": [{"item": name, "score": 1.0} for name in names]}).encode()

    watch = ShadowWatch()
    watch.sample(answer("a", "b"), answer("a", "b"))
    watch.sample(answer("a", "b"), answer("b", "a"))
    watch.sample(answer("a"), b'{"error": {}}')  # no answer: nothing to compare
    watch.read()
    assert (watch.rows, watch.same, watch.difference) == (2, 1, None)
