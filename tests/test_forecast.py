"""The plan before the start: forecasts that hold within what they state, and refusals of what cannot fit."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold import forecast as module
from sixfold import pipeline
from sixfold.core.errors import BudgetError
from sixfold.data.load import from_frame
from sixfold.evaluate.folds import make
from sixfold.forecast import Forecast, check_memory, forecast, forecasts, in_words
from sixfold.parts.table import Dataset
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Budget, Data
from sixfold.resolve import resolve


def frame(rows: int, levels: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    size, town = rng.normal(size=rows), rng.integers(0, levels, rows)
    return pd.DataFrame({"size": size, "town": [f"t{t}" for t in town], "y": np.where(size + town > 1, "a", "b")})


def planned(rows: int, build: Any, levels: int = 3) -> tuple[list[Any], Dataset, Any]:
    loaded = from_object({"version": 1, "data": {"source": "frame", "target": "y"}, "build": build})
    data = from_frame(frame(rows, levels), Data(source="frame", target="y"), None)
    return list(resolve(loaded.recipe, data, None)), data, tuple(make(loaded.recipe.evaluate, data))


def test_time_and_disk_lie_on_the_line_through_two_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    (candidate,), data, folds = planned(50_000, {"family": "linear"})
    tried: list[int] = []

    def trial(candidate: Any, some: Dataset, seed: int) -> tuple[float, float]:
        tried.append(some.table.rows)
        assert 0.4 < np.mean(some.target.values == data.target.values[0]) / np.mean(
            data.target.values == data.target.values[0]
        ) < 1.6  # fmt: skip
        return 1.0 + some.table.rows / 1000, 10.0 * some.table.rows

    monkeypatch.setattr(module, "_trial", trial)
    found = forecast(candidate, data, folds, 0)
    assert sorted(tried) == [500, 500, 2500]
    assert found.tried == 2500
    assert found.refit_s == pytest.approx(51.0)
    assert found.folds_s == pytest.approx(sum(1 + len(fold.train) / 1000 for fold in folds))
    trained = sum(len(fold.train) for fold in folds) + 50_000
    assert found.disk_bytes == pytest.approx(10 * trained + 50_000 * 16, rel=1e-6)


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


def test_in_words() -> None:
    found = [Forecast("a", 10.0, 3.0, 10**9, 10**6, 2000), Forecast("b", 1.0, 0.5, 2 * 10**9, 10**6, 2000)]
    said = in_words(found, Budget(time="10s"))
    assert said[2].startswith(
        "forecast: 14.0 s to train, compression not counted (within a factor of 3); 2.0 GB of memory"
    )
    assert said[3].startswith("warning: budget.time 10s may not be enough")
    assert len(in_words(found, Budget(time="1m"))) == 3
    assert in_words([], Budget()) == []


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
