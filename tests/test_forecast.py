"""The plan before the start: forecasts that hold within what they state, and refusals of what cannot fit."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold import forecast as module
from sixfold import pipeline
from sixfold.core.errors import BudgetError
from sixfold.data.load import from_frame
from sixfold.evaluate.folds import make
from sixfold.forecast import Forecast, Trial, check_memory, forecast, forecasts, in_words
from sixfold.parts.table import Dataset
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Budget, Data
from sixfold.resolve import resolve
from sixfold.runs.context import Context


def frame(rows: int, levels: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    size, town = rng.normal(size=rows), rng.integers(0, levels, rows)
    return pd.DataFrame({"size": size, "town": [f"t{t}" for t in town], "y": np.where(size + town > 1, "a", "b")})


def planned(
    rows: int, build: Any, levels: int = 3, train: dict[str, Any] | None = None
) -> tuple[list[Any], Dataset, Any]:
    recipe = {"version": 1, "data": {"source": "frame", "target": "y"}, "build": build, "train": train or {}}
    loaded = from_object(recipe)
    data = from_frame(frame(rows, levels), Data(source="frame", target="y"), None)
    return list(resolve(loaded.recipe, data, None)), data, tuple(make(loaded.recipe.evaluate, data))


def test_time_and_disk_lie_on_the_line_through_two_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    (candidate,), data, folds = planned(50_000, {"family": "linear"})
    tried: list[int] = []

    def trial(candidate: Any, training: Dataset, count: int, seed: int, part_s: float) -> Trial:
        tried.append(count)
        assert part_s == module.TRIALS_S / 3
        return Trial(count, 1e-4, count / 1e5, 1.0 + count / 1000 - 1e-4, 10.0 * count, cut=False)

    monkeypatch.setattr(module, "_trial", trial)
    found = forecast(candidate, data, folds, 0)
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
    some = data.take(module._some(data, 500))
    assert some.table.rows == 500
    assert np.mean(some.target.values) == pytest.approx(np.mean(data.target.values), abs=0.01)


@pytest.mark.parametrize(
    ("family", "once_s", "fit_s", "tried"),
    [
        ("svm", 0.0, 0.05, [500, 500, 4082]),  # 500 · √(10/3 / 0.05): even quadratic growth would end in time
        ("svm", 0.0, 3.0, [500, 500, 527]),
        ("svm", 0.0, 4.0, [500]),  # one trial is all that there is time for
        ("mlp", 0.05, 3.0, [500, 500, 4082]),  # the loop ends in time, preparation does not
        ("boosting", 0.0, 3.3, [500, 500, 20_000]),
    ],
)
def test_what_cannot_be_interrupted_is_tried_on_fewer_rows(
    family: str, once_s: float, fit_s: float, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (candidate,), data, folds = planned(400_000, {"family": family})
    seen: list[int] = []

    def trial(candidate: Any, training: Dataset, count: int, seed: int, part_s: float) -> Trial:
        seen.append(count)
        return Trial(count, once_s, fit_s, fit_s, 10.0, cut=False)

    monkeypatch.setattr(module, "_trial", trial)
    found = forecast(candidate, data, folds, 0)
    assert seen == tried
    assert found.tried == tried[-1]
    assert found.at_least == (len(tried) == 1)


LONG = [
    {"family": "mlp", "hidden": [4]},
    {"family": "boosting", "rounds": 20_000, "patience": None},
    {"family": "linear"},
]  # fmt: skip


def test_every_trial_has_a_deadline_and_a_network_three_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that would train for days: 100,000 epochs."""
    candidates, data, folds = planned(600, LONG, train={"epochs": 100_000, "report_every": 50})
    now, whole = [time.monotonic() + 1e6], module.fit_prepared
    seen: dict[str, list[int]] = {candidate.name: [] for candidate in candidates}

    def fit(candidate: Any, prepared: Any, target: Any, context: Context) -> Any:
        assert context.deadline == now[0] + module.TRIALS_S / 3
        epochs: list[int] = []

        def listen(kind: str, facts: dict[str, Any]) -> None:
            if kind == "epoch":
                epochs.append(facts["epoch"])
            context.emit_to(kind, facts)

        deadline = time.monotonic() + 0.5 if candidate.name == "boosting" else None  # of the real clock
        model = whole(candidate, prepared, target, Context(seed=1, emit_to=listen, deadline=deadline))
        seen[candidate.name].append(max(epochs, default=0))
        now[0] += 3.0
        return model

    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(module, "fit_prepared", fit)
    monkeypatch.setattr(module, "time", clock)
    found, failed = forecasts(candidates, data, folds, Budget())
    assert failed == []
    assert seen["mlp"] == [3, 3, 3]
    network, boosting, linear = found
    assert network.refit_s == pytest.approx(3.0 * 100_000 / 3)
    assert network.folds_s == pytest.approx(len(folds) * 3.0 * 100_000 / 3)
    assert not network.at_least
    assert linear.refit_s == pytest.approx(3.0)
    assert not linear.at_least
    assert boosting.at_least  # 20,000 rounds are not grown in half a second


def test_a_network_cut_in_its_first_epoch_is_forecast_as_at_least() -> None:
    (candidate,), data, folds = planned(
        500, {"family": "mlp", "hidden": [64, 64]}, train={"epochs": 1000, "batch_size": 1, "stop": {"patience": 5}}
    )
    found = forecast(candidate, data, folds, 0, trials_s=0.15)  # 1,500 steps in 0.05 s
    assert found.at_least
    assert found.may_stop
    assert found.refit_s > 0.05 * 1000 / 3
    text = in_words([found], Budget())[0]
    assert text.startswith("forecast mlp: at least ")
    assert text.endswith("of memory; if training goes on to the last epoch")


def test_many_candidates_share_the_time_of_the_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, data, folds = planned(90, [{"family": "linear", "C": [float(c) for c in range(1, 13)]}])
    seen: list[float] = []

    def one(candidate: Any, data: Dataset, folds: Any, seed: int, trials_s: float) -> Forecast:
        seen.append(trials_s)
        return Forecast(candidate.name, 1.0, 1.0, 1, 1, 90)

    monkeypatch.setattr(module, "forecast", one)
    forecasts(candidates, data, folds, Budget())
    assert seen == [5.0] * 12
    seen.clear()
    forecasts(candidates[:2], data, folds, Budget())
    assert seen == [10.0] * 2


@pytest.mark.parametrize("build", [{"family": "linear"}, {"family": "tree"}, {"family": "svm"}])
def test_few_rows_are_tried_whole(build: dict[str, str]) -> None:
    (candidate,), data, folds = planned(90, build)
    found = forecast(candidate, data, folds, 0)
    assert found.tried == 90
    assert found.refit_s > 0
    assert found.folds_s == pytest.approx(found.refit_s * len(folds))


def test_a_trial_that_fails_is_told_and_the_others_go_on() -> None:
    build = [{"family": "mlp", "hidden": [4]}, {"family": "linear"}]
    candidates, data, folds = planned(90, build)
    broken = candidates[0].train.model_copy(update={"optimizer": {"name": "sgd", "learning_rate": 1e30}})
    candidates[0] = type(candidates[0])(**{**vars(candidates[0]), "train": broken})
    found, failed = forecasts(candidates, data, folds, Budget())
    assert [one.candidate for one in found] == ["linear"]
    assert len(failed) == 1
    assert "learning_rate" in str(failed[0])


def test_outer_folds_in_words() -> None:
    """Four times the rows, once more through all of it: five times the time; one outer fold's files at a time."""
    found = [Forecast("a", 10.0, 3.0, 10**9, 10**6, 2000), Forecast("b", 1.0, 0.5, 2 * 10**9, 10**6, 2000)]
    said = in_words(found, Budget(time="60s"), again=4.0)
    assert said[2].startswith(
        "forecast: 1m 10s to train, outer folds included, compression not counted (within a factor of 3)"
    )
    assert "4.0 MB of disk" in said[2]
    assert said[3] == (
        "warning: budget.time 60s may not be enough for evaluate.nested, which is left out then: raise it, or take fewer "
        "outer folds"
    )
    assert in_words(found, Budget(time="10s"), again=4.0)[3].startswith(
        "warning: budget.time 10s may not be enough: networks"
    )


def test_in_words() -> None:
    found = [Forecast("a", 10.0, 3.0, 10**9, 10**6, 2000), Forecast("b", 1.0, 0.5, 2 * 10**9, 10**6, 2000)]
    said = in_words(found, Budget(time="10s"))
    assert said[2].startswith(
        "forecast: 14.0 s to train, compression not counted (within a factor of 3); 2.0 GB of memory"
    )
    assert said[3].startswith("warning: budget.time 10s may not be enough")
    assert len(in_words(found, Budget(time="1m"))) == 3
    assert in_words([], Budget()) == []
    assert said[0] == "forecast a: 10.0 s on the folds, 3.0 s on all rows, 1.0 GB of memory"
    cut = in_words([replace(found[0], at_least=True), found[1]], Budget())
    assert cut[0] == "forecast a: at least 10.0 s on the folds, at least 3.0 s on all rows, 1.0 GB of memory"
    assert cut[1] == said[1]
    assert cut[2] == (
        "forecast: at least 14.0 s to train, compression not counted (trials that took too long were cut); "
        "2.0 GB of memory (within a third); at least 2.0 MB of disk; tried on 2,000 rows"
    )


def test_what_cannot_fit_is_refused_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_memory("linear", 10**9, Budget(memory="1GB"))
    with pytest.raises(
        BudgetError, match=r"budget\.memory: expected at most 500\.0 MB; found a forecast of 1\.0 GB for linear"
    ):
        check_memory("linear", 10**9, Budget(memory="500MB"))
    with pytest.raises(BudgetError, match=r"^memory: expected at most"):
        check_memory("linear", 10**15, Budget())
    loaded = from_object({
        "version": 1, "data": {"source": "frame", "target": "y"}, "build": {"family": "linear"},
        "budget": {"memory": "100GB"},
    })  # fmt: skip
    monkeypatch.setattr(module, "memory", lambda *rest: 10**12)
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
    (candidate,), data, folds = here.planned(400_000, build, 200)
    candidate.train.__dict__.update(epochs=1, batch_size=4096)
    found = here.forecast(candidate, data, folds, 0)
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


@pytest.mark.slow
@pytest.mark.parametrize("family", ["linear", "mlp", "tree", "boosting"])
def test_the_forecast_of_memory_holds_within_what_it_states(family: str) -> None:
    command = [sys.executable, "-c", MEASURE, str(Path(__file__).parent), family]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected, held = map(int, done.stdout.split())
    assert expected / module.MEMORY_ERROR < held < expected * module.MEMORY_ERROR, (expected, held)
