"""What is taken away is gone, what was promised is kept, and what gains nothing changes nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sixfold.build.mlp import Network
from sixfold.bundle.parity import Parity, check_parity
from sixfold.bundle.predictor import Predictor
from sixfold.compress.compress import Compressed, compress
from sixfold.compress.fixed_point import rounded
from sixfold.compress.keep import make as make_keep
from sixfold.compress.measure import compare, feeds
from sixfold.compress.surgery import keep_units
from sixfold.data.raw import text_rows
from sixfold.evaluate.model import Model
from sixfold.outcome import expected_answers, signature_of, stored_rows
from sixfold.parts import state
from sixfold.recipe.kinds import PRUNER
from sixfold.runs.context import Context

Build = Any
# pruner → family, options, what counts as its size
CASES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "features": ("linear", {}, lambda model: len(model.preparer.inputs)),
    "neurons": ("mlp", {"hidden": [32, 16]}, lambda model: sum(model.fitted.hidden)),
    "rounds": ("boosting", {"rounds": 60, "patience": None}, lambda model: model.fitted.rounds),
    "support_vectors": ("svm", {"kernel": "rbf"}, lambda model: model.fitted.support_count),
    "complexity": ("tree", {"max_depth": 8}, lambda model: model.fitted.node_count),
}


def packed(model: Model, folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    state.save(model, folder)
    return (folder / "state.safetensors").read_bytes() + (folder / "state.json").read_bytes()


def run(
    made: Build, family: str, options: dict[str, Any], section: dict[str, Any], task: str = "classification"
) -> tuple[Model, Compressed, Any]:
    job, model = made(family, options, section, task)
    return model, compress(job, model, Context()), job


def test_every_pruner_is_checked() -> None:
    assert sorted(CASES) == PRUNER.names()


@pytest.mark.parametrize("target", sorted(CASES))
def test_pruning_removes_and_keeps_the_promise(made: Build, target: str) -> None:
    family, options, size = CASES[target]
    section = {"keep": {"accuracy": -0.05}, "prune": [{"target": target}]}
    before, done, job = run(made, family, options, section)
    assert [step.accepted for step in done.steps] == [True], done.steps
    assert size(done.model) < size(before)
    assert len(done.model.export().SerializeToString()) < len(before.export().SerializeToString())
    assert np.mean(done.scores["accuracy"]) >= np.mean(job.evaluation.scores["accuracy"]) - 0.05 - 1e-12
    assert "→" in done.steps[0].why


@pytest.mark.parametrize("target", sorted(CASES))
def test_a_promise_that_cannot_be_kept_changes_nothing(
    made: Build, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, options, _ = CASES[target]
    section = {"keep": {"accuracy": -0.05}, "prune": [{"target": target}]}
    job, model = made(family, options, section)
    promise = make_keep({"accuracy": 0.0}, {"accuracy": np.array([2.0, 2.0, 2.0])})  # nothing is as good as this
    monkeypatch.setattr("sixfold.compress.keep.make", lambda allowed, before: promise)
    done = compress(job, model, Context())
    assert not done.steps[0].accepted
    assert packed(done.model, tmp_path / "a") == packed(model, tmp_path / "b")


@pytest.mark.parametrize("target", sorted(set(CASES) - {"features"}))
def test_a_family_that_does_not_fit_is_refused_with_the_reason(made: Build, target: str) -> None:
    _, done, _ = run(made, "linear", {}, {"prune": [{"target": target}]})
    assert not done.steps[0].accepted
    assert done.steps[0].why.startswith("linear ")


def test_irrelevant_columns_go_first(made: Build) -> None:
    _, done, _ = run(made, "linear", {}, {"keep": {"accuracy": -0.05}, "prune": [{"target": "features"}]})
    assert set(done.model.preparer.inputs) <= {"x0", "x1", "city"}
    assert "x0" in done.model.preparer.inputs


def test_dead_neurons_can_be_cut_without_a_trace(made: Build) -> None:
    _, model = made("mlp", {"hidden": [32, 16]}, {})
    network = model.fitted
    assert isinstance(network, Network)
    weights = [w.copy() for w in network.weights]
    weights[1][:, 5:20] = 0
    dead = type(network)(**{**network.__dict__, "weights": tuple(weights)})
    kept = [np.array([*range(5), *range(20, 32)]), np.arange(16)]
    smaller = keep_units(dead, kept)
    x = np.random.default_rng(0).normal(size=(50, weights[0].shape[1]))
    assert smaller.hidden == (17, 16)
    np.testing.assert_allclose(smaller.predict(x), dead.predict(x), rtol=0, atol=1e-6)


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e3, 1e3)), st.integers(2, 4096))
def test_fixed_point_is_the_formula(theta: Any, factor: int) -> None:
    floor, nearest = rounded(theta, factor, "floor"), rounded(theta, factor, "nearest")
    assert (floor == np.floor(theta * factor) / factor).all()
    assert (floor <= theta + 1e-9).all()
    assert (theta - floor < 1 / factor + 1e-9).all()
    assert (np.abs(nearest - theta) <= 0.5 / factor + 1e-9).all()


@pytest.mark.parametrize("family", ["linear", "mlp", "svm"])
def test_a_fixed_point_graph_stores_integers_and_answers_the_same(made: Build, family: str) -> None:
    options = {"hidden": [64, 64]} if family == "mlp" else {}
    section = {"keep": {"accuracy": -0.1}, "fixed_point": {"factor": 64}}
    before, done, job = run(made, family, options, section)
    assert done.steps[0].accepted == (family != "linear") or len(done.model.export().SerializeToString()) <= len(
        before.export().SerializeToString()
    )
    check(done.model, job)


@pytest.mark.parametrize("activations", ["dynamic", "static"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_int8_is_smaller_close_and_answers_as_served(made: Build, activations: str, task: str) -> None:
    keep = {"accuracy": -0.05} if task == "classification" else {"rmse": 30.0}
    section = {"keep": keep, "quantize": {"activations": activations}}
    before, done, job = run(made, "mlp", {"hidden": [64, 64]}, section, task)
    assert done.steps[0].accepted, done.steps
    assert len(done.model.export().SerializeToString()) < 0.6 * len(before.export().SerializeToString())
    exact, rough = before.predict(job.dataset.table), done.model.predict(job.dataset.table)
    assert np.abs(exact - rough).mean() < (0.03 if task == "classification" else 20.0)
    check(done.model, job)


def check(model: Model, job: Any) -> None:
    """The graph answers as the pipeline, after a round trip of the state through files too."""
    rows = stored_rows(job.dataset.table, 0)
    parity = Parity(text_rows(rows, model.preparer.inputs), expected_answers(model, rows))
    predictor = Predictor(model.export().SerializeToString(), signature_of(model, job.dataset, ("",)))
    assert check_parity(predictor, parity) < 1e-5 * 1000


def test_a_compressed_state_survives_files(made: Build, tmp_path: Path) -> None:
    _, done, job = run(made, "mlp", {"hidden": [64, 64]}, {"keep": {"accuracy": -0.05}, "quantize": {}})
    state.save(done, tmp_path)
    again = state.load(tmp_path, Compressed)
    assert again.steps == done.steps
    assert (again.model.predict(job.dataset.table) == done.model.predict(job.dataset.table)).all()


def test_without_time_nothing_is_tried(made: Build) -> None:
    job, model = made("linear", {}, {"prune": [{"target": "features"}]})
    done = compress(job, model, Context(deadline=time.monotonic() - 1))
    assert done.steps[0].why == "no time was left in the budget"
    assert done.model is model


def test_costs_are_measured_in_onnxruntime(made: Build) -> None:
    job, model = made("linear", {}, {})
    data = model.export().SerializeToString()
    before, after = compare(data, data, job.dataset.table)
    assert before.file_bytes == after.file_bytes == len(data)
    assert before.inputs == 7
    assert 0 < before.p50_1_ms <= before.p99_1_ms
    assert 10_000_000 < before.peak_memory_bytes < 1_000_000_000
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    labels = session.run(["label"], feeds(data, job.dataset.table, 5))[0].reshape(-1)
    assert labels.tolist() == model.labels(job.dataset.table)[:5].tolist()
