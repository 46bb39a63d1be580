"""The plan before the start: forecasts that hold within what they state, and refusals of what
cannot fit.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold import pipeline
from sixfold.build import family as families
from sixfold.build import network
from sixfold.build.candidate import fits_of as settings_of
from sixfold.core.errors import BudgetError
from sixfold.data.load import from_frame
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import fit_of, prepare_rows
from sixfold.parts.fit import Fit
from sixfold.parts.table import Dataset
from sixfold.plan import forecast as module
from sixfold.plan import limits, memory, trials
from sixfold.plan.candidates import resolve
from sixfold.plan.forecast import Forecast, describe, forecast, forecasts
from sixfold.plan.limits import check_memory
from sixfold.plan.memory import MemoryNeeds, Stacks
from sixfold.plan.trials import CandidateTrial
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Budget, Data
from sixfold.runs.context import Context
from sixfold.train import loss_reporter


@pytest.fixture(autouse=True)
def _trials_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as theirs: the tests of commands have shorter ones (tests/short_figures)."""
    monkeypatch.setattr(module, "TRIALS_S", 10.0)


def frame(rows: int, levels: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    size, town = rng.normal(size=rows), rng.integers(0, levels, rows)
    return pd.DataFrame(
        {"size": size, "town": [f"t{t}" for t in town], "y": np.where(size + town > 1, "a", "b")}
    )


@cache
def table_of(rows: int, levels: int) -> Dataset:
    """Shared, as that of 400,000 rows takes seconds: nobody changes it."""
    return from_frame(frame(rows, levels), Data(source="frame", target="y"), None)


def planned(
    rows: int, build: Any, levels: int = 3, train: dict[str, Any] | None = None, count: int = 5
) -> tuple[list[Any], Dataset, Any]:
    recipe = {
        "version": 1,
        "data": {"source": "frame", "target": "y"},
        "build": build,
        "train": train or {},
        "evaluate": {"folds": count},
    }
    loaded = from_object(recipe)
    data = table_of(rows, levels)
    return list(resolve(loaded.recipe, data, None)), data, tuple(make(loaded.recipe.evaluate, data))


def test_time_and_disk_lie_on_the_line_through_two_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    (candidate,), data, folds = planned(50_000, {"family": "linear"})
    tried: list[int] = []

    def trial(
        candidate: Any, training: Dataset, count: int, seed: int, part_s: float
    ) -> CandidateTrial:
        tried.append(count)
        assert part_s == module.TRIALS_S / 3
        return CandidateTrial(
            count, 1e-4, count / 1e5, 1.0 + count / 1000 - 1e-4, 10.0 * count, cut=False
        )

    monkeypatch.setattr(module, "trial", trial)
    found = forecast(candidate, data, folds, Context())
    assert tried == [500, 500, 2500]
    assert found.tried == 2500
    assert not found.at_least
    assert not found.may_stop
    assert found.refit_s == pytest.approx(51.0)
    assert found.folds_s == pytest.approx(sum(1 + len(fold.train) / 1000 for fold in folds))
    trained = sum(len(fold.train) for fold in folds) + 50_000
    assert found.disk_bytes == pytest.approx(10 * trained + 50_000 * 16, rel=1e-6)


def test_the_rows_of_a_trial_have_the_shares_of_the_target() -> None:
    _, data, _ = planned(5000, {"family": "linear"})
    some = data.take(trials.some(data, 500))
    assert some.table.rows == 500
    assert np.mean(some.target.values) == pytest.approx(np.mean(data.target.values), abs=0.01)


@pytest.mark.parametrize(
    ("family", "once_s", "fit_s", "tried"),
    [
        (
            "svm",
            0.0,
            0.05,
            [500, 500, 4082],
        ),  # 500 · √(10/3 / 0.05): even quadratic growth would end in time
        ("svm", 0.0, 3.0, [500, 500, 527]),
        ("svm", 0.0, 4.0, [500]),  # one trial is all that there is time for
        (
            "mlp",
            0.0375,
            2.2,
            [500, 500, 4082],
        ),  # the loop ends in time, preparation does not; and one more trial follows
        ("boosting", 0.0, 3.3, [500, 500, 20_000]),
    ],
)
def test_what_cannot_be_interrupted_is_tried_on_fewer_rows(
    family: str, once_s: float, fit_s: float, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (candidate,), data, folds = planned(400_000, {"family": family})
    seen: list[int] = []

    def trial(
        candidate: Any, training: Dataset, count: int, seed: int, part_s: float
    ) -> CandidateTrial:
        seen.append(count)
        return CandidateTrial(count, once_s, fit_s, fit_s, 10.0, cut=False)

    monkeypatch.setattr(module, "trial", trial)
    monkeypatch.setattr(module, "together_s", lambda *given: None)
    monkeypatch.setattr(families, "cores", lambda: 1)
    found = forecast(candidate, data, folds, Context())
    assert seen == tried
    assert found.tried == tried[-1]
    assert found.at_least == (len(tried) == 1)


LONG = [
    {"family": "mlp", "hidden": [4]},
    {"family": "boosting", "rounds": 20_000, "patience": None},
    {"family": "linear"},
]


def test_every_trial_has_a_deadline_and_a_network_three_epochs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A recipe that would train for days: 100,000 epochs."""
    candidates, data, folds = planned(600, LONG, train={"epochs": 100_000, "report_every": 50})
    now, whole = [time.monotonic() + 1e6], trials.fit_prepared
    seen: dict[str, list[int]] = {candidate.name: [] for candidate in candidates}

    def fit(candidate: Any, prepared: Any, target: Any, context: Context) -> Any:
        assert context.deadline == now[0] + module.TRIALS_S / (4 if candidate.name == "mlp" else 3)
        epochs: list[int] = []

        def listen(kind: str, facts: dict[str, Any]) -> None:
            if kind == "epoch":
                epochs.append(facts["epoch"])
                now[0] += 0.5
            context.emit_to(kind, facts)

        deadline = (
            time.monotonic() + 0.5 if candidate.name == "boosting" else None
        )  # of the real clock
        model = whole(
            candidate, prepared, target, Context(seed=1, emit_to=listen, deadline=deadline)
        )
        seen[candidate.name].append(max(epochs, default=0))
        now[0] += 0.0 if epochs else 3.0
        return model

    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(trials, "fit_prepared", fit)
    monkeypatch.setattr(trials, "time", clock)
    monkeypatch.setattr(loss_reporter, "OFTEN_S", 0.0)  # an event of every epoch
    monkeypatch.setattr(families, "cores", lambda: 1)
    monkeypatch.setattr(module, "together_s", lambda *given: 3 * 50_000.0)  # of five folds
    found, failed = forecasts(candidates, data, folds, Budget())
    assert failed == []
    assert seen["mlp"] == [3, 3, 3]
    network, boosting, linear = found
    assert network.refit_s == pytest.approx(50_000.0)
    assert network.folds_s == pytest.approx(3 * 50_000.0)
    assert not network.at_least
    assert linear.refit_s == pytest.approx(3.0)
    assert not linear.at_least
    assert boosting.at_least  # 20,000 rounds are not grown in half a second


def test_a_network_cut_in_its_first_epoch_is_forecast_as_at_least() -> None:
    (candidate,), data, folds = planned(
        500,
        {"family": "mlp", "hidden": [64, 64]},
        train={"epochs": 1000, "batch_size": 1, "stop": {"patience": 5}},
    )
    found = forecast(candidate, data, folds, Context(), trials_s=0.15)  # 1,500 steps in 0.05 s
    assert found.at_least
    assert found.may_stop
    assert found.refit_s > 0.05 * 1000 / 3
    text = describe([found], Budget())[0]
    assert text.startswith("forecast mlp: at least ")
    assert text.endswith("of memory; if training goes on to the last epoch")


def test_many_candidates_share_the_time_of_the_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, data, folds = planned(90, [{"family": "tree", "max_depth": list(range(1, 13))}])
    seen: list[float] = []

    def one(
        candidate: Any, data: Dataset, folds: Any, seed: int, trials_s: float, alike: Any
    ) -> Forecast:
        seen.append(trials_s)
        return Forecast(candidate.name, 1.0, 1.0, 1, 1, 90)

    monkeypatch.setattr(module, "forecast", one)
    forecasts(candidates, data, folds, Budget())
    assert seen == [5.0] * 12
    seen.clear()
    forecasts(candidates[:2], data, folds, Budget())
    assert seen == [10.0] * 2


def same(count: int, rows: int = 90) -> tuple[list[Any], Dataset, Any]:
    """Networks that differ in their learning rate, and train as one."""
    rates = [{"name": "adam", "learning_rate": 0.001 * (1 + at)} for at in range(count)]
    return planned(rows, {"family": "mlp", "hidden": [4]}, train={"optimizer": rates})


def test_folds_and_candidates_that_train_as_one_are_tried_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A single fit takes 2 s, all 15 of them as one 9 s: a candidate has 3 s of that, and one that
    trains alone 2 s.
    """
    candidates, data, folds = same(3)
    asked: list[tuple[int, int, int]] = []

    def together(
        alike: Any, fits: int, training: Dataset, count: int, seed: int, part_s: float
    ) -> float:
        asked.append((len(alike), fits, count))
        assert part_s == module.TRIALS_S / 4
        return 9.0

    monkeypatch.setattr(
        module,
        "trial",
        lambda one, data, count, *rest: CandidateTrial(count, 0.0, 0.05, 2.0, 1.0, cut=False),
    )
    monkeypatch.setattr(module, "together_s", together)
    found, failed = forecasts(candidates, data, folds, Budget())
    assert failed == []
    assert asked == [(3, 5, 90)]
    assert [one.candidate for one in found] == [candidate.name for candidate in candidates]
    assert [one.folds_s for one in found] == pytest.approx([3.0] * 3)
    assert [one.refit_s for one in found] == [2.0] * 3
    monkeypatch.setattr(
        module, "together_s", lambda *given: None
    )  # cut in its first epoch: as if each trained alone
    assert forecasts(candidates, data, folds, Budget())[0][0].folds_s == pytest.approx(10.0)


def test_penalties_that_share_a_solver_are_tried_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, data, folds = planned(90, {"family": "linear", "C": [0.1, 1.0, 10.0, 100.0]})
    monkeypatch.setattr(
        module,
        "trial",
        lambda one, data, count, *rest: CandidateTrial(count, 0.1, 0.05, 1.0, 1.0, cut=False),
    )
    monkeypatch.setattr(
        module,
        "together_s",
        lambda alike, fits, *rest: 2.0 if (len(alike), fits) == (4, 1) else 1e9,
    )
    found, _ = forecasts(candidates, data, folds, Budget())
    assert [one.folds_s for one in found] == pytest.approx([5 * (0.1 + 2.0 / 4)] * 4)


def test_folds_that_a_solver_works_on_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fit takes 0.1 s and two at once 0.12 s: five folds on two cores 0.12 + 0.12 + 0.1 s, and
    their preparation.
    """
    (candidate,), data, folds = planned(600, {"family": "forest"})
    monkeypatch.setattr(families, "cores", lambda: 2)
    monkeypatch.setattr(
        module,
        "trial",
        lambda one, data, count, *rest: CandidateTrial(count, 0.01, 0.1, 0.1, 1.0, cut=False),
    )
    monkeypatch.setattr(
        module,
        "together_s",
        lambda alike, fits, *rest: 0.12 if (len(alike), fits) == (1, 2) else 1e9,
    )
    found = forecast(candidate, data, folds, Context())
    assert found.folds_s == pytest.approx(5 * 0.01 + 0.34)
    monkeypatch.setattr(families, "cores", lambda: 1)
    assert forecast(candidate, data, folds, Context()).folds_s == pytest.approx(5 * 0.11)


def test_stacks_are_no_larger_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the training itself: as many folds as the cache holds, in stacks as large as
    `fit_many` makes them.
    """
    candidates, data, folds = same(3)
    size = memory.sizes(candidates[0], data, folds, Context())
    family: Any = candidates[0].family
    one = family.cost(settings_of(candidates, [size.few]), size.rows).fit_bytes
    assert memory.stacks_of(candidates, size, 5) == Stacks(5, 15)
    monkeypatch.setattr(network, "STACK_BYTES", 4 * one)
    assert memory.stacks_of(candidates, size, 5) == Stacks(5, 4)
    assert Stacks(5, 4).parts(5, 3) == [4, 4, 4, 3]
    every = settings_of(candidates, fits_of(candidates, data, folds))
    assert [len(stack) for stack in family._stacks(every)] == [4, 4, 4, 3]
    monkeypatch.setattr(network, "CACHE_BYTES", 2 * size.fold)
    assert memory.stacks_of(candidates, size, 5) == Stacks(2, 4)
    assert Stacks(2, 4).parts(5, 3) == [4, 2, 4, 2, 3]


def fits_of(candidates: Any, data: Dataset, folds: Any) -> list[Any]:
    parts = [data.take(fold.train) for fold in folds]
    return [
        fit_of(prepare_rows(candidates[0], part, Context()), part.target, Context())
        for part in parts
    ]


def test_networks_that_train_as_one_are_held_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, data, folds = same(3)
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=0))
    monkeypatch.setattr(network.NetworkFamily, "finish_bytes", 0)
    monkeypatch.setattr(families.Family, "finish_bytes", 0)
    monkeypatch.setattr(memory, "psutil", SimpleNamespace(Process=lambda: process))
    size = memory.sizes(candidates[0], data, folds, Context())
    one = candidates[0].family.cost(settings_of(candidates, [size.few]), size.rows).fit_bytes
    alone, together = (memory.memory(alike, data, folds) for alike in (candidates[:1], candidates))
    assert together - alone == 10 * one
    tree = planned(90, {"family": "tree"})[0]
    assert memory.memory(tree, data, folds) < alone


def test_later_epochs_are_counted_without_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first epoch takes 5 s with its start, the others 1 s each: 100 take 104 s, not 100 · 7 /
    3.
    """
    now = [0.0]
    monkeypatch.setattr(trials, "time", SimpleNamespace(monotonic=lambda: now[0]))
    seen = trials._Seen(0.0)
    for epoch, took in ((1, 5.0), (2, 1.0), (3, 1.0)):
        now[0] += took
        seen.listen("epoch", {"epoch": epoch})
    assert seen.all_s(100) == pytest.approx(104.0)


def test_an_epoch_that_was_cut_is_no_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first took 4 s, the second was cut after 1 s; and one that was cut is all there is."""
    now = [0.0]
    monkeypatch.setattr(trials, "time", SimpleNamespace(monotonic=lambda: now[0]))
    seen = trials._Seen(0.0)
    for epoch, at in ((1, 4.0), (2, 5.0)):
        now[0] = at
        seen.listen("epoch", {"epoch": epoch})
    seen.listen("training_stopped", {"cut": True})
    assert seen.all_s(10) == pytest.approx(40.0)
    alone = trials._Seen(0.0)
    alone.listen("epoch", {"epoch": 1})
    alone.listen("training_stopped", {"cut": True})
    assert alone.all_s(10) == pytest.approx(50.0)


@pytest.mark.parametrize("build", [{"family": "linear"}, {"family": "tree"}, {"family": "svm"}])
def test_few_rows_are_tried_whole(build: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "cores", lambda: 1)
    (candidate,), data, folds = planned(90, build)
    found = forecast(candidate, data, folds, Context())
    assert found.tried == 90
    assert found.refit_s > 0
    assert found.folds_s == pytest.approx(found.refit_s * len(folds))


def test_a_trial_that_fails_is_told_and_the_others_go_on() -> None:
    build = [{"family": "mlp", "hidden": [4]}, {"family": "linear"}]
    candidates, data, folds = planned(90, build)
    broken = candidates[0].train.model_copy(
        update={"optimizer": {"name": "sgd", "learning_rate": 1e30}}
    )
    candidates[0] = type(candidates[0])(**{**vars(candidates[0]), "train": broken})
    found, failed = forecasts(candidates, data, folds, Budget())
    assert [one.candidate for one in found] == ["linear"]
    assert len(failed) == 1
    assert "learning_rate" in str(failed[0])


def test_outer_folds_in_words() -> None:
    """Four times the rows, once more through all of it: five times the time; one outer fold's files
    at a time.
    """
    found = [
        Forecast("a", 10.0, 3.0, 10**9, 10**6, 2000),
        Forecast("b", 1.0, 0.5, 2 * 10**9, 10**6, 2000),
    ]
    notes = describe(found, Budget(time="60s"), again=4.0)
    assert notes[2].startswith(
        "forecast: 1m 10s to train, outer folds included, compression not counted (within a factor of 3)"
    )
    assert "4.0 MB of disk" in notes[2]
    assert notes[3] == (
        "warning: budget.time 60s may not be enough for evaluate.nested, which is left out then: raise it, or take fewer "
        "outer folds"
    )
    assert describe(found, Budget(time="10s"), again=4.0)[3].startswith(
        "warning: budget.time 10s may not be enough: networks"
    )


def test_in_words() -> None:
    found = [
        Forecast("a", 10.0, 3.0, 10**9, 10**6, 2000),
        Forecast("b", 1.0, 0.5, 2 * 10**9, 10**6, 2000),
    ]
    notes = describe(found, Budget(time="10s"))
    assert notes[2].startswith(
        "forecast: 14.0 s to train, compression not counted (within a factor of 3); 2.0 GB of memory"
    )
    assert notes[3].startswith("warning: budget.time 10s may not be enough")
    assert len(describe(found, Budget(time="1m"))) == 3
    assert describe([], Budget()) == []
    assert notes[0] == "forecast a: 10.0 s on the folds, 3.0 s on all rows, 1.0 GB of memory"
    cut = describe([replace(found[0], at_least=True), found[1]], Budget())
    assert (
        cut[0]
        == "forecast a: at least 10.0 s on the folds, at least 3.0 s on all rows, 1.0 GB of memory"
    )
    assert cut[1] == notes[1]
    assert cut[2] == (
        "forecast: at least 14.0 s to train, compression not counted (trials that took too long were cut); "
        "2.0 GB of memory (within a third); at least 2.0 MB of disk; tried on 2,000 rows"
    )


def test_what_cannot_fit_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_memory("linear", 10**9, Budget(memory="1GB"))
    with pytest.raises(
        BudgetError,
        match=r"budget\.memory: expected at most 500\.0 MB; found a forecast of 1\.0 GB for linear",
    ):
        check_memory("linear", 10**9, Budget(memory="500MB"))
    with pytest.raises(BudgetError, match=r"^memory: expected at most"):
        check_memory("linear", 10**15, Budget())
    loaded = from_object(
        {
            "version": 1,
            "data": {"source": "frame", "target": "y"},
            "build": {"family": "linear"},
            "budget": {"memory": "100GB"},
        }
    )
    monkeypatch.setattr(limits, "needs_of", lambda *rest: MemoryNeeds({"workspace": 10**12}, {}))
    data = from_frame(frame(90), loaded.recipe.data, None)
    with pytest.raises(BudgetError, match="a forecast of"):
        pipeline.run(loaded, tmp_path / "run", dataset=data)
    assert not (tmp_path / "run" / "evaluate-0").exists()


MEASURE = textwrap.dedent("""
    import sys, threading, time
    import psutil
    sys.path.insert(0, sys.argv[1])
    import test_forecast as here
    from sixfold.evaluate.cross_validation import FoldCache, cross_validate
    from sixfold.evaluate.model import fit_model
    from sixfold.runs.context import Context
    build = {"family": sys.argv[2]} | ({"hidden": [16]} if sys.argv[2] == "mlp" else {})
    (candidate,), data, folds = here.planned(150_000, build, 200, count=3)
    candidate.train.__dict__.update(epochs=1, batch_size=4096)
    found = here.forecast(candidate, data, folds, Context(), trials_s=0.3)
    peak = [0]  # from here on: making the table took more

    def look():
        while True:
            peak[0] = max(peak[0], psutil.Process().memory_info().rss)
            time.sleep(0.01)

    threading.Thread(target=look, daemon=True).start()
    cross_validate(candidate, data, folds, ["accuracy"], Context(), FoldCache())
    fit_model(candidate, data, Context())
    print(found.memory_bytes, peak[0])
""")


def test_kernel_matrices_and_trees_are_counted() -> None:
    """Of 4,000 rows a kernel matrix takes 128 MB, and three of them are held; a forest's nodes grow
    with its trees.
    """
    few = fit_of_rows(2000)
    (kernel, svm, svms, forest, forests) = (
        family_of(build)
        for build in (
            {"family": "kernel_ridge"},
            {"family": "svm"},
            {"family": "svm"},
            {"family": "forest", "trees": 10},
            {"family": "forest", "trees": 100},
        )
    )
    assert kernel.cost([few], 4000).fit_bytes == 3 * 8 * 4000**2
    assert kernel.cost([few], 10**6).fit_bytes == 3 * 8 * 5000**2  # its sample
    assert kernel.cost([few] * 10, 4000).fit_bytes > kernel.cost([few], 4000).fit_bytes
    assert svm.cost([few], 4000).fit_bytes == 4 * 4000**2
    assert svms.cost([few] * 3, 4000).fit_bytes == 16 * 4000**2
    assert forests.cost([few], 8000).fit_bytes == pytest.approx(
        10 * forest.cost([few], 8000).fit_bytes, rel=0.2
    )
    assert (
        forest.cost([few], 4000).model_bytes
        < forest.cost([few], 40_000).model_bytes
        <= 10 * 2**13 * 41
    )


@pytest.mark.parametrize("deep", [4, 12])
def test_nodes_of_a_tree_are_found_from_few_rows(deep: int) -> None:
    """Within a factor of two of the tree that is grown in the end."""
    many, few = fit_of_rows(20_000), fit_of_rows(2000)
    tree = family_of({"family": "tree", "max_depth": deep, "min_rows_leaf": 3})
    grown = tree._estimator(many).set_params(ccp_alpha=0.0).fit(many.x, many.y).tree_.node_count
    assert grown / 2 < tree._nodes(few, 20_000) < grown * 2


def family_of(build: dict[str, Any]) -> Any:
    settings = dict(build)
    return FAMILY.load(settings.pop("family"))(**settings)


def fit_of_rows(rows: int) -> Fit:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 10)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=rows) > 0).astype(np.int64)
    return Fit(x, y, "classification", 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kernel_ridge, 3,200 × 20", "boosting, 40 rounds, 60,000 × 100"])
def test_the_forecast_of_a_whole_run_holds_within_a_third(name: str) -> None:
    code = f"from bench.forecast import HELD, held; print(*held(HELD[{name!r}], 2))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    notes, most = map(int, done.stdout.split())
    assert notes / memory.MEMORY_ERROR < most < notes * memory.MEMORY_ERROR, (notes, most)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["linear", "mlp", "tree", "boosting"])
def test_the_forecast_of_memory_holds_within_what_it_states(family: str) -> None:
    command = [sys.executable, "-c", MEASURE, str(Path(__file__).parent), family]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected, held = map(int, done.stdout.split())
    assert expected / memory.MEMORY_ERROR < held < expected * memory.MEMORY_ERROR, (expected, held)
