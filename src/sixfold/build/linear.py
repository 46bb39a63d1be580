"""Linear models: logistic regression, ridge, lasso, least squares.

Shape letters: R rows, F features, K columns of scores.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    MultiTaskLasso,
    QuantileRegressor,
    Ridge,
)

from sixfold.build import _links, _quantile_fit, _ridge
from sixfold.build._classes import present
from sixfold.build._warned import told
from sixfold.build.family import FitCost, FitWork, SolverFamily
from sixfold.core.errors import FitError, RecipeError
from sixfold.parts.fit import Additive, Fit, Fitted, Matrix, Needs, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.sparse import dense, nonzeros
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.parts.weights import mean, total
from sixfold.runs.context import Context

# Seconds of a fit on one core, measured with random rows, 1,000 to 16,000, of 10 and 60 features; iterations over all values,
# of two classes and for each of more.
START_S, VALUE_S, ITERATIONS = 0.002, 5e-9, (5, 15)
QUANTILE_STEPS = (
    30  # of the interior-point method, each of which multiplies the features with themselves
)
BIAS_SCALE = 100.0  # liblinear penalizes the bias like a weight; as 100 · b it costs a hundredth
ABSENT = (
    -1e4
)  # log-odds of a class that no training row has: its probability is exactly 0 in double precision


@dataclass(frozen=True)
class LinearModel(State):
    """`weights`: [F, K], `bias`: [K]; outputs = link(x @ weights + bias)."""

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    link: _links.Link

    @property
    def output(self) -> OutputKind:
        """Probabilities for classes, values otherwise."""
        return "value" if self.link == "identity" else "probability"

    def predict(self, x: Matrix) -> FloatArray:
        """[R, F] → [R, outputs] float64."""
        return _links.apply(self.link, x.astype(np.float64, copy=False) @ self.weights + self.bias)

    def export(self, graph: Graph, x: str) -> str:
        """A product, Add and the link, in double precision."""
        product = graph.product(x, self.weights)
        return _links.export(
            self.link, graph, graph.op("Add", product, graph.constant(self.bias, np.float64))
        )

    def parameters(self) -> dict[str, npt.NDArray[np.float64]]:
        """Weights and bias."""
        return {"weights": self.weights, "bias": self.bias}

    def with_parameters(self, parameters: dict[str, npt.NDArray[np.float64]]) -> Self:
        """The same model with other numbers."""
        return replace(self, weights=parameters["weights"], bias=parameters["bias"])

    def additive(self) -> Additive:
        """Features times weights, before the link."""
        return Additive("linear", self.link, {"weights": self.weights, "bias": self.bias})

    def importances(self) -> FloatArray:
        """|θ| summed over the columns, [F]; comparable where features have one scale."""
        return np.asarray(np.abs(self.weights).sum(axis=1), dtype=np.float64)


class Settings(SolverFamily):
    """Linear model: logistic regression for classes (one sigmoid, or softmax over all classes),
    ridge, lasso or least squares for values. Minimizes Σ loss(row) + alpha · penalty(weights); the
    bias is not penalized. The loss is the log loss with penalty ½‖w‖² (l2) or ‖w‖₁ (l1); for values
    it is the squared error with ‖w‖² (ridge), or half of it with ‖w‖₁ (lasso); for quantiles the pinball
    loss with ‖w‖² or ‖w‖₁. Sums, not means: the strength needs no change when rows are added.
    """

    needs: ClassVar[Needs] = Needs(sparse=True, text_features=30_000)
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "reconstruction"})
    shared: ClassVar[frozenset[str]] = frozenset({"alpha", "C"})
    learns_quantiles: ClassVar[bool] = True
    all_values_at_once: ClassVar[bool] = True

    penalty: Literal["l2", "l1", "none"] = Field(
        "l2", description="l2: ridge; l1: lasso, sparse weights; none."
    )
    alpha: Literal["auto"] | Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Strength of the penalty, above 0; auto, of ridge: that which predicts each training row best without "
        "it. Default 1.",
    )
    C: float | None = Field(
        None, gt=0, description="1 / alpha, as scikit-learn names it; give one of the two."
    )
    max_iter: int = Field(1000, ge=1, description="Iterations of the solver, at least 1.")

    @model_validator(mode="after")
    def _one_strength(self) -> Self:
        given = [name for name in ("alpha", "C") if getattr(self, name) is not None]
        if len(given) == 2:
            raise ValueError("alpha and C are the same strength (C = 1 / alpha): give one of them")
        if given and self.penalty == "none":
            raise ValueError(
                f"penalty none has no strength: leave {given[0]} out, or choose penalty l2 or l1"
            )
        if self.alpha == "auto" and self.penalty != "l2":
            raise ValueError(
                "alpha auto is found for ridge: choose penalty l2, or give alpha a number"
            )
        return self

    @property
    def strength(self) -> float:
        """The penalty's factor: alpha, or 1 / C, or 1; NaN where it has yet to be found."""
        if self.alpha == "auto":
            return math.nan
        return self.alpha or (1.0 / self.C if self.C else 1.0)

    def check_task(self, task: Task) -> None:
        """Raises RecipeError where a strength is to be found for classes."""
        if self.alpha == "auto" and task == "classification":
            raise RecipeError(
                "build, linear, alpha",
                "a number, where classes are predicted",
                "'auto', which is for values",
                "List some: `C: [0.1, 1, 10]`.",
            )

    def check_quantiles(self) -> None:
        """Raises RecipeError where a strength is to be found that only ridge finds."""
        if self.alpha == "auto":
            raise RecipeError(
                "build, linear, alpha",
                "a number, where quantiles are predicted",
                "'auto', which is for ridge",
                "List some: `alpha: [0.1, 1, 10]`.",
            )

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """Of quantiles the system of a step, twice."""
        smaller = min(few[0].x.shape[1], rows)
        return FitCost(2 * 8 * smaller * smaller) if few[0].quantiles else super().cost(few, rows)

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """Values that are not zero; classes take iterations, more where there are many."""
        one = few[0]
        values = rows * nonzeros(one.x) / max(1, one.rows)
        if one.quantiles:
            smaller, steps = min(one.x.shape[1], rows), QUANTILE_STEPS * one.outputs
            return FitWork(solver_s=START_S + steps * VALUE_S * values * (1 + smaller / 10))
        if one.task != "classification":
            return FitWork(solver_s=START_S + VALUE_S * values)
        return FitWork(
            solver_s=START_S + VALUE_S * values * ITERATIONS[one.outputs > 2] * (one.outputs - 1)
        )

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Yield fit by fit, and within a fit setting by setting. Ridge on dense rows: every
        strength from one factorization of the fit; logistic regression: each from the weights of
        the next stronger penalty.
        """
        for fit in fits:
            context.check_time("fitting linear")
            automatic = any(setting.alpha == "auto" for setting in settings)
            for setting in settings:
                setting.check_task(fit.task)
            if fit.quantiles:
                yield from (setting._quantiles(fit, context) for setting in settings)
            elif fit.task == "classification":
                yield from _chain(settings, fit, context)
            elif self.penalty == "l2" and (automatic or not issparse(fit.x)):
                yield from _ridges(settings, fit, context)
            else:
                yield from (setting._alone(fit, context) for setting in settings)

    def _told(self, context: Context) -> AbstractContextManager[None]:
        context.check_time("fitting linear")
        return told(
            context,
            f"linear: not converged within max_iter={self.max_iter}; raise it, or the penalty",
        )

    def _alone(self, fit: Fit, context: Context) -> LinearModel:
        with self._told(context):
            return self._regress(fit)

    def _quantiles(self, fit: Fit, context: Context) -> LinearModel:
        """One line for each quantile, solved by itself."""
        lines = []
        for quantile in fit.quantiles:
            with self._told(context):
                lines.append(self._line(fit, quantile))
        weights = np.stack([line.weights for line in lines], axis=1)
        return LinearModel(weights, np.array([line.bias for line in lines]), "identity")

    def _line(self, fit: Fit, quantile: float) -> _quantile_fit.QuantileLine:
        """Of squares an interior-point method; else HiGHS, as scikit-learn asks it."""
        if self.penalty == "l2":
            if min(fit.x.shape) > _quantile_fit.MOST:
                raise _too_large(fit)
            found = _quantile_fit.penalized(fit, quantile, self.strength, self.max_iter)
            if not found.converged:
                warnings.warn("the interior-point method", ConvergenceWarning, stacklevel=2)
            return found
        estimator = QuantileRegressor(
            quantile=quantile,
            alpha=self.strength / total(fit.rows, fit.weights) if self.penalty == "l1" else 0.0,
            solver="highs",
        )
        estimator.fit(fit.x, fit.y, sample_weight=fit.weights)
        return _quantile_fit.QuantileLine(
            np.asarray(estimator.coef_), float(estimator.intercept_), True
        )

    def _logistic(self, fit: Fit, classes: int) -> LogisticRegression:
        """The solver that suits the penalty and the size; all but liblinear start from where they
        last ended.
        """
        rows, features = fit.x.shape
        solver = "lbfgs"
        tolerance = 1e-6
        if (
            self.penalty == "l1"
        ):  # liblinear measured 14 times faster than saga (32,561 × 108), but knows two classes
            solver, tolerance = ("liblinear" if classes == 2 else "saga"), 1e-4
        elif (
            self.penalty == "none"
        ):  # one-hot columns add up to 1: no single optimum, and lbfgs creeps along the valley
            tolerance = 1e-4
        elif rows > 10 * features * classes and features * classes <= 1000:
            solver = "newton-cholesky"  # many rows, few weights: 3 to 10 Newton steps beat hundreds of lbfgs
        return LogisticRegression(
            l1_ratio=1.0 if self.penalty == "l1" else 0.0,
            solver=solver,
            max_iter=self.max_iter,
            tol=tolerance,
            intercept_scaling=BIAS_SCALE,
            random_state=fit.seed,
            warm_start=solver != "liblinear",
        )

    def _regress(self, fit: Fit) -> LinearModel:
        y_RK = np.asarray(fit.y, dtype=np.float64).reshape(fit.rows, -1)
        x, weighing = fit.x, {} if fit.weights is None else {"sample_weight": fit.weights}
        if self.penalty == "l1" and y_RK.shape[1] > 1 and fit.task == "reconstruction":
            return self._common_zeros(dense(x), y_RK, fit.weights)
        if self.penalty == "l2" and issparse(
            x
        ):  # conjugate gradients, as far as double precision goes
            estimator = Ridge(alpha=self.strength, solver="sparse_cg", tol=1e-12)
        elif self.penalty == "l2":
            estimator = Ridge(
                alpha=self.strength, solver="cholesky" if x.shape[0] > x.shape[1] else "svd"
            )
        elif self.penalty == "l1":
            rows = total(fit.rows, fit.weights)
            estimator = Lasso(alpha=self.strength / rows, max_iter=self.max_iter, tol=1e-6)
        else:
            estimator = LinearRegression(tol=1e-10)  # the tolerance is of its sparse solver
        estimator.fit(x, y_RK, **weighing)
        weights = np.asarray(estimator.coef_, dtype=np.float64).reshape(y_RK.shape[1], -1).T
        bias = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64), y_RK.shape[1])
        return LinearModel(np.ascontiguousarray(weights), bias.copy(), "identity")

    def _common_zeros(self, x: Matrix, y_RK: FloatArray, weights: FloatArray | None) -> LinearModel:
        """Lasso of several outputs, whose weights are 0 together. scikit-learn's takes no weights: rows
        that are centered and times the root of theirs are the same problem without a bias.
        """
        estimator = MultiTaskLasso(
            alpha=self.strength / len(y_RK),
            max_iter=self.max_iter,
            tol=1e-6,
            fit_intercept=weights is None,
        )
        if weights is None:
            estimator.fit(x, y_RK)
            bias = np.broadcast_to(np.asarray(estimator.intercept_), y_RK.shape[1]).copy()
            return LinearModel(np.ascontiguousarray(estimator.coef_.T), bias, "identity")
        root, mean_x, mean_y = (
            np.sqrt(weights)[:, None],
            mean(np.asarray(x, dtype=np.float64), weights),
            mean(y_RK, weights),
        )
        estimator.fit((x - mean_x) * root, (y_RK - mean_y) * root)
        found = np.ascontiguousarray(estimator.coef_.T)
        return LinearModel(found, mean_y - mean_x @ found, "identity")


def _beside(models: Sequence[LinearModel]) -> LinearModel:
    weights = np.concatenate([model.weights for model in models], axis=1)
    return LinearModel(weights, np.concatenate([model.bias for model in models]), "identity")


def _too_large(fit: Fit) -> FitError:
    return FitError(
        "build, linear, penalty",
        f"at most {_quantile_fit.MOST:,} features, or as many rows, for quantiles with l2",
        f"{fit.x.shape[1]:,} features and {fit.rows:,} rows",
        "Choose penalty: l1, fewer features (prepare.features.select), or the family boosting.",
    )


def _ridges(settings: Sequence[Settings], fit: Fit, context: Context) -> Iterator[LinearModel]:
    """One model a setting; a penalty too weak for the common factorization is solved by itself. Several
    targets have a strength each where it is to be found.
    """
    found_alone = any(setting.alpha == "auto" for setting in settings)
    if found_alone and fit.task == "regression" and fit.outputs > 1:
        columns = [replace(fit, y=fit.y[:, at], outputs=1) for at in range(fit.outputs)]
        alone = [list(_ridges(settings, column, context)) for column in columns]
        yield from (_beside(models) for models in zip(*alone, strict=True))
        return
    y_RK = np.asarray(fit.y, dtype=np.float64).reshape(fit.rows, -1)
    ridge = _ridge.factorized(fit.x, y_RK, fit.weights)
    penalties = np.array([setting.strength for setting in settings])
    if np.isnan(penalties).any():
        found = _ridge.best(float(ridge.values[-1]), partial(_ridge.left_out, ridge, fit.x, y_RK))
        text = f"linear: alpha {found:.3g}, which predicts each training row best without it"
        context.emit("note", text=text, **fit.facts)
        penalties[np.isnan(penalties)] = found
    weights_AFK, bias_AK = ridge.weights(penalties)
    for at, exact in enumerate(ridge.exact(penalties)):
        yield (
            LinearModel(weights_AFK[at], bias_AK[at], "identity")
            if exact
            else settings[at]._alone(fit, context)
        )


def _chain(settings: Sequence[Settings], fit: Fit, context: Context) -> Iterator[LinearModel]:
    """Logistic regression of every setting, from the strongest penalty to the weakest, each from
    the weights before.
    """
    classes = present(fit, "linear")
    estimator = settings[0]._logistic(fit, len(classes))
    found: dict[float, LinearModel] = {}
    for setting in sorted(settings, key=lambda setting: -setting.strength):
        if setting.strength not in found:
            estimator.set_params(C=np.inf if setting.penalty == "none" else 1.0 / setting.strength)
            with setting._told(context):
                estimator.fit(fit.x, fit.y, sample_weight=fit.weights)
            found[setting.strength] = _model(estimator, fit, classes)
    yield from (found[setting.strength] for setting in settings)


def _model(estimator: LogisticRegression, fit: Fit, classes: IntArray) -> LinearModel:
    """Scores of the classes present as scores of all; copies, for the next start may work on the
    same arrays.
    """
    weights, bias = estimator.coef_.T.copy(), estimator.intercept_.copy()
    if fit.outputs == 2:
        return LinearModel(np.ascontiguousarray(weights), bias, "sigmoid")
    if len(classes) == 2:  # one log-odds column: class 0 of the two has score 0
        weights = np.concatenate([np.zeros_like(weights), weights], axis=1)
        bias = np.concatenate([[0.0], bias])
    all_weights, all_bias = np.zeros((len(weights), fit.outputs)), np.full(fit.outputs, ABSENT)
    all_weights[:, classes], all_bias[classes] = weights, bias
    return LinearModel(all_weights, all_bias, "softmax")
