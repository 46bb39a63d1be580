"""Calibrated models with thresholds: fitted on training rows only, scored, decided and exported as
one.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.metrics import f1_score

from evaluating import Array, candidate, dataset, saved
from sixfold.compress.measure import feeds
from sixfold.core.errors import BudgetError, DataError, RecipeError
from sixfold.evaluate import cross_fit, scoring, thresholds
from sixfold.evaluate.calibrators import Platt
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts import state
from sixfold.parts.table import Dataset, Table, Target
from sixfold.plan.candidates import resolve
from sixfold.recipe.schema import Evaluate, Recipe
from sixfold.runs.context import Context

THREE = ("a", "b", "c")


def answers(model: Model, table: Table) -> dict[str, Array]:
    data = model.export().SerializeToString()
    feed = feeds(data, table, table.rows)
    session = onnxruntime.InferenceSession(data)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def rare(rows: int = 240, seed: int = 0) -> Dataset:
    """One row in six is of the second class, and looks only somewhat like it."""
    data = dataset(rows, seed=seed)
    wage = np.log(data.table.columns["wage"].values) + 0.8 * np.random.default_rng(seed + 5).normal(
        size=rows
    )
    y = (wage.argsort().argsort() >= rows * 5 // 6).astype(np.int64)
    return replace(data, target=replace(data.target, values=y))


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize("classes", [("n", "y"), THREE])
@pytest.mark.parametrize(
    "family", ["svm", "linear", "boosting", "forest", "extra_trees", "tree", "mlp"]
)
def test_the_graph_answers_as_the_calibrated_model(
    family: str, classes: tuple[str, ...], method: str
) -> None:
    data = dataset(150, classes=classes)
    chosen = candidate({"family": family}, train={"epochs": 5}, calibration={"calibrate": method})
    model = fit_model(chosen, data, Context(seed=2))
    other = dataset(400, classes=classes, seed=9)
    found, p = answers(model, other.table), model.predict(other.table)
    assert list(found) == ["label", "probability"]
    assert model.output == "probability"
    np.testing.assert_allclose(found["probability"], p, rtol=0, atol=5e-6)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert found["label"][:, 0].tolist() == model.labels(other.table).tolist()
    scores = scoring.score_all(["log_loss", "accuracy"], other.target, p, model.output)
    assert all(score is not None for score in scores.values())


def test_an_svm_is_scored_by_log_loss_when_it_is_calibrated() -> None:
    data = dataset(200)
    folds = make(Evaluate(folds=3), data)
    plain = cross_validate(
        candidate({"family": "svm"}), data, folds, ["log_loss", "accuracy"], Context()
    )
    chosen = candidate({"family": "svm"}, calibration={"calibrate": "platt"})
    found = cross_validate(chosen, data, folds, ["log_loss", "accuracy"], Context())
    assert (plain.output, found.output) == ("decision", "probability")
    assert np.isnan(plain.scores["log_loss"]).all()
    assert found.means()["log_loss"] < np.log(2) - 0.05
    np.testing.assert_allclose(found.predictions.sum(axis=1), 1)
    assert [type(model.calibrator) for model in found.models] == [Platt] * 3


def test_the_model_itself_is_the_one_of_all_rows_and_says_what_was_done(tmp_path: Path) -> None:
    data = rare()
    plain = fit_model(candidate({"family": "svm"}), data, Context(seed=3))
    asked = {"calibrate": "isotonic", "threshold": "f1"}
    model = fit_model(candidate({"family": "svm"}, calibration=asked), data, Context(seed=3))
    np.testing.assert_array_equal(
        plain.fitted.predict(plain.preparer.transform(data.table)), plain.predict(data.table)
    )
    np.testing.assert_array_equal(
        replace(model, calibrator=None).predict(data.table), plain.predict(data.table)
    )
    assert model.threshold is not None
    assert model.notes[-2:] == (
        "Probabilities: calibrated (Isotonic) on predictions of inner folds.",
        f"Labels: ja where its probability is above {model.threshold:.4g}.",
    )
    assert plain.notes == plain.preparer.notes
    before = saved(model, tmp_path / "model")
    back = state.load(tmp_path / "model", Model)
    assert saved(back, tmp_path / "again") == before
    np.testing.assert_array_equal(back.predict(data.table), model.predict(data.table))


@pytest.mark.parametrize("build", [{"family": "linear"}, {"family": "svm", "kernel": "linear"}])
def test_a_threshold_decides_labels_and_no_probability(build: dict[str, Any]) -> None:
    data, other = rare(), rare(seed=7)
    plain = fit_model(candidate(build), data, Context())
    model = fit_model(candidate(build, calibration={"threshold": "f1"}), data, Context())
    scores = model.predict(other.table)
    np.testing.assert_array_equal(scores, plain.predict(other.table))
    assert model.threshold is not None
    above = scores[:, 1] > model.threshold
    assert model.labels(other.table).tolist() == np.where(above, "ja", "nein").tolist()
    found = answers(model, other.table)
    assert found["label"][:, 0].tolist() == model.labels(other.table).tolist()
    metrics = ["f1", "roc_auc", "log_loss"]
    scored = scoring.score_all(metrics, other.target, scores, model.output, model.threshold)
    unmoved = scoring.score_all(metrics, other.target, scores, model.output)
    assert scored["f1"] == pytest.approx(f1_score(other.target.values, above))
    assert scored["f1"] > unmoved["f1"]  # type: ignore[operator]  # rare classes are seldom the likelier one
    assert [scored[name] for name in metrics[1:]] == [unmoved[name] for name in metrics[1:]]


def test_folds_are_scored_by_their_own_thresholds() -> None:
    data = rare()
    folds = make(Evaluate(folds=3), data)
    found = cross_validate(
        candidate({"family": "linear"}, calibration={"threshold": "f1"}),
        data,
        folds,
        ["f1", "accuracy"],
        Context(),
    )
    plain = cross_validate(
        candidate({"family": "linear"}), data, folds, ["f1", "accuracy"], Context()
    )
    by_hand = [
        f1_score(
            data.target.values[fold.validation],
            found.predictions[fold.validation, 1] > model.threshold,
        )
        for fold, model in zip(folds, found.models, strict=True)
    ]
    np.testing.assert_allclose(found.scores["f1"], by_hand)
    np.testing.assert_array_equal(found.predictions, plain.predictions)
    assert found.means()["f1"] > plain.means()["f1"]


@pytest.mark.parametrize("scheme", ["stratified", "group", "time_series"])
def test_validation_rows_move_no_bit_of_calibrator_and_threshold(
    scheme: str, tmp_path: Path
) -> None:
    data = dataset(90)
    data = replace(
        data, times=np.arange(90.0)[::-1], groups=np.arange(90) % 9 if scheme == "group" else None
    )
    chosen = candidate(
        {"family": "linear"},
        calibration={"calibrate": "isotonic", "threshold": "balanced_accuracy"},
    )
    fold = make(Evaluate(scheme=scheme, folds=3), data)[1]
    wage, y = data.table.columns["wage"].values.copy(), data.target.values.copy()
    wage[fold.validation], y[fold.validation] = 1e6, 1 - y[fold.validation]
    columns = {**data.table.columns, "wage": replace(data.table.columns["wage"], values=wage)}
    moved = replace(data, table=Table(columns, 90), target=replace(data.target, values=y))
    models = [
        cross_validate(chosen, rows, [fold], ["accuracy"], Context(seed=4)).models[0]
        for rows in (data, moved)
    ]
    assert models[0].calibrator is not None
    assert saved(models[0], tmp_path / "before") == saved(models[1], tmp_path / "after")


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["f1", "accuracy", "balanced_accuracy", "mcc"])
def test_no_threshold_is_better_on_the_rows_it_was_chosen_on(metric: str) -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(120) < 0.2).astype(np.int64)
    p = np.round(np.clip(0.25 * y + 0.6 * rng.random(120), 0, 1), 2)
    target, scores = Target("classification", y, ("y",), ("n", "p")), np.stack([1 - p, p], axis=1)

    def score(cut: float) -> float:
        return float(scoring.score_all([metric], target, scores, "probability", cut)[metric] or 0.0)

    found = thresholds.best(metric, target, scores, "probability")
    assert score(found) == pytest.approx(
        max(score(cut) for cut in np.linspace(p.min(), p.max(), 501))
    )
    assert (
        thresholds.best(metric, target, np.full((120, 2), 0.5), "probability") == 0.5
    )  # nothing to tell


def test_many_rows_are_cut_at_evenly_many() -> None:
    rng = np.random.default_rng(2)
    d = rng.normal(size=5000)
    target = Target("classification", (d > 1.5).astype(np.int64), ("y",), ("n", "p"))
    found = thresholds.best("accuracy", target, np.stack([-d, d], axis=1), "decision")
    assert np.mean((d > found) == (d > 1.5)) > 0.995


class Recorder:
    """Stands for a model: remembers what it was fitted on, predicts the mean."""

    def __init__(self) -> None:
        self.fitted_on: list[Dataset] = []

    def fit(self, rows: Dataset, context: Context) -> Any:
        self.fitted_on.append(rows)
        context.emit("epoch", epoch=1)
        return self

    def predict(self, table: Table) -> Array:
        return np.tile([0.5, 0.5], (table.rows, 1))


def test_inner_folds_keep_groups_whole_and_the_past_first() -> None:
    data, emitted = dataset(60), []
    context = Context(emit_to=lambda kind, facts: emitted.append(kind))
    grouped, recorder = replace(data, groups=np.arange(60) % 5), Recorder()
    found = cross_fit.cross_fit(grouped, recorder.fit, context)
    assert sorted(found.rows) == list(range(60))
    assert found.scores.shape == found.seen.shape == (60, 2)
    at = 0
    for rows in recorder.fitted_on:
        groups = set(np.unique(rows.groups))  # type: ignore[arg-type]
        here = found.rows[at : at + 60 - rows.table.rows]
        assert groups.isdisjoint(np.unique(here % 5))
        at += len(here)
    timed, recorder = replace(data, times=np.arange(60.0)), Recorder()
    found = cross_fit.cross_fit(timed, recorder.fit, context)
    assert sorted(found.rows) == list(range(15, 60))  # three windows follow the first quarter
    assert [rows.times.max() for rows in recorder.fitted_on if rows.times is not None] == [
        14,
        29,
        44,
    ]
    assert emitted == []
    cut_short = replace(context, deadline=time.monotonic() + 60)
    cross_fit.cross_fit(
        timed, lambda rows, part: part.emit("training_stopped", cut=True) or recorder, cut_short
    )
    assert emitted == ["training_stopped"] * 3  # what was cut short is told
    with pytest.raises(DataError, match="at least 2 groups among the training rows"):
        cross_fit.cross_fit(
            replace(data, groups=np.zeros(60, dtype=np.int64)), recorder.fit, context
        )


def test_out_of_time() -> None:
    chosen = candidate({"family": "linear"}, calibration={"calibrate": "platt"})
    with pytest.raises(BudgetError):
        fit_model(chosen, dataset(60), Context(deadline=time.monotonic() - 1))


def resolved(
    data: Dataset, calibration: dict[str, Any], build: Any, train: dict[str, Any] | None = None
) -> list[Any]:
    source = {"source": "x", "target": "y"}
    whole = {
        "task": data.target.task,
        "data": source,
        "build": build,
        "train": train or {},
        "evaluate": calibration,
    }
    return resolve(Recipe.model_validate(whole), data, None)


def test_a_grid_compares_calibrated_with_plain() -> None:
    found = resolved(
        dataset(40), {"calibrate": ["none", "platt"]}, ["svm", "mlp"], {"epochs": [1, 2]}
    )
    assert [one.name for one in found][:3] == [
        "svm calibrate=none",
        "svm calibrate=platt",
        "mlp epochs=1 calibrate=none",
    ]
    assert len(found) == 2 + 4
    assert len({one.key() for one in found}) == 6


@pytest.mark.parametrize(
    ("calibration", "data", "message"),
    [
        (
            {"calibrate": "platt"},
            dataset(40, "regression"),
            "evaluate.calibrate: expected none, where values are predicted; found platt. Leave it out.",
        ),
        (
            {"threshold": "log_loss"},
            dataset(40),
            "evaluate.threshold: expected a metric of labels (accuracy, balanced_accuracy, f1, kappa, mcc, "
            "precision, recall, specificity), a number, or none; found 'log_loss'. "
            "Name one of these: a threshold changes no probability, and so no other metric.",
        ),
        (
            {"threshold": "f1"},
            dataset(40, classes=THREE),
            "evaluate.threshold: expected a target with two classes; found classification with 3 classes. Leave threshold out.",
        ),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    calibration: dict[str, Any], data: Dataset, message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        resolved(data, calibration, ["linear"])
    assert str(caught.value) == message


@pytest.mark.parametrize("family", ["linear", "svm"])
def test_a_threshold_that_is_a_number_is_the_models(family: str, tmp_path: Path) -> None:
    """No inner fold is fitted for it, and labels, metrics and graph go by it."""
    data, at = rare(), 0.2 if family == "linear" else -0.4
    chosen = candidate({"family": family}, calibration={"threshold": at})
    plain = fit_model(candidate({"family": family}), data, Context(seed=2))
    model = fit_model(chosen, data, Context(seed=2))
    assert saved(model.fitted, tmp_path / "one") == saved(plain.fitted, tmp_path / "other")
    assert model.threshold == at
    p = model.predict(data.table)
    labels = (p[:, 1] > at).astype(np.int64)
    assert model.decide(p).tolist() == labels.tolist() != plain.decide(p).tolist()
    named = [model.classes[label] for label in labels]
    assert answers(model, data.table)["label"][:, 0].tolist() == named
    found = model.scores(data, ["recall"])["recall"]
    assert found == np.mean(labels[data.target.values == 1])
