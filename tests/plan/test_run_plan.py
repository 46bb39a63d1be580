"""The plan of a run: what fits, what makes it fit, here and elsewhere; and how it stands beside what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sixfold
from sixfold import pipeline
from sixfold.core.errors import BudgetError, RecipeError
from sixfold.data.load import from_frame
from sixfold.parts.table import Dataset
from sixfold.plan import clock, limits, memory, rules, run_plan
from sixfold.plan.limits import MemoryBounds, Work
from sixfold.plan.machines import machine_of
from sixfold.plan.memory import MemoryNeeds
from sixfold.plan.reading import read_rows
from sixfold.plan.rules import Planning
from sixfold.plan.run_plan import PlanQuestion, foresee
from sixfold.recipe.load import Loaded, from_object
from sixfold.recipe.plan import RunPlan
from sixfold.recipe.strategy import PLAIN, Strategy

FAMILIES = [
    *("linear", "tree", "forest", "extra_trees", "boosting", "svm", "mlp", "residual_mlp", "tabm")
]


def frame(rows: int, columns: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns))
    named = {f"n{at}": x[:, at] for at in range(columns)}
    return pd.DataFrame({**named, "y": np.where(x[:, 0] + rng.normal(size=rows) > 0, "a", "b")})


def planning(rows: int, build: Any, machine: str | None = None, **sections: Any) -> Planning:
    loaded = recipe(build, **sections)
    data = from_frame(frame(rows), loaded.recipe.data, None)
    return Planning(loaded.recipe, data, None if machine is None else machine_of(machine))


def recipe(build: Any, **sections: Any) -> Loaded:
    return from_object(
        {"version": 1, "data": {"source": "frame", "target": "y"}, "build": build, **sections}
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images of 16 pixels a side, two classes."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(48):
        own = folder / ("a" if number % 2 else "b")
        own.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
            own / f"{number}.png"
        )
    return folder


def of_pictures(
    folder: Path, budget: dict[str, Any] | None = None, precision: str = "float32"
) -> Planning:
    sections: dict[str, Any] = {
        "version": 1,
        "data": {"source": str(folder), "target": "label", "holdout": 0},
        "build": {"family": "cnn", "size": "small"},
        "train": {"epochs": 1, "batch_size": 32, "precision": precision},
        "evaluate": {"folds": 2},
    }
    training = read_rows(from_object(sections)).training
    return Planning(from_object({**sections, "budget": budget or {}}).recipe, training)


@pytest.mark.parametrize("family", FAMILIES)
def test_more_rows_never_need_less(family: str) -> None:
    plans = [
        foresee(planning(rows, {"family": family}), PlanQuestion()) for rows in (300, 1_000, 4_000)
    ]
    needed = [sum(s.bytes for s in one.memory.shares if s.what != "process") for one in plans]
    assert needed == sorted(needed)
    assert all(one.disk_bytes for one in plans)


@pytest.mark.parametrize("family", FAMILIES)
def test_more_rows_never_take_less_work(family: str) -> None:
    (group,) = planning(300, {"family": family}).placed
    own, few = (
        group.work.alike[0].family,
        limits.fits_of(group.work.alike, [group.placement.size.few]),
    )
    works = [own.expected(few, rows) for rows in (300, 1_000, 4_000)]
    assert None not in works
    took_s = [clock.seconds(one, machine_of("1x cpu").core, 1, 1) for one in works if one]
    assert took_s == sorted(took_s)
    assert took_s[0] < took_s[-1]


def test_shares_add_up_and_the_largest_comes_first() -> None:
    plan = foresee(planning(2_000, [{"family": "svm"}, {"family": "linear"}]), PlanQuestion())
    sizes = [share.bytes for share in plan.memory.shares]
    assert sum(sizes) == plan.memory.bytes
    assert sizes == sorted(sizes, reverse=True)
    assert plan.memory.of == "svm"
    assert plan.time is not None
    assert sum(one.seconds for one in plan.time.stages) == pytest.approx(plan.time.seconds)


def test_a_smaller_machine_refuses_what_a_larger_one_accepts() -> None:
    build = {"family": "kernel_ridge"}
    large = planning(3_000, {"family": "svm"}, "4x cpu, 64GiB")
    assert limits_of(large) == []
    (refused,) = limits_of(planning(3_000, {"family": "svm"}, "4x cpu, 300MiB"))
    assert refused.where == "memory"
    assert "at most 314.6 MB" in str(refused)
    assert build


def limits_of(one: Planning) -> list[BudgetError]:
    return [error for error in one.violations() if isinstance(error, BudgetError)]


def needs(process: int, other: int, rows: int = 0) -> Any:
    """Memory that grows with the rows of the work, in the place of what is held."""

    def found(
        alike: Any, training: Dataset, folds: int, size: Any, stacks: Any, device: str
    ) -> MemoryNeeds:
        return MemoryNeeds({"process": process, "features": other + rows * training.table.rows}, {})

    return found


def test_rows_that_are_said_to_fit_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "needs_of", needs(100_000_000, 0, 100_000))
    one = planning(5_000, {"family": "linear"}, budget={"memory": "400MB"})
    (refused,) = limits_of(one)
    assert refused.remedy.startswith("At most 3,000 rows fit; or budget.memory: 573MiB")
    assert limits_of(planning(3_000, {"family": "linear"}, budget={"memory": "400MB"})) == []
    assert limits_of(planning(5_000, {"family": "linear"}, budget={"memory": "573MiB"})) == []


def tight(one: Planning, share: float) -> str:
    """A budget between what is needed with the plain strategy and with the strongest."""
    (group,) = one.placed
    steps = list(group.work.alike[0].family.lighter(*_asked(group.work, group.placement.size)))
    least = (
        group.work.with_strategy(steps[-1].strategy).placed(group.placement.size, one.room).needs
    )
    most = group.placement.needs.host_bytes
    return f"{int(least.host_bytes + share * (most - least.host_bytes))}B"


def _asked(work: Work, size: Any) -> Iterator[Any]:
    yield limits.fits_of(work.alike, [size.few])
    yield size.rows


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process holds the same whenever it is asked, and the end of the run takes nothing."""

    class Process:
        def memory_info(self) -> Any:
            return type("Held", (), {"rss": 300_000_000})

    monkeypatch.setattr("sixfold.plan.memory.psutil.Process", Process)
    monkeypatch.setattr("sixfold.build.network.NetworkFamily.finish_bytes", 0)
    monkeypatch.setattr("sixfold.build.module_family.ModuleFamily.finish_bytes", 0)
    monkeypatch.setattr("sixfold.build.module_family.ModuleFamily.writing", 0)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_the_change_that_a_refusal_names_fits(pictures: Path, share: float) -> None:
    budget = tight(of_pictures(pictures), share)
    (refused,) = limits_of(of_pictures(pictures, {"memory": budget}))
    assert "The smallest change that fits: budget: {strategy: {" in refused.remedy
    written = refused.remedy.split("{strategy: {")[1].split("}")[0]
    changes = dict(part.split(": ") for part in written.split(", "))
    strategy = {
        key: value == "true" if value in ("true", "false") else int(value)
        for key, value in changes.items()
    }
    assert limits_of(of_pictures(pictures, {"memory": budget, "strategy": strategy})) == []


@pytest.mark.usefixtures("settled")
def test_auto_takes_the_weakest_strategy_that_fits(pictures: Path) -> None:
    plain = of_pictures(pictures)
    assert foresee(plain, PlanQuestion()).strategies == {}
    nearly = of_pictures(pictures, {"memory": tight(plain, 0.95), "strategy": "auto"})
    least = of_pictures(pictures, {"memory": tight(plain, 0.02), "strategy": "auto"})
    assert limits_of(nearly) == limits_of(least) == []
    first, strongest = foresee(nearly, PlanQuestion()), foresee(least, PlanQuestion())
    assert (
        first.strategies["cnn"].fits_at_once == 1 or first.strategies["cnn"].gradient_checkpointing
    )
    assert strongest.strategies["cnn"].gradient_checkpointing
    assert strongest.strategies["cnn"].micro_batch is None  # its batch norm mixes rows
    assert strongest.memory.bytes <= least.room.host
    assert strongest.steps[-1].why.startswith("of 3 blocks of layers")
    assert any("gradient_checkpointing: true" in text for text in strongest.sentences())


@pytest.mark.usefixtures("settled")
def test_where_nothing_helps_auto_is_refused_as_well(pictures: Path) -> None:
    (refused,) = limits_of(of_pictures(pictures, {"memory": "10MB", "strategy": "auto"}))
    assert "No number of rows fits" in refused.remedy


@pytest.mark.usefixtures("settled")
def test_stacks_of_fewer_networks_need_less() -> None:
    one = planning(2_000, {"family": "mlp", "hidden": [1024, 1024]})
    (group,) = one.placed
    size = group.placement.size
    sizes = [
        group.work.with_strategy(Strategy(fits_at_once=count)).placed(size, one.room)
        for count in (1, 4, 5)
    ]
    assert [placed.stacks.replicas for placed in sizes] == [1, 4, 5]
    held = [placed.needs.host_bytes for placed in sizes]
    assert held[0] < held[1] < held[2]


def test_a_device_holds_what_is_trained_on_it() -> None:
    plan = foresee(planning(2_000, {"family": "mlp"}, "2xL4"), PlanQuestion(price=3.0))
    assert plan.device is not None
    assert plan.device.limit == 24 * 2**30
    assert {share.what for share in plan.device.shares} >= {"driver", "parameters", "optimizer"}
    assert "parameters" not in {share.what for share in plan.memory.shares}
    assert plan.time is not None
    assert plan.price == pytest.approx(3.0 * plan.time.seconds / 3600)


def test_further_processes_hold_networks_of_their_own() -> None:
    def held(count: int, **strategy: Any) -> dict[str, int]:
        budget = {"data_parallel": count, "strategy": strategy or "fixed"}
        plan = planning(2_000, {"family": "mlp", "hidden": [1024, 1024]}, "8x cpu", budget=budget)
        return {one.what: one.bytes for one in foresee(plan, PlanQuestion()).memory.shares}

    alone, two, three = held(1), held(2), held(3)
    assert "other processes" not in alone
    assert three["other processes"] == 2 * two["other processes"]
    assert two["other processes"] == memory.RANK_BYTES + sum(
        two.get(name, 0)
        for name in ("parameters", "gradients", "optimizer", "workspace", "features")
    )
    sharded = MemoryNeeds({"parameters": 80, "gradients": 80, "optimizer": 160, "features": 8}, {})
    parts = sharded.in_ranks(4, shard=True).host
    assert parts == {
        "parameters": 100,  # the first process has all of them, too
        "gradients": 20,
        "optimizer": 40,
        "features": 8,
        "other processes": 3 * (memory.RANK_BYTES + 20 + 20 + 40 + 8),
    }


def test_a_batch_norm_has_as_many_rows_as_in_one_process(pictures: Path) -> None:
    """Of 32 rows there is one part."""
    with pytest.raises(RecipeError) as raised:
        rules.batches_can_be_divided(of_pictures(pictures, {"data_parallel": 2}))
    assert str(raised.value) == (
        "budget.data_parallel: expected at most a process for each 32 rows, which a batch norm sees, of a batch of cnn: 1, of "
        "24 rows; found 2. Lower it, or raise train.batch_size."
    )


def test_more_cores_take_less_time() -> None:
    few, many = (
        foresee(planning(4_000, {"family": "forest"}, name), PlanQuestion()).time
        for name in ("1x cpu", "8x cpu")
    )
    assert few is not None
    assert many is not None
    assert _stage(many, "evaluate") < 0.5 * _stage(few, "evaluate")


def _stage(time: Any, name: str) -> float:
    return float(next(one.seconds for one in time.stages if one.stage == name))


def test_a_trial_is_scaled_by_what_counting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    one = planning(600, {"family": "linear"}, "1x cpu")
    tried = run_plan.Forecast("linear", 4.0, 1.0, 1, 1, 500)
    monkeypatch.setattr(run_plan, "forecasts", lambda *given: ([tried], []))
    counted = iter([clock.CountedTime(9.0, 1.0), clock.CountedTime(4.0, 1.0)])
    monkeypatch.setattr(run_plan, "counted", lambda *given: next(counted))
    found = foresee(one, PlanQuestion(probe=True)).time
    assert found is not None
    assert found.how == "tried"
    assert _stage(found, "evaluate") == pytest.approx(8.0)
    assert _stage(found, "refit") == pytest.approx(2.0)


def test_a_search_has_as_many_trials_as_it_asks_for() -> None:
    options = {"search": {"trials": 40}}
    build = {"family": "linear", "C": {"low": 0.1, "high": 10.0}}
    searched = foresee(planning(500, build, evaluate=options), PlanQuestion()).time
    plain = foresee(planning(500, {"family": "linear"}), PlanQuestion()).time
    assert searched is not None
    assert plain is not None
    assert _stage(searched, "evaluate") > 10 * _stage(plain, "evaluate")


def test_the_plan_is_the_first_stage_of_a_run(tmp_path: Path) -> None:
    loaded = recipe({"family": "linear"})
    data = from_frame(frame(200), loaded.recipe.data, None)
    events: list[dict[str, Any]] = []
    done = pipeline.run(loaded, tmp_path / "run", [events.append], dataset=data)
    stages = [event["stage"] for event in events if event["event"] == "stage_started"]
    assert stages[0] == "plan"
    (planned,) = [event for event in events if event["event"] == "planned"]
    assert planned["plan"]["memory"]["of"] == "linear"
    assert all(isinstance(event["time"], float) for event in events), "of the event, never a fact"
    assert 2 <= len(planned["text"]) <= 4
    report = json.loads((done.bundle / "report.json").read_text())
    assert [line["what"] for line in report["plan"]] == [
        "memory",
        "evaluate",
        "refit",
        "all of it, until here",
    ]
    assert all(line["ratio"] > 0 for line in report["plan"])
    assert "<h2>Plan</h2>" in (done.bundle / "report.html").read_text()
    events.clear()
    pipeline.run(loaded, tmp_path / "run", [events.append], dataset=data)
    assert next(e["stage"] for e in events if e["event"] == "stage_skipped") == "plan"


def test_a_run_keeps_the_strategy_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory was scarce when it began, and is not when it goes on: the stages are the same."""
    loaded = recipe(
        {"family": "mlp", "hidden": [8]}, train={"epochs": 1}, budget={"strategy": "auto"}
    )
    data = from_frame(frame(120), loaded.recipe.data, None)
    monkeypatch.setattr(run_plan, "foresee", lambda planning, question: _scarce(planning))
    done = pipeline.run(loaded, tmp_path / "run", dataset=data)
    monkeypatch.undo()
    events: list[dict[str, Any]] = []
    again = pipeline.run(loaded, tmp_path / "run", [events.append], dataset=data)
    assert again.bundle == done.bundle
    assert [event for event in events if event["event"] == "stage_started"] == []


def _scarce(one: Planning) -> RunPlan:
    found = foresee(one, PlanQuestion())
    return found.model_copy(update={"strategies": {"mlp": Strategy(fits_at_once=2, adapt=True)}})


def test_strategies_change_the_key_of_a_candidate_and_leave_to_adapt_does_not() -> None:
    (one,) = planning(100, {"family": "mlp"}).candidates
    assert replace(one, strategy=Strategy(adapt=True)).key() == one.key()
    assert replace(one, strategy=Strategy(micro_batch=4)).key() != one.key()
    assert one.strategy == PLAIN


def test_the_strongest_of_several_strategies() -> None:
    one, other = (
        Strategy(micro_batch=8, adapt=True),
        Strategy(micro_batch=4, gradient_checkpointing=True),
    )
    assert run_plan.strongest([one, other]) == Strategy(
        micro_batch=4, gradient_checkpointing=True, adapt=True
    )
    assert run_plan.strongest([]) is None


def test_pythons_face() -> None:
    """The function and the folder of the same name are one."""
    plan = sixfold.plan(
        {"data": {"source": "sklearn:breast_cancer", "target": "target"}, "build": "linear"},
        machine="4x cpu",
        probe=False,
        price=2.0,
    )
    assert plan.machine.startswith("4x cpu")
    assert plan.price is not None
    with pytest.raises(BudgetError, match="rows fit"):
        sixfold.plan(
            {
                "data": {"source": "sklearn:breast_cancer", "target": "target"},
                "build": "linear",
                "budget": {"memory": "1GiB"},
            },
            machine="1x cpu, 100MiB",
            probe=False,
        )


def test_a_room_is_the_budget_or_the_machine() -> None:
    machine = machine_of("1xT4, 8GiB")
    assert MemoryBounds.of(recipe("linear").recipe.budget, machine) == MemoryBounds(
        8 * 2**30, 16 * 2**30, "memory", 1.0
    )
    small = recipe("linear", budget={"memory": "1GiB"}).recipe.budget
    assert MemoryBounds.of(small, machine).host == 2**30
    assert MemoryBounds.of(small, machine).where == "budget.memory"
