"""Figure 11: three tenants do everything that the API has, in any order: none sees, changes or names what is another's."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from http_worlds import http_client
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from service_worlds import RECIPE, world

from sixfold.service.domain.people import Quota
from sixfold.service.use_cases import people, registry
from sixfold.service.use_cases.registry import NewVersion

TENANTS: Final = ("ant", "bee", "cat")
STEPS: Final = 800  # of the slow test, all runs together
A_RUN: Final = 100
who = strategies.sampled_from(TENANTS)
pick = strategies.integers(0, 1 << 30)
done: Counter[str] = Counter()


@dataclass
class TenantView:
    """`ids`: what the server named to this tenant, by kind; `names`: as it named them itself, which hold its own word."""

    key: str
    tenant_id: str
    ids: dict[str, list[str]] = field(default_factory=dict)

    def one(self, kind: str, at: int) -> str:
        known = self.ids.get(kind) or ["nothing"]
        return known[at % len(known)]


class TenantsApart(RuleBasedStateMachine):
    """Each answer is looked through for what belongs to another: ids, keys, and the word that all its texts hold."""

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        folder = Path(self.open.enter_context(tempfile.TemporaryDirectory()))
        self.here = self.open.enter_context(world(folder))
        self.http = self.open.enter_context(http_client(self.here, folder, ""))
        self.views: dict[str, TenantView] = {}
        bundle = folder / "bundle"
        bundle.mkdir()
        (bundle / "model.onnx").write_bytes(b"x")
        for name in TENANTS:
            tenant, key = people.create_tenant(self.here.service, self.here.operator, name, Quota())
            view = self.views[name] = TenantView(key, tenant.id)
            tree, size = self.here.service.artifacts.put_tree(bundle)
            new = NewVersion(tree, size, {"signature": {"task": "generation"}, "of": secret(name)})
            with self.here.service.database.transaction() as rows:
                registry.publish(self.here.service, rows, tenant.id, "shared", new)
            view.ids["model"] = ["shared"]

    def teardown(self) -> None:
        self.open.close()

    def ask(self, name: str, method: str, path: str, **sent: Any) -> Any:
        """What came, once nothing of another tenant is in it."""
        headers = {"Authorization": f"Bearer {self.views[name].key}"} | sent.pop("headers", {})
        answer = self.http.request(method, path, headers=headers, **sent)
        done[method] += 1
        assert answer.status_code < 500, (method, path, answer.text)
        for other in TENANTS:
            if other != name:
                self.must_not_hold(answer, other, sent_text(path, sent))
        return answer

    def must_not_hold(self, answer: Any, other: str, sent: str) -> None:
        view = self.views[other]
        private = [view.key, view.tenant_id, secret(other)]
        private += [one for kind, ids in view.ids.items() if kind != "model" for one in ids]
        for one in private:
            if one in answer.text and one not in sent:  # an error may say what was asked for
                raise AssertionError(f"{one} of {other} in {answer.text[:500]}")

    def keep(self, name: str, kind: str, answer: Any) -> None:
        if answer.status_code in (200, 201):
            self.views[name].ids.setdefault(kind, []).append(answer.json()["id"])

    @rule(name=who, at=pick)
    def submit(self, name: str, at: int) -> None:
        text = f"# {secret(name)}\n{RECIPE}"
        body = {"recipe": text, "name": f"{secret(name)}-{at % 9}", "publish": "shared"}
        headers = {"Idempotency-Key": f"same-{at % 5}"}  # the same for all tenants
        self.keep(name, "job", self.ask(name, "POST", "/api/v1/jobs", json=body, headers=headers))

    @rule(
        name=who,
        data=strategies.binary(max_size=20),
        purpose=strategies.sampled_from(["data", "fine-tune"]),
    )
    def upload(self, name: str, data: bytes, purpose: str) -> None:
        path = f"/api/v1/files?filename={secret(name)}.csv&purpose={purpose}"
        self.keep(name, "file", self.ask(name, "POST", path, content=data))

    @rule(name=who, at=pick)
    def new_key(self, name: str, at: int) -> None:
        body = {"name": secret(name), "scopes": ["read"]}
        answer = self.ask(name, "POST", "/api/v1/keys", json=body)
        self.keep(name, "key", answer)

    @rule(name=who, at=pick)
    def tune(self, name: str, at: int) -> None:
        body = {
            "model": "shared",
            "training_file": self.views[name].one("file", at),
            "suffix": name,
        }
        self.keep(name, "job", self.ask(name, "POST", "/v1/fine_tuning/jobs", json=body))

    @rule(name=who, at=pick)
    def deploy(self, name: str, at: int) -> None:
        self.ask(name, "PUT", f"/api/v1/deployments/d{at % 2}", json={"model": "shared"})

    @rule(name=who, at=pick, alias=strategies.sampled_from(["production", "candidate"]))
    def promote(self, name: str, at: int, alias: str) -> None:
        path = f"/api/v1/models/shared/aliases/{alias}"
        self.ask(name, "PUT", path, json={"version": str(1 + at % 2)})

    @rule(
        name=who,
        path=strategies.sampled_from(
            (
                *("/api/v1/jobs", "/api/v1/files", "/api/v1/models", "/api/v1/models/shared"),
                *(
                    "/api/v1/deployments",
                    "/api/v1/keys",
                    "/api/v1/usage",
                    "/v1/files",
                    "/v1/models",
                ),
                *("/v1/fine_tuning/jobs", "/api/v1/tenants", "/api/v1/system/workers", "/metrics"),
                *(
                    "/api/v1/models/shared/versions/1",
                    "/api/v1/deployments/d0",
                    "/v1/models/shared",
                ),
            )
        ),
    )
    def look(self, name: str, path: str) -> None:
        self.ask(name, "GET", path)

    @rule(
        name=who,
        other=who,
        at=pick,
        verb=strategies.sampled_from(
            (
                *(("job", "GET", f"/api/v1/jobs/{{}}{rest}") for rest in ("", "/events")),
                *(
                    ("job", "POST", f"/api/v1/jobs/{{}}/{rest}")
                    for rest in ("cancel", "pause", "resume", "retry")
                ),
                *(
                    ("job", "GET", f"/v1/fine_tuning/jobs/{{}}{rest}")
                    for rest in ("", "/events", "/checkpoints")
                ),
                *(
                    ("job", "POST", f"/v1/fine_tuning/jobs/{{}}/{rest}")
                    for rest in ("cancel", "pause", "resume")
                ),
                *(
                    ("job", "GET", f"/{rest}/jobs?after={{}}")
                    for rest in ("api/v1", "v1/fine_tuning")
                ),
                *(("file", "GET", f"/{rest}/files/{{}}") for rest in ("api/v1", "v1")),
                *(("file", "GET", f"/{rest}/files/{{}}/content") for rest in ("api/v1", "v1")),
                *(("file", "DELETE", f"/{rest}/files/{{}}") for rest in ("api/v1", "v1")),
                *(("file", "GET", f"/{rest}/files?after={{}}") for rest in ("api/v1", "v1")),
                ("key", "DELETE", "/api/v1/keys/{}"),
                ("key", "POST", "/api/v1/keys/{}/rotate"),
                ("key", "GET", "/api/v1/keys?after={}"),
            )
        ),
    )
    def touch(self, name: str, other: str, at: int, verb: tuple[str, str, str]) -> None:
        """What is one's own, or what is another's: that is not there, and stays as it is."""
        kind, method, path = verb
        subject = self.views[other].one(kind, at)
        before = None if other == name else self.facts(other, kind, subject)
        answer = self.ask(name, method, path.format(subject))
        if other == name:
            if method == "POST" and kind == "key":
                self.keep(name, "key", answer)
            return
        if "after=" not in path:
            assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
        assert self.facts(other, kind, subject) == before

    @rule(name=who, other=who, at=pick)
    def use_a_foreign_file(self, name: str, other: str, at: int) -> None:
        """In a job, or for a fine-tuning: it is not there."""
        if other == name or not self.views[other].ids.get("file"):
            return
        file = self.views[other].one("file", at)
        body = {"recipe": RECIPE, "files": {"a.csv": file}}
        assert self.ask(name, "POST", "/api/v1/jobs", json=body).status_code in (400, 404, 422)
        tuning = {"model": "shared", "training_file": file}
        answer = self.ask(name, "POST", "/v1/fine_tuning/jobs", json=tuning)
        assert answer.status_code in (400, 404, 422)

    @rule(name=who, at=pick)
    def remove(self, name: str, at: int) -> None:
        self.ask(name, "DELETE", f"/api/v1/deployments/d{at % 2}")

    def facts(self, owner: str, kind: str, subject: str) -> str:
        """Of one thing, as its owner sees it."""
        if kind == "key":
            rows = self.ask(owner, "GET", "/api/v1/keys?limit=100").json()["data"]
            return json.dumps([row for row in rows if row["id"] == subject])
        answer = self.ask(owner, "GET", f"/api/v1/{kind}s/{subject}")
        return str(answer.text) if answer.status_code == 200 else "none"


def secret(name: str) -> str:
    """A word that stands in all texts of a tenant, and in nobody else's."""
    return f"secret-of-{name}"


def sent_text(path: str, sent: dict[str, Any]) -> str:
    return f"{path} {sent}"


def run_steps(runs: int, steps: int) -> int:
    """How many requests were made."""
    done.clear()
    run_state_machine_as_test(
        TenantsApart,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return sum(done.values())


def test_three_tenants_a_few_steps() -> None:
    assert run_steps(2, 25) > 20


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_three_tenants_ten_thousand_steps() -> None:
    steps = int(os.environ.get("SIXFOLD_TENANT_STEPS", STEPS))
    asked = run_steps(steps // A_RUN, A_RUN)
    print(f"{steps:,} steps, {asked:,} requests, 0 leaks: {dict(done)}")
    assert asked >= steps // 2
