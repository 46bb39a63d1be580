"""scikit-learn's face: estimators that go into its pipelines, searches and scorers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sixfold.build.candidate import Candidate
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts.table import Column, Dataset, FloatArray, Table, Target
from sixfold.plan.candidates import metrics_of, resolve
from sixfold.recipe import load as recipe_load
from sixfold.recipe.schema import Recipe
from sixfold.runs.context import Context
from sixfold.select import leaderboard

Options = dict[str, Any]


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both tasks share. Parameters are sections of a recipe; features are numbers (NaN is
    missing).
    """

    _task = ""

    def __init__(
        self,
        build: str | Options | list[Options] = "auto",
        prepare: Options | None = None,
        train: Options | None = None,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        self.build = build
        self.prepare = prepare
        self.train = train
        self.folds = folds
        self.seed = seed

    def _fit(self, x: FloatArray, target: Target) -> None:
        dataset = Dataset(_table(x), target)
        recipe = self._recipe()
        context = Context(seed=self.seed)
        candidates = list(resolve(recipe, dataset, None))
        self.candidate_ = (
            candidates[0] if len(candidates) == 1 else _best(recipe, candidates, dataset, context)
        )
        self.model_: Model = fit_model(self.candidate_, dataset, context)

    def _recipe(self) -> Recipe:
        sections = {"prepare": self.prepare, "train": self.train}
        return recipe_load.from_object(
            {
                "version": 1,
                "task": self._task,
                "build": self.build,
                "data": {"source": "array", "target": "target"},
                "initialize": {"seed": self.seed},
                "evaluate": {"folds": self.folds},
                **{name: section for name, section in sections.items() if section},
            }
        ).recipe

    def _predict(self, x: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self, "model_")
        data = validate_data(self, x, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        return self.model_.predict(_table(data))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class SixfoldClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier by recipe: several candidates are compared on folds of the training rows, the
    best is kept.

    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> SixfoldClassifier(build={"family": "linear"}).fit(x, y).predict(x[:1])
    array([0])
    """

    _task = "classification"

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """`X`: [rows, features] numbers, NaN is missing; `y`: [rows] class labels. Raises
        ValueError.
        """
        data, labels = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2
        )
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "classifier can't train when only one class is present: give two classes or more"
            )
        names = tuple(str(label) for label in self.classes_)
        self._fit(data, Target("classification", codes.astype(np.int64), ("target",), names))
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """[rows] labels."""
        scores = self._predict(X)
        return np.asarray(self.classes_[self.model_.decide(scores)])

    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """[rows, classes] probabilities; AttributeError for a family that has none (svm)."""
        scores = self._predict(X)
        if self.model_.output != "probability":
            raise AttributeError(f"{self.candidate_.name} gives decision values, no probabilities")
        return scores


class SixfoldRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor by recipe: several candidates are compared on folds of the training rows, the
    best is kept.
    """

    _task = "regression"

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """`X`: [rows, features] numbers, NaN is missing; `y`: [rows] numbers. Raises ValueError."""
        data, values = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2,
            y_numeric=True,
        )
        self._fit(data, Target("regression", np.asarray(values, dtype=np.float64), ("target",)))
        return self

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """[rows] values."""
        return self._predict(X)[:, 0]


def _table(x: FloatArray) -> Table:
    columns = {f"x{i}": Column("number", np.ascontiguousarray(x[:, i])) for i in range(x.shape[1])}
    return Table(columns, len(x))


def _best(
    recipe: Recipe, candidates: list[Candidate], dataset: Dataset, context: Context
) -> Candidate:
    folds = make(recipe.evaluate, dataset)
    metrics = metrics_of(recipe, dataset, folds).names
    evaluations = [
        cross_validate(candidate, dataset, folds, metrics, context) for candidate in candidates
    ]
    return candidates[leaderboard.best(evaluations, metrics[0])]
