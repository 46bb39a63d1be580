"""scikit-learn's own checks of the estimators."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

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


def test_svm_has_no_probabilities():
    x, y = load_iris(return_X_y=True)
    model = SixfoldClassifier(build={"family": "svm"}).fit(x, y)
    with pytest.raises(AttributeError, match="decision values, no probabilities"):
        model.predict_proba(x)
