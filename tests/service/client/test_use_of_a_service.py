"""`sixfold keys`, `models` and `deployments` over HTTP: use and its cost, rotation, the ways back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from service_worlds import World

from sixfold import Client
from sixfold.cli import group
from sixfold.cli.service_options import _settings
from sixfold.service.domain.deployments import Canary
from sixfold.service.domain.errors import Unauthenticated
from sixfold.service.domain.records import Prices, Usage
from sixfold.service.use_cases import deployments, people, usage
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName


def shown(*words: str) -> str:
    done = CliRunner().invoke(group, list(words))
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.output


def test_use_and_its_cost(here: World) -> None:
    who, hour = here.operator, int(here.clock.at) // 3600 * 3600
    counts = Usage(who.tenant_id, who.key_id, hour, 1500, 2, 10, 20, 90.0)
    usage.add(here.service, [counts])
    assert "1,500 requests (2 errors)  10 + 20 tokens  1m 30s of jobs  first" in shown(
        "keys", "--usage", "30d"
    )
    found = Client().usage()
    assert found["currency"] is None and found["keys"][0]["cost"] is None
    prices = Prices(thousand_requests=2.0, currency="EUR")
    object.__setattr__(here.service, "settings", replace(here.service.settings, prices=prices))
    assert "3.0000 EUR  first" in shown("keys", "--usage", "1h")
    told = json.loads(shown("keys", "--usage", "1h", "--json"))
    assert [one["cost"] for one in (*told["keys"], *told["data"])] == [3.0, 3.0]


def test_a_key_is_rotated_and_its_use_is_written_down(here: World) -> None:
    made = Client().create_key("ci", ["read"])
    new = shown("keys", "--rotate", made["id"]).split()[-1]
    for key in (made["key"], new):
        assert people.authenticate(here.service, key).tenant_id == here.operator.tenant_id
    here.clock.at += 24 * 3600 + 1
    with pytest.raises(Unauthenticated):
        people.authenticate(here.service, made["key"])
    assert people.authenticate(here.service, new)
    verbs = [(one["verb"], one["subject"]) for one in Client().audit()]
    assert verbs[:2] == [("key.rotate", made["id"]), ("key.create", made["id"])]


def test_the_ways_back(here: World) -> None:
    for _ in range(3):
        here.finish(here.running())
    shown("models", "iris", "--promote", "production", "--version", "1")
    shown("models", "iris", "--promote", "production", "--version", "2")
    assert "iris 1  active" in (text := shown("models", "iris", "--roll-back", "production"))
    assert next(line for line in text.splitlines() if "production" in line).startswith("iris 1")
    assert "iris 3  retired" in shown("models", "iris", "--version", "3", "--retire")
    Client().delete_version("iris", "3")
    assert "iris 3" not in shown("models", "iris")
    canary = VersionName("iris", "2"), Canary("", 0.1)
    with here.service.database.transaction() as rows:
        asked = DeploymentRequest(VersionName("iris", "1"), canary=canary)
        deployments.deploy(here.service, rows, here.operator, "iris", asked)
    shown("deployments", "iris", "--change", "promote-canary")
    two = deployments.get(here.service, here.operator, "iris").version_id
    shown("deployments", "iris", "--change", "roll-back")
    assert deployments.get(here.service, here.operator, "iris").version_id != two
    nameless = CliRunner().invoke(group, ["deployments", "--change", "roll-back"])
    assert nameless.exit_code == 2 and "--change roll-back" in nameless.output


def test_options_of_the_service() -> None:
    found = _settings("30d", ("thousand-requests=2", "job-hour=0.5"), "EUR")
    assert found.keep_runs_s == 30 * 86400
    assert found.prices == Prices(thousand_requests=2.0, job_hour=0.5, currency="EUR")
    assert _settings(None, (), None).prices is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--price", "job-hours=1"], "job-hour"),
        (["--price", "job-hour"], "WHAT=NUMBER"),
        (["--price", "job-hour=-1"], "WHAT=NUMBER"),
        (["--price", "job-hour=nan"], "WHAT=NUMBER"),
        (["--currency", "EUR"], "--price"),
        (["--keep-runs", "soon"], "--keep-runs"),
    ],
)
def test_what_no_service_can_keep_to(options: list[str], told: str) -> None:
    done = CliRunner().invoke(group, ["up", *options])
    assert done.exit_code == 2 and told in done.output
