"""scikit-learn's face: estimators that go into its pipelines, searches and scorers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from sixfold.build.candidate import Candidate
from sixfold.core.errors import BudgetError
from sixfold.core.units import seconds
from sixfold.data.asked import as_asked
from sixfold.data.load import from_frame, table_like
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.cross_validation import Evaluation, cross_validate
from sixfold.evaluate.folds import make
from sixfold.evaluate.metrics.values import PinballLoss
from sixfold.evaluate.model import Model, fit_model
from sixfold.package.fitted_bundle import FittedPipeline, write
from sixfold.parts.table import Column, Dataset, FloatArray, Table, Target
from sixfold.plan.candidates import metrics_of, resolve
from sixfold.plan.run_context import Plan
from sixfold.recipe import load as recipe_load
from sixfold.recipe.load import Loaded
from sixfold.runs.context import Context
from sixfold.select import leaderboard

Options = dict[str, Any]
TARGET = "target"


class EstimatorTask(NamedTuple):
    """Of a recipe: `task`, `data.target`, and keys of `evaluate`."""

    task: str | Options
    target: str | list[str]
    evaluate: Options


def _decides(estimator: _Estimator) -> bool:
    """Raises AttributeError for a fitted model that gives probabilities."""
    model = estimator._known_model()
    if model is None or model.output != "decision":
        raise AttributeError("only a model without probabilities (svm) gives decision values")
    return True


def _has_probabilities(estimator: _Estimator) -> bool:
    """Raises AttributeError for a fitted model that gives decision values."""
    model = estimator._known_model()
    if model is not None and model.output != "probability":
        name = estimator.candidate_.name
        raise AttributeError(f"{name} gives decision values, no probabilities")
    return True


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both tasks share. Parameters are sections of a recipe. Features are numbers (NaN is missing),
    or the columns of a DataFrame: numbers, categories, booleans, dates, texts. `metric`: by which the best
    of several candidates is chosen; left out, by the task. `budget`: time for `fit` ("2m", or seconds).
    """

    _task = ""

    def __init__(
        self,
        build: str | Options | list[Options] = "auto",
        prepare: Options | None = None,
        train: Options | None = None,
        folds: int = 3,
        seed: int = 0,
        metric: str | None = None,
        budget: str | float | None = None,
    ) -> None:
        self.build = build
        self.prepare = prepare
        self.train = train
        self.folds = folds
        self.seed = seed
        self.metric = metric
        self.budget = budget

    kinds_: dict[str, str] | None

    def export_bundle(self, path: str | Path) -> Path:
        """Write the fitted model as a bundle into the folder `path`; that folder.

        What the receipt says is measured now: the folds of a model that was not compared with others, the
        graph against the pipeline on stored rows, bytes, latency. There is no holdout. Raises
        NotFittedError, BundleError, SystemFault.
        """
        check_is_fitted(self, "model_")
        loaded, dataset, context = self._loaded(), self.dataset_, Context(seed=self.seed)
        plan = self.plan_ or _plan(loaded, (self.candidate_,), dataset)
        evaluations = self.evaluations_ or (
            cross_validate(self.candidate_, dataset, plan.folds, plan.metrics, context),
        )
        fitted = FittedPipeline(
            loaded, dataset, plan, evaluations, self.candidate_, self.model_, self.seed
        )
        folder = Path(path)
        write(folder, fitted)
        return folder

    def _known_model(self) -> Model | None:
        found: Model | None = vars(self).get("model_")
        return found

    def _fit(self, dataset: Dataset) -> None:
        started, loaded = time.monotonic(), self._loaded()
        limit_s = None if self.budget is None else seconds(self.budget)
        end = None if limit_s is None else started + limit_s
        context = Context(seed=self.seed, deadline=end)
        candidates = tuple(resolve(loaded.recipe, dataset, limit_s))
        self.plan_: Plan | None = None
        self.evaluations_: tuple[Evaluation, ...] = ()
        self.dataset_, self.candidate_ = dataset, candidates[0]
        if len(candidates) > 1:
            self.plan_ = _plan(loaded, candidates, dataset)
            self.evaluations_ = tuple(_compared(self.plan_, dataset, context))
            best = self.evaluations_[leaderboard.best(self.evaluations_, self.plan_.metrics[0])]
            self.candidate_ = next(one for one in candidates if one.name == best.name)
        self.model_: Model = fit_model(self.candidate_, dataset, context)

    def _asked(self) -> EstimatorTask:
        """The task, and what is said of it in `data` and `evaluate`."""
        return EstimatorTask(self._task, TARGET, {})

    def _loaded(self) -> Loaded:
        sections = {"prepare": self.prepare, "train": self.train}
        metrics = {} if self.metric is None else {"metrics": [self.metric]}
        asked = self._asked()
        return recipe_load.from_object(
            {
                "version": 1,
                "task": asked.task,
                "build": self.build,
                "data": {"source": "array", "target": asked.target, "holdout": 0},
                "initialize": {"seed": self.seed},
                "evaluate": {"folds": self.folds, **metrics, **asked.evaluate},
                **{name: section for name, section in sections.items() if section},
            }
        )

    def _dataset(self, x: Any, target: Target) -> Dataset:
        """`x`: as `_checked` gives it."""
        if isinstance(x, np.ndarray):
            return Dataset(_table(x), target)
        return self._of_frame(x, target)

    def _of_frame(self, frame: pd.DataFrame, target: Target) -> Dataset:
        """Columns of every kind, and the target: of classes the numbers."""
        own = TARGET
        while own in map(str, frame.columns):
            own = f"{own}_"
        y = target.values if target.values.ndim == 1 else target.values[:, 0]
        section = self._loaded().recipe.data.model_copy(update={"target": own})
        dataset = from_frame(frame.assign(**{own: y}), section, target.task)
        self.kinds_ = {name: column.kind for name, column in dataset.table.columns.items()}
        return replace(dataset, target=target)

    def _checked(self, x: Any, y: Any, numeric: bool) -> tuple[Any, Any]:
        """Features as float64 [rows, features], or the DataFrame itself where it has other columns."""
        self.kinds_ = None
        if _has_other_columns(x):
            _check_rows(x, y)
            validate_data(self, x, y="no_validation", skip_check_array=True)
            several = numeric and np.ndim(y) == 2
            y = np.asarray(y, dtype=np.float64) if several else column_or_1d(y, warn=True)
            assert_all_finite(y, input_name="y")
            return x, y
        found: tuple[Any, Any] = validate_data(
            self,
            x,
            y,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2,
            y_numeric=numeric,
            multi_output=numeric,
        )
        return found

    def _weighed(self, dataset: Dataset, x: Any, sample_weight: Any) -> Dataset:
        if sample_weight is None:
            return dataset
        weights = _check_sample_weight(
            sample_weight,
            x if self.kinds_ is None else np.zeros((len(x), 1)),
            dtype=np.float64,
            ensure_non_negative=True,
        )
        if not weights.any():
            raise ValueError("sample_weight is 0 for every row: a row that counts is needed")
        return replace(dataset, target=replace(dataset.target, weights=weights))

    def _predict(self, x: Any) -> FloatArray:
        check_is_fitted(self, "model_")
        if self.kinds_ is None:
            data = validate_data(
                self, x, reset=False, dtype=np.float64, ensure_all_finite="allow-nan"
            )
            return self.model_.predict(_table(data))
        validate_data(self, x, reset=False, skip_check_array=True)
        missing = self._loaded().recipe.data.missing
        return self.model_.predict(table_like(x, self.kinds_, missing))

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

    def fit(self, X: Any, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """`X`: [rows, features] numbers, NaN is missing, or a DataFrame; `y`: [rows] class labels;
        `sample_weight`: [rows], 0 or more, how often each row counts. Raises ValueError.
        """
        data, labels = self._checked(X, y, numeric=False)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "classifier can't train when only one class is present: give two classes or more"
            )
        names = tuple(str(label) for label in self.classes_)
        target = Target("classification", codes.astype(np.int64), (TARGET,), names)
        dataset = self._dataset(data, target)
        self._fit(self._weighed(dataset, data, sample_weight))
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """[rows] labels."""
        scores = self._predict(X)
        return np.asarray(self.classes_[self.model_.decide(scores)])

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> FloatArray:
        """[rows, classes] probabilities; a family that has none (svm) lacks the method."""
        return self._predict(X)

    @available_if(_decides)  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> FloatArray:
        """[rows] of two classes, above 0 for the second; else [rows, classes], the largest wins. Of a
        family that gives decision values (svm) alone.
        """
        scores = self._predict(X)
        return scores[:, 1] if scores.shape[1] == 2 else scores


class SixfoldRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor by recipe: several candidates are compared on folds of the training rows, the
    best is kept. `quantiles`: of the target, rising, which are predicted instead of one value; `calibrate`: "conformal"
    moves them so that intervals hold as many rows as they say.
    """

    _task = "regression"

    def __init__(
        self,
        build: str | Options | list[Options] = "auto",
        prepare: Options | None = None,
        train: Options | None = None,
        folds: int = 3,
        seed: int = 0,
        metric: str | None = None,
        budget: str | float | None = None,
        quantiles: Sequence[float] | None = None,
        calibrate: str | None = None,
    ) -> None:
        super().__init__(build, prepare, train, folds, seed, metric, budget)
        self.quantiles = quantiles
        self.calibrate = calibrate

    targets_: tuple[str, ...]

    def fit(self, X: Any, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """`X`: [rows, features] numbers, NaN is missing, or a DataFrame; `y`: [rows] numbers, or [rows, targets];
        `sample_weight`: [rows], 0 or more, how often each row counts. Raises ValueError.
        """
        data, found = self._checked(X, y, numeric=True)
        values = np.asarray(found, dtype=np.float64)
        features = set(map(str, X.columns)) if isinstance(X, pd.DataFrame) else set(_names(data))
        self.targets_ = _target_names(y, values, features)
        one = values if len(self.targets_) > 1 else values.reshape(len(values))
        target = Target("regression", one, self.targets_)
        dataset = self._dataset(data, target)
        self._fit(self._weighed(as_asked(dataset, self._loaded().recipe), data, sample_weight))
        return self

    def predict(self, X: Any) -> FloatArray:
        """[rows] values; [rows, quantiles], or [rows, targets], where there are several."""
        found = self._predict(X)
        return found if self.quantiles is not None or found.shape[1] > 1 else found[:, 0]

    def score(self, X: Any, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """R², the mean over the targets; of quantiles the pinball loss below 0: more is better."""
        if self.quantiles is None:
            return float(super().score(X, y, sample_weight))
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        values = np.asarray(y, dtype=np.float64).reshape(-1)
        target = Target("regression", values, self.targets_, quantiles=tuple(self.quantiles))
        return -PinballLoss().score(replace(target, weights=weights), self.predict(X))

    def _asked(self) -> EstimatorTask:
        task: str | Options = self._task
        if self.quantiles is not None:
            task = {"regression": {"quantiles": [float(each) for each in self.quantiles]}}
        names = vars(self).get("targets_", (TARGET,))
        target = list(names) if len(names) > 1 else names[0]
        calibrate = {} if self.calibrate is None else {"calibrate": self.calibrate}
        return EstimatorTask(task, target, calibrate)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.quantiles is None
        return tags


def _target_names(y: Any, values: FloatArray, features: AbstractSet[str]) -> tuple[str, ...]:
    """Those of a DataFrame's columns, or target, or target_1, target_2 and so on; none is a feature's."""
    count = 1 if values.ndim == 1 else values.shape[1]
    if count == 1:
        return (TARGET,)
    own = tuple(map(str, y.columns)) if isinstance(y, pd.DataFrame) else ()
    if own and len(set(own)) == count and not features & set(own):
        return own
    stem = TARGET
    while any(name.startswith(stem) for name in features):
        stem = f"{stem}_"
    return tuple(f"{stem}_{number}" for number in range(1, count + 1))


def _has_other_columns(x: Any) -> bool:
    """Whether it is a DataFrame with a column that is no number."""
    if not isinstance(x, pd.DataFrame) or not all(isinstance(name, str) for name in x.columns):
        return False
    return not all(pd.api.types.is_numeric_dtype(kind) for kind in x.dtypes)


def _check_rows(x: pd.DataFrame, y: Any) -> None:
    """Raises ValueError for another number of rows, or fewer than two."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    check_consistent_length(x, y)
    if len(x) < 2:
        raise ValueError(f"Found array with {len(x)} sample(s) while a minimum of 2 is required.")


def _names(x: FloatArray) -> list[str]:
    return [f"x{number}" for number in range(x.shape[1])]


def _table(x: FloatArray) -> Table:
    columns = {
        name: Column("number", np.ascontiguousarray(x[:, number]))
        for number, name in enumerate(_names(x))
    }
    return Table(columns, len(x))


def _plan(loaded: Loaded, candidates: tuple[Candidate, ...], dataset: Dataset) -> Plan:
    """What is compared, on which folds, and by what."""
    folds = tuple(make(loaded.recipe.evaluate, dataset))
    metrics = metrics_of(loaded.recipe, dataset, folds).names
    return Plan(candidates, folds, metrics, baseline(dataset, folds, metrics))


def _compared(plan: Plan, dataset: Dataset, context: Context) -> list[Evaluation]:
    """Each candidate on all folds, in its part of the time; one that has not enough of it is left out
    with a warning. Raises BudgetError where none has.
    """
    found: list[Evaluation] = []
    for number, candidate in enumerate(plan.candidates):
        left, own = len(plan.candidates) - number, context
        if context.deadline is not None:
            part_s = context.left_s() / (left + 1)  # the best is trained again
            own = replace(context, deadline=time.monotonic() + part_s)
        try:
            found.append(cross_validate(candidate, dataset, plan.folds, plan.metrics, own))
        except BudgetError as error:
            if left == 1 and not found:
                raise
            warnings.warn(f"{candidate.name} is left out: {error}", RuntimeWarning, stacklevel=4)
    return found
