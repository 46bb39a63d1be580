"""The plan of a recipe that is not submitted: bounds, turns, what is kept, and a real one."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from pathlib import Path

import pytest
from console_plans import DATA, PLAN
from console_worlds import Site, token_of
from service_worlds import RECIPE, World

from sixfold import __version__
from sixfold.service.console import recipe_planner
from sixfold.service.console.recipe_planner import PlannedRecipe, RecipePlanner
from sixfold.service.domain.errors import InvalidRequest, NotFound, QuotaExceeded, ServiceError
from sixfold.service.domain.jobs import WorkerMachine
from sixfold.service.domain.people import Quota
from sixfold.service.use_cases import files, overview, people, workers
from sixfold.service.worker import child

QUICK = """
import json, pathlib, sys, time
asked = pathlib.Path({asked!r})
asked.write_text(asked.read_text() + json.dumps([sys.argv[1:], sorted(p.name for p in pathlib.Path.cwd().iterdir())]) + "\\n")
time.sleep({sleep})
print({answer!r})
"""
SMALL = {
    "where": "budget.memory",
    "expected": "at most 2000 B",
    "found": "a forecast of 4500 B",
    "remedy": "The smallest change that fits: fewer rows.",
}


class Planned:
    """A planner whose children are a script that answers at once; `asked`: what each was asked."""

    def __init__(self, world: World, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.world, self.patch, self.script = world, patch, folder / "quick.py"
        self.log = folder / "asked.jsonl"
        self.log.write_text("")
        self.answers({"plan": PLAN, "problems": [], "data": DATA})
        patch.setattr(child, "PROGRAM", (sys.executable, str(self.script)))
        self.planner = RecipePlanner(world.service, folder / "plans")

    def answers(self, answer: object, sleep: float = 0.0) -> None:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        self.script.write_text(QUICK.format(asked=str(self.log), sleep=sleep, answer=text))

    @property
    def asked(self) -> list[list[list[str]]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def plan(self, recipe: str = RECIPE, page: str = "a", **facts: object) -> PlannedRecipe:
        return self.planner.plan(self.world.operator, page, recipe, {}, **facts)  # type: ignore[arg-type]


@pytest.fixture
def planned(here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    found = Planned(here.world, tmp_path, monkeypatch)
    here.app.api.state.planner = found.planner  # type: ignore[attr-defined]
    return found


def test_a_worker_is_asked_the_same(planned: Planned) -> None:
    made = planned.plan()
    assert made.needs == {"memory_bytes": 4500, "time_s": 90.0, "disk_bytes": 700, "how": "counted"}
    assert planned.asked == [[["plan", "recipe.yaml", "--json", "--no-probe"], ["recipe.yaml"]]]


def test_an_answer_is_kept_by_recipe_and_data(planned: Planned) -> None:
    first = planned.plan()
    assert planned.plan(page="another page") is first and len(planned.asked) == 1
    planned.plan(RECIPE + "evaluate: {folds: 3}\n")
    planned.plan(most_bytes=5_000_000)
    assert len(planned.asked) == 3
    assert planned.asked[-1][0][-2:] == ["--set", "budget.memory=5000000B"]
    assert list((planned.planner.folder).iterdir()) == []  # nothing stays


def test_files_are_beside_the_recipe_and_its_owners_alone(planned: Planned) -> None:
    world = planned.world
    file = files.upload(world.service, world.operator, "a.csv", io.BytesIO(b"a\n1\n"), "data")
    planned.planner.plan(world.operator, "a", RECIPE, {"data/a.csv": file.id})
    assert planned.asked[0][1] == ["data", "recipe.yaml"]
    other = world.tenant("other")
    with pytest.raises(NotFound):
        planned.planner.plan(other, "a", RECIPE, {"a.csv": file.id})
    for path in ("../a.csv", "/a.csv", "recipe.yaml", ""):
        with pytest.raises(InvalidRequest):
            planned.planner.plan(world.operator, "a", RECIPE, {path: file.id})
    assert len(planned.asked) == 1


@pytest.mark.parametrize("source", ["/etc/passwd", "../../secret.csv", "~/x.csv"])
def test_a_path_outside_is_refused_before_anything_starts(planned: Planned, source: str) -> None:
    with pytest.raises(InvalidRequest, match="beside the recipe"):
        planned.plan(f"version: 1\ndata: {{source: '{source}', target: a}}\n")
    assert planned.asked == []


def test_more_data_than_a_page_may_read_is_told(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = planned.world
    file = files.upload(world.service, world.operator, "a.csv", io.BytesIO(b"a\n1\n"), "data")
    monkeypatch.setattr(recipe_planner, "MOST_DATA", 3)
    with pytest.raises(QuotaExceeded, match="the worker plans it"):
        planned.planner.plan(world.operator, "a", RECIPE, {"a.csv": file.id})


def test_a_child_that_takes_too_long_is_ended(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned.answers("{}", sleep=3600)
    monkeypatch.setattr(recipe_planner, "PLAN_S", 0.5)
    assert planned.plan().note == "late"
    planned.answers({"plan": PLAN, "problems": [], "data": DATA})
    monkeypatch.undo()
    planned.patch.setattr(child, "PROGRAM", (sys.executable, str(planned.script)))
    assert planned.plan().plan == PLAN  # what came late is not kept


def test_a_page_that_asks_again_ends_what_it_asked_before(planned: Planned) -> None:
    planned.answers("{}", sleep=3600)
    notes: list[str] = []
    thread = threading.Thread(target=lambda: notes.append(planned.plan().note))
    thread.start()
    while not planned.asked:
        time.sleep(0.02)
    planned.answers({"plan": PLAN, "problems": [], "data": DATA})
    assert planned.plan(RECIPE + "evaluate: {folds: 3}\n").plan == PLAN
    thread.join()
    assert notes == ["asked_again"]


def test_others_wait_for_their_turn_and_are_told_where_it_does_not_come(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe_planner, "WAIT_S", 0.1)
    with planned.planner._turn, pytest.raises(ServiceError, match="others are planned") as told:
        planned.plan()
    assert told.value.status == 503
    for number in range(recipe_planner.MOST_WAITING):
        planned.planner._newest[str(number)] = object()
    with pytest.raises(ServiceError, match="others are planned"):
        planned.plan()
    assert planned.asked == []


@pytest.mark.parametrize("answer", ["", "no JSON", "[]"])
def test_a_server_that_cannot_plan_says_so(planned: Planned, answer: str) -> None:
    planned.answers(answer)
    made = planned.plan()
    assert made.plan is None and made.problems[0]["where"] == "sixfold plan"


def shown(here: Site, recipe: str = RECIPE) -> str:
    return str(here.post("/console/plan", page="/console/jobs/new", recipe=recipe, nonce="n").text)


def with_worker(here: Site, all_bytes: int, free_bytes: int) -> None:
    machine = WorkerMachine("worker-a", "a", 2, all_bytes, free_bytes, 0.0, __version__)
    workers.hello(here.world.service, here.world.operator, machine)


def test_the_page_shows_the_plan_and_what_dominates(here: Site, planned: Planned) -> None:
    with_worker(here, 9000, 8000)
    text = shown(here)
    assert "4.4 KiB" in text and "1 min 30 s" in text and "6 min 0 s" in text
    assert text.index("features") < text.index("folds")  # the larger share first
    assert "It fits, and would start at once." in text
    assert "&lt;b&gt;linear" in text and "&lt;i&gt;size" in text and "&lt;u&gt;odd" in text
    assert "150" in text and "3 missing" in text


@pytest.mark.parametrize(
    ("all_bytes", "free_bytes", "quota", "word"),
    [
        (9000, 4500, None, "now"),
        (9000, 4499, None, "later"),
        (4499, 4499, None, "never"),
        (9000, 9000, 4499, "never"),
        (9000, 9000, 4500, "now"),
        (None, 0, None, "unknown"),
        (None, 0, 10, "never"),
    ],
)
def test_where_it_fits(
    here: Site, all_bytes: int | None, free_bytes: int, quota: int | None, word: str
) -> None:
    made = here.world
    if all_bytes is not None:
        with_worker(here, all_bytes, free_bytes)
    limits = Quota(memory_bytes=quota)
    people.set_quota(made.service, made.operator, made.operator.tenant_id, limits)
    assert overview.room(made.service, made.operator).fits(4500) == word


def test_a_quota_is_shared_with_what_runs(here: Site) -> None:
    made = here.world
    made.running()  # is planned to take 1,000 bytes
    with_worker(here, 9000, 9000)
    people.set_quota(made.service, made.operator, made.operator.tenant_id, Quota(memory_bytes=5000))
    room = overview.room(made.service, made.operator)
    assert (room.running_bytes, room.fits(4000), room.fits(4001)) == (1000, "now", "later")


def test_what_fits_nowhere_is_told_with_what_would(here: Site, planned: Planned) -> None:
    with_worker(here, 2000, 2000)
    few = json.dumps({"plan": PLAN, "problems": [SMALL], "data": DATA})
    many = json.dumps({"plan": PLAN, "problems": [], "data": DATA})
    said = f"print({few!r} if 'budget.memory=2000B' in sys.argv else {many!r})"
    script = planned.script.read_text()
    planned.script.write_text(f"{script[: script.rindex('print(')]}{said}\n")
    text = shown(here)
    assert "It fits on no worker" in text and "The smallest change that fits: fewer rows." in text
    assert len(planned.asked) == 2


def test_a_mistake_of_the_recipe_is_a_note(here: Site, planned: Planned) -> None:
    token = token_of(here.client, "/console/jobs/new")
    asked = {"form_token": token, "recipe": "version: 1\nnonsense: 2\n"}
    answer = here.client.post("/console/plan", data=asked, headers={"HX-Request": "true"})
    assert answer.status_code == 422 or answer.status_code == 400
    assert 'class="fault"' in answer.text and "nonsense" in answer.text and planned.asked == []


def test_who_may_submit_nothing_may_plan_nothing(here: Site, planned: Planned) -> None:
    with_worker(here, 9000, 9000)
    from sixfold.service.domain.people import Scope
    from sixfold.service.use_cases.people import KeyRequest

    asked = KeyRequest("reader", frozenset({Scope.READ}))
    _, key = people.create_key(here.world.service, here.world.operator, asked)
    reader = here.sign_in(key)
    token = token_of(reader, "/console")
    answer = reader.post("/console/plan", data={"form_token": token, "recipe": RECIPE})
    assert answer.status_code == 403 and planned.asked == []


@pytest.mark.slow
def test_a_real_plan(here: Site, tmp_path: Path) -> None:
    """The command itself, in a child process, on data that were uploaded."""
    world = here.world
    rows = "".join(f"{at * 7 % 23},{'red' if at % 3 else ''},{at % 2}\n" for at in range(60))
    content = io.BytesIO(f"size,colour,kind\n{rows}".encode())
    file = files.upload(world.service, world.operator, "a.csv", content, "data")
    recipe = "version: 1\ndata: {source: a.csv, target: kind}\nbuild: {family: linear}\n"
    planner = RecipePlanner(world.service, tmp_path / "plans")
    made = planner.plan(world.operator, "a", recipe, {"a.csv": file.id})
    assert made.problems == () and made.needs is not None and made.needs["memory_bytes"] > 0
    assert made.data is not None and made.data["rows"] == 60
    kinds = {one["name"]: (one["kind"], one["missing"]) for one in made.data["columns"]}
    assert kinds == {"size": ("number", 0), "colour": ("category", 20)}
    small = planner.plan(world.operator, "a", recipe, {"a.csv": file.id}, 1_000_000)
    assert "budget.memory" in small.problems[0]["where"] and small.problems[0]["remedy"]
    wrong = planner.plan(world.operator, "a", recipe.replace("kind}", "kin}"), {"a.csv": file.id})
    assert wrong.plan is None and "kin" in wrong.problems[0]["found"]
