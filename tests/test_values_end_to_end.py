"""Quantiles, and several targets, from the recipe to the answers of a bundle and a server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

import sixfold
from sixfold.bundle.load import load
from sixfold.core.errors import SixfoldError
from sixfold.serve.app import create

ROWS = 150
QUANTILES = {"regression": {"quantiles": [0.1, 0.5, 0.9]}}
EVERY = {
    "version": 1,
    "name": "values",
    "build": [{"family": "linear"}, {"family": "boosting", "rounds": 15, "patience": None}],
    "evaluate": {"folds": 2, "ensemble": True},
}
ROW = [{"a": 0.3, "b": -1.0, "c": "x"}, {"a": None, "b": 2.0, "c": "y"}]


def table(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=ROWS), "b": rng.normal(size=ROWS)})
    frame["c"] = rng.choice(["x", "y"], ROWS)
    noise = rng.normal(size=(2, ROWS))
    frame["price"] = 10 * frame["a"] + noise[0] * (1 + frame["b"].abs())
    frame["days"] = frame["b"] - (frame["c"] == "x") + 0.1 * noise[1]
    frame.loc[3, "days"] = np.nan
    frame.to_csv(folder / "t.csv", index=False)
    return {"source": str(folder / "t.csv"), "holdout": 0.2}


def read(run: Any, name: str) -> Any:
    return json.loads((run.bundle / name).read_text())


@pytest.fixture(scope="module")
def quantiles(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("quantiles")
    data = {**table(folder), "target": "price", "drop": ["days"]}
    evaluate = {**EVERY["evaluate"], "calibrate": ["none", "conformal"]}
    recipe = {**EVERY, "task": QUANTILES, "data": data, "evaluate": evaluate}
    return sixfold.run(recipe, out=folder / "run")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("several")
    data = {**table(folder), "target": ["price", "days"]}
    return sixfold.run({**EVERY, "data": data}, out=folder / "run")


def test_a_bundle_answers_all_quantiles_by_name(quantiles: Any) -> None:
    bundle = sixfold.load(quantiles.bundle)
    assert bundle.signature.quantiles == (0.1, 0.5, 0.9)
    answer = bundle.predict(ROW)
    for record in answer.records():
        assert list(record["value"]) == ["q0.1", "q0.5", "q0.9"]
        assert sorted(record["value"].values()) == list(record["value"].values())
    assert list(answer.columns()) == ["value_q0.1", "value_q0.5", "value_q0.9"]


@pytest.mark.parametrize("which", ["quantiles", "several"])
def test_a_server_answers_as_the_bundle_does(which: str, request: pytest.FixtureRequest) -> None:
    loaded = load(request.getfixturevalue(which).bundle)
    app = create(loaded, loaded.recipe.serve)

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/predict", json={"rows": ROW})

    found = asyncio.run(call())
    assert found.status_code == 200
    assert found.json()["predictions"] == loaded.predict(ROW).records()


def test_quantiles_are_scored_by_their_own_metrics(quantiles: Any) -> None:
    report = read(quantiles, "report.json")
    metrics = ("pinball", "interval_coverage", "interval_width")
    assert tuple(one.metric for one in quantiles.receipt.quality) == metrics
    assert all(set(line["scores"]) == set(metrics) for line in report["leaderboard"])
    assert {line["name"] for line in report["leaderboard"]} == {
        *(
            f"{one} calibrate={how}"
            for one in ("linear", "boosting")
            for how in ("none", "conformal")
        ),
        "ensemble",
    }
    quality = {one.metric: one for one in quantiles.receipt.quality}
    assert quality["pinball"].holdout_after < quality["pinball"].baseline


def test_the_report_tells_how_right_each_quantile_is(quantiles: Any) -> None:
    report = read(quantiles, "report.json")
    outputs = {one["name"]: one["scores"] for one in report["outputs"]}
    assert list(outputs) == ["q0.1", "q0.5", "q0.9", "q0.1 to q0.9, 80% of the rows"]
    winner = next(
        line for line in report["leaderboard"] if line["name"] == quantiles.receipt.candidate
    )
    inside = outputs["q0.1 to q0.9, 80% of the rows"]["rows_inside"]
    assert inside == pytest.approx(winner["scores"]["interval_coverage"])
    assert [len(scores["rows_below"]) for scores in list(outputs.values())[:3]] == [2, 2, 2]
    assert report["figures"][0]["kind"] == "quantiles"
    assert report["cohorts"] is None or report["cohorts"]["loss"] == "mean pinball loss"
    page = (quantiles.bundle / "report.html").read_text()
    assert "Each quantile, and each interval" in page
    assert "Calibration of the quantiles" in page


def test_predictions_out_of_fold_are_named(quantiles: Any, several: Any) -> None:
    for run, ends in ((quantiles, ["q0.1", "q0.5", "q0.9"]), (several, ["price", "days"])):
        found = pd.read_parquet(next(Path(run.folder).rglob("out_of_fold.parquet")))
        name = run.receipt.candidate
        assert {f"{name}: value {end}" for end in ends} <= set(found.columns)


def test_quantiles_are_explained_by_sampling(quantiles: Any) -> None:
    """Sorting and moving are no sum; what is explained are the quantiles that are answered."""
    bundle = sixfold.load(quantiles.bundle)
    found = bundle.explain(ROW[:1])
    assert "sampled" in found.how
    answer = list(bundle.predict(ROW[:1]).records()[0]["value"].values())
    assert found.base[0] + found.contributions[0].sum(axis=0) == pytest.approx(answer)


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    data = {**table(tmp_path), "target": "price", "drop": ["days"]}
    recipe = {**EVERY, "task": QUANTILES, "data": data, "build": [{"family": "linear"}]}
    recipe["evaluate"] = {"folds": 2, "calibrate": "conformal"}
    runs = [sixfold.run(recipe, out=tmp_path / name) for name in ("one", "two")]
    first, second = ((run.bundle / "model.onnx").read_bytes() for run in runs)
    assert first == second


# ---- several targets -----------------------------------------------------------------------------------------------


def test_a_bundle_answers_all_targets_by_name(several: Any) -> None:
    bundle = sixfold.load(several.bundle)
    assert bundle.signature.target == ("price", "days")
    assert [column.name for column in bundle.signature.inputs] == ["a", "b", "c"]
    for record in bundle.predict(ROW).records():
        assert list(record["value"]) == ["price", "days"]
    assert any("1 row has no target" in note for note in read(several, "report.json")["notes"])


def test_the_report_scores_each_target_and_their_mean(several: Any) -> None:
    report = read(several, "report.json")
    outputs = {one["name"]: one["scores"] for one in report["outputs"]}
    assert list(outputs) == ["price", "days"]
    winner = next(
        line for line in report["leaderboard"] if line["name"] == several.receipt.candidate
    )
    for metric in ("rmse", "mae", "r2"):
        means = np.mean([outputs[name][metric] for name in outputs], axis=0)
        assert means == pytest.approx(winner["scores"][metric])
    assert [figure["kind"] for figure in report["figures"]] == ["residuals", "residuals"]
    assert "Each target, fold by fold" in (several.bundle / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"task": {"regression": {"quantiles": [0.9, 0.1]}}}, "quantiles that rise, each once"),
        ({"data.target": ["price", "days"]}, "one target, of which quantiles are predicted"),
        (
            {"build": [{"family": "forest"}]},
            "Choose from: boosting, linear, mlp, residual_mlp, tabm",
        ),
        ({"evaluate": {"metrics": ["rmse"]}}, "metrics for quantiles; found 'rmse'"),
        ({"evaluate": {"metrics": ["interval_width"]}}, "Put pinball first"),
        ({"evaluate": {"calibrate": "platt"}}, "conformal or none, for quantiles"),
        (
            {"build": [{"family": "boosting", "monotone": {"a": 1}}]},
            "no constraints, where quantiles are predicted",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    recipe = {**EVERY, "task": QUANTILES, "data": {**table(tmp_path), "target": "price"}}
    for key, value in changes.items():
        section, _, option = key.partition(".")
        recipe[section] = {**recipe[section], option: value} if option else value
    with pytest.raises(SixfoldError) as error:
        sixfold.run(recipe, out=tmp_path / "run")
    assert text in str(error.value)


@pytest.mark.slow
def test_compression_of_quantiles_is_measured_as_any(tmp_path: Path) -> None:
    """A booster for each quantile has no rounds in common: told, and the bundle is written."""
    data = {**table(tmp_path), "target": "price", "drop": ["days"]}
    recipe = {**EVERY, "task": QUANTILES, "data": data, "evaluate": {"folds": 2}}
    recipe["build"] = [{"family": "boosting", "rounds": 10, "patience": None}]
    compress = {
        "keep": {"pinball": 0.5},
        "prune": ["features", "rounds"],
        "fixed_point": {"factor": 1000},
    }
    run = sixfold.run({**recipe, "compress": compress}, out=tmp_path / "run")
    assert run.receipt.steps
    assert np.isfinite(sixfold.load(run.bundle).predict(ROW).values).all()
