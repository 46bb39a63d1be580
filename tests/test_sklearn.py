"""scikit-learn's own checks of the estimators."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import mean_pinball_loss, r2_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import sixfold
from sixfold.sklearn import SixfoldClassifier, SixfoldRegressor


@parametrize_with_checks(
    [SixfoldClassifier(build={"family": "linear"}), SixfoldRegressor(build={"family": "linear"})]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_auto_on_iris():
    x, y = load_iris(return_X_y=True)
    model = SixfoldClassifier().fit(x[::2], y[::2])
    assert (model.predict(x[1::2]) == y[1::2]).mean() > 0.85


def test_probabilities_sum_to_one_in_a_pipeline():
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SixfoldClassifier(build={"family": "linear"})).fit(
        x, y
    )
    np.testing.assert_allclose(pipeline.predict_proba(x).sum(axis=1), 1, atol=1e-6)


def test_clone_keeps_parameters():
    first = SixfoldRegressor(build={"family": "linear"}, folds=4, seed=3)
    assert clone(first).get_params() == first.get_params()


def test_svm_has_no_probabilities_but_decision_values():
    x, y = load_iris(return_X_y=True)
    model = SixfoldClassifier(build={"family": "svm"}).fit(x, y)
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba") as error:
        model.predict_proba(x)
    assert str(error.value.__cause__) == "svm gives decision values, no probabilities"
    decided = model.decision_function(x)
    assert decided.shape == (len(x), 3)
    np.testing.assert_array_equal(model.classes_[decided.argmax(axis=1)], model.predict(x))
    assert not hasattr(SixfoldClassifier(build={"family": "linear"}).fit(x, y), "decision_function")


def two():
    x, y = load_breast_cancer(return_X_y=True)
    return x[:200, :6], np.where(y[:200] == 1, "well", "ill")


def test_of_two_classes_decision_values_are_one_a_row():
    x, y = two()
    model = SixfoldClassifier(build={"family": "svm"}).fit(x, y)
    decided = model.decision_function(x)
    assert decided.shape == (200,)
    np.testing.assert_array_equal(model.classes_[(decided > 0).astype(int)], model.predict(x))


def test_a_machine_is_scored_by_its_order_and_can_be_calibrated():
    x, y = two()
    machine = SixfoldClassifier(build={"family": "svm"})
    scores = cross_val_score(machine, x, y, cv=3, scoring="roc_auc")
    assert np.isfinite(scores).all()
    assert scores.mean() > 0.9
    calibrated = CalibratedClassifierCV(machine, cv=3).fit(x, y)
    p = calibrated.predict_proba(x)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (calibrated.predict(x) == y).mean() > 0.85


def test_the_metric_that_is_asked_for_decides():
    """Of two candidates each is the best by one metric."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = (x[:, 0] + 0.3 * rng.normal(size=200) > 1.2).astype(int)
    build = [{"family": "linear", "C": 1e-4}, {"family": "tree", "max_depth": 2}]
    found = {
        metric: SixfoldClassifier(build=build, metric=metric).fit(x, y)
        for metric in ("roc_auc", "recall")
    }
    assert [one.plan_.metrics for one in found.values()] == [("roc_auc",), ("recall",)]
    assert [one.candidate_.family_name for one in found.values()] == ["linear", "tree"]
    with pytest.raises(ValueError, match="metrics for classification"):
        SixfoldClassifier(build=build, metric="rmse").fit(x, y)


@pytest.mark.filterwarnings("ignore:linear is left out:RuntimeWarning")
def test_a_budget_leaves_candidates_out_and_says_so():
    x, y = two()
    build = [{"family": "linear"}, {"family": "tree"}]
    assert len(SixfoldClassifier(build=build, budget="10m").fit(x, y).evaluations_) == 2
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"budget\.time"):
        warnings.simplefilter("ignore", RuntimeWarning)  # who is left out first, which is told
        SixfoldClassifier(build=build, budget=1e-6).fit(x, y)


def frame(rows=120):
    rng = np.random.default_rng(0)
    words = np.array(
        [
            "it was good and also cheap",
            "a good one but very late",
            "bad and dear it was",
            "once more bad and late",
        ]
    )
    kinds = rng.integers(0, 4, rows)
    table = pd.DataFrame(
        {
            "size": rng.normal(size=rows),
            "town": pd.Categorical(np.array(["Ulm", "Bonn", "Kiel"])[rng.integers(0, 3, rows)]),
            "new": rng.integers(0, 2, rows).astype(bool),
            "said": [f"{words[kind]} {number}" for number, kind in enumerate(kinds)],
        }
    )
    return table, kinds >= 2


@pytest.mark.parametrize("family", ["linear", "tree"])
def test_a_frame_has_columns_of_every_kind(family):
    x, y = frame()
    model = SixfoldClassifier(build={"family": family}).fit(x[:80], y[:80])
    assert model.kinds_ == {"size": "number", "town": "category", "new": "boolean", "said": "text"}
    assert model.n_features_in_ == 4
    assert model.classes_.tolist() == [False, True]
    assert (model.predict(x[80:]) == y[80:]).mean() > 0.9
    other = x[80:].assign(town="Trier")  # which no training row has
    assert len(model.predict_proba(other)) == 40
    with pytest.raises(ValueError, match="feature names"):
        model.predict(x[["town", "size", "new", "said"]])


def test_values_of_a_frame_and_a_column_called_target():
    x, y = frame()
    x = x.rename(columns={"size": "target"})
    values = x["target"] * 2 + y
    model = SixfoldRegressor(build={"family": "linear"}).fit(x, values, sample_weight=np.ones(120))
    assert np.corrcoef(model.predict(x), values)[0, 1] > 0.95
    assert "target" in model.kinds_


@pytest.mark.parametrize("estimator", [SixfoldClassifier, SixfoldRegressor])
def test_a_weight_of_two_is_a_row_twice(estimator):
    x, y = load_iris(return_X_y=True)
    weights = np.random.default_rng(0).integers(0, 4, len(x))
    model = estimator(build={"family": "linear"}).fit(x, y, sample_weight=weights)
    again = estimator(build={"family": "linear"}).fit(x.repeat(weights, axis=0), y.repeat(weights))
    predicted = "predict_proba" if estimator is SixfoldClassifier else "predict"
    np.testing.assert_allclose(
        getattr(model, predicted)(x), getattr(again, predicted)(x), atol=1e-4
    )


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (np.zeros(150), "0 for every row|non-zero"),
        (np.full(150, -1.0), "[Nn]egative"),
        (np.ones(3), "sample_weight"),
    ],
)
def test_weights_that_are_none(weights, text):
    x, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=text):
        SixfoldClassifier(build={"family": "linear"}).fit(x, y, sample_weight=weights)


def test_the_fitted_model_is_exported_as_a_bundle(tmp_path):
    x, y = two()
    model = SixfoldClassifier(build={"family": "tree"}, folds=2).fit(x, y)
    assert model.export_bundle(tmp_path / "bundle") == tmp_path / "bundle"
    bundle = sixfold.load(tmp_path / "bundle")
    rows = [{f"x{i}": float(value) for i, value in enumerate(row)} for row in x]
    found = bundle.predict(rows)
    np.testing.assert_array_equal(np.asarray(found.labels), model.predict(x))
    np.testing.assert_allclose(found.probabilities, model.predict_proba(x), atol=1e-6)
    receipt = json.loads((tmp_path / "bundle" / "receipt.json").read_text())
    assert (receipt["rows_trained"], receipt["rows_holdout"]) == (200, 0)
    assert len(receipt["quality"][0]["folds_before"]) == 2


def test_the_bundle_of_a_comparison_of_a_frame(tmp_path):
    x, y = frame()
    build = [{"family": "linear"}, {"family": "tree"}]
    model = SixfoldClassifier(build=build, folds=2).fit(x, y)
    bundle = sixfold.load(model.export_bundle(tmp_path / "bundle"))
    assert np.asarray(bundle.predict(x).labels).tolist() == [str(one) for one in model.predict(x)]
    report = json.loads((tmp_path / "bundle" / "report.json").read_text())
    assert len(report["leaderboard"]) == 2
    with pytest.raises(NotFittedError):
        SixfoldClassifier().export_bundle(tmp_path / "other")


def noisy(rows=200):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(rows, 2))
    return x, x[:, 0] + rng.normal(size=rows) * (0.2 + x[:, 1])


def test_a_regressor_answers_quantiles(tmp_path):
    x, y = noisy()
    model = SixfoldRegressor(
        build={"family": "linear"}, quantiles=[0.1, 0.5, 0.9], calibrate="conformal"
    ).fit(x[:120], y[:120])
    found = model.predict(x[120:])
    assert found.shape == (80, 3)
    assert (np.diff(found, axis=1) >= 0).all()
    losses = [
        mean_pinball_loss(y[120:], found[:, at], alpha=quantile)
        for at, quantile in enumerate((0.1, 0.5, 0.9))
    ]
    assert model.score(x[120:], y[120:]) == pytest.approx(-np.mean(losses))
    assert clone(model).get_params() == model.get_params()
    bundle = sixfold.load(model.export_bundle(tmp_path / "bundle"))
    rows = [{"x0": one, "x1": two} for one, two in x[120:].tolist()]
    np.testing.assert_allclose(bundle.predict(rows).values, found)
    assert bundle.signature.outputs[0].columns == ("q0.1", "q0.5", "q0.9")


def test_quantiles_are_searched_by_their_loss():
    x, y = noisy(90)
    model = SixfoldRegressor(build={"family": "linear"}, quantiles=(0.1, 0.9))
    assert (cross_val_score(model, x, y, cv=3) < 0).all()
    with pytest.raises(ValueError, match="a family that learns quantiles; found 'forest'"):
        SixfoldRegressor(build={"family": "forest"}, quantiles=[0.5]).fit(x, y)
    with pytest.raises(ValueError, match="quantiles that rise, each once"):
        SixfoldRegressor(build={"family": "linear"}, quantiles=[0.5, 0.5]).fit(x, y)


@pytest.mark.parametrize("of_frame", [False, True])
def test_a_regressor_answers_several_targets(of_frame, tmp_path):
    x, y = noisy()
    both = np.stack([y, 100 * x[:, 1]], axis=1)
    given = pd.DataFrame(both, columns=["price", "days"]) if of_frame else both
    rows = pd.DataFrame(x, columns=["a", "b"]).assign(c=["k", "l"] * 100) if of_frame else x
    model = SixfoldRegressor(build={"family": "linear"}).fit(rows, given)
    assert model.targets_ == (("price", "days") if of_frame else ("target_1", "target_2"))
    found = model.predict(rows)
    assert found.shape == both.shape
    assert model.score(rows, both) == pytest.approx(r2_score(both, found))
    alone = SixfoldRegressor(build={"family": "linear"}).fit(rows, y).predict(rows)
    np.testing.assert_allclose(found[:, 0], alone)
    bundle = sixfold.load(model.export_bundle(tmp_path / "bundle"))
    assert bundle.signature.target == model.targets_


def test_a_target_is_not_called_as_a_feature():
    x, y = noisy(40)
    both = pd.DataFrame({"x0": y, "b": y + 1})
    assert SixfoldRegressor(build={"family": "linear"}).fit(x, both).targets_ == (
        "target_1",
        "target_2",
    )
