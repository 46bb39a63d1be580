"""Families that learn quantiles: the loss that they minimize, by solvers and gradients of others; weights; their graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.linear_model import QuantileRegressor
from sklearn.svm import SVR

from evaluating import candidate
from fitting import fit_many
from sixfold.build._pinball import pinball_losses
from sixfold.build.apart import FittedApart, fit_all
from sixfold.core.errors import FitError, RecipeError
from sixfold.evaluate.metrics.values import PinballLoss
from sixfold.parts.fit import Fit, Fitted
from sixfold.parts.table import Target
from sixfold.recipe.kinds import FAMILY
from sixfold.runs.context import Context
from sixfold.train.starting import replicas_of

Array = np.ndarray[Any, Any]
QUANTILES = (0.1, 0.5, 0.9)
SEEDS = st.integers(0, 2**32 - 1)
LOOP = {"batch_size": "full", "epochs": 3, "optimizer": {"name": "sgd", "learning_rate": 0.1}}
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [6]},
    "residual_mlp": {"width": 6, "blocks": 1, "dropout": 0.0},
    "tabm": {"width": 6, "blocks": 1, "members": 3, "dropout": 0.0},
}


def rows(seed: int, count: int = 80, features: int = 3) -> Fit:
    """Values whose spread grows with the second feature."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, features))
    y = 100 + 5 * x[:, 0] + rng.normal(size=count) * (1 + np.abs(x[:, 1]))
    return Fit(x, y, "regression", len(QUANTILES), quantiles=QUANTILES)


def made(family: str, options: dict[str, Any], fit: Fit) -> Fitted:
    one = candidate({"family": family, **options})
    (found,) = fit_all(one.family, [fit], Context())
    return found


def loss(fit: Fit, predicted: Array) -> float:
    """Σ of the pinball losses of all rows, as often as they count."""
    target = Target("regression", fit.y, ("y",), quantiles=fit.quantiles)
    each = PinballLoss().rows(target, predicted) * len(fit.quantiles)
    return float(each.sum() if fit.weights is None else fit.weights @ each)


@pytest.mark.parametrize("penalty", ["none", "l1"])
def test_lines_are_those_of_scikit_learn(penalty: str) -> None:
    fit, alpha = rows(0), 3.0
    found = made(
        "linear", {"penalty": penalty, **({"alpha": alpha} if penalty == "l1" else {})}, fit
    )
    own = alpha / fit.rows if penalty == "l1" else 0.0
    for at, quantile in enumerate(QUANTILES):
        other = QuantileRegressor(quantile=quantile, alpha=own, solver="highs").fit(fit.x, fit.y)
        assert found.predict(fit.x)[:, at] == pytest.approx(other.predict(fit.x), abs=1e-6)


def test_a_weak_penalty_of_squares_is_none() -> None:
    """The interior-point method beside HiGHS."""
    fit = rows(1)
    weak, none = made("linear", {"alpha": 1e-7}, fit), made("linear", {"penalty": "none"}, fit)
    assert weak.predict(fit.x) == pytest.approx(none.predict(fit.x), abs=1e-4)


@pytest.mark.parametrize("features", [3, 120])
def test_the_median_with_a_penalty_is_that_of_a_kernel_machine(features: int) -> None:
    """½‖w‖² + C Σ|e| is 1 / (2 α) of α ‖w‖² + Σ ½|e| where C = 1 / (4 α). With fewer features than rows, and more."""
    fit = replace(rows(2, 60, features), quantiles=(0.5,), outputs=1)
    alpha = 2.0
    found: Any = made("linear", {"alpha": alpha}, fit)
    other = SVR(kernel="linear", C=1 / (4 * alpha), epsilon=0, tol=1e-9).fit(fit.x, fit.y)
    own, least = (
        loss(fit, predicted.reshape(-1, 1)) + alpha * float((weights**2).sum())
        for predicted, weights in (
            (found.predict(fit.x), found.weights),
            (other.predict(fit.x), other.coef_),
        )
    )
    assert own == pytest.approx(least, rel=1e-6)
    assert found.predict(fit.x)[:, 0] == pytest.approx(other.predict(fit.x), abs=0.05)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from([0.01, 1.0, 100.0]), st.sampled_from([2, 100]))
def test_nothing_near_is_better_with_a_penalty_of_squares(
    seed: int, alpha: float, features: int
) -> None:
    fit = replace(rows(seed, 50, features), weights=np.random.default_rng(seed).gamma(1.0, size=50))
    model: Any = made("linear", {"alpha": alpha}, fit)

    def whole(weights: Array, bias: Array) -> float:
        return loss(fit, fit.x @ weights + bias) + alpha * float((weights**2).sum())

    least, rng = whole(model.weights, model.bias), np.random.default_rng(seed)
    for size in (1e-1, 1e-2, 1e-3):
        moved = [rng.normal(size=part.shape) * size for part in (model.weights, model.bias)]
        assert whole(model.weights + moved[0], model.bias + moved[1]) >= least - 1e-6 * abs(least)


def test_sparse_rows_are_the_same_rows() -> None:
    fit = rows(3)
    x = np.where(fit.x > 0.5, fit.x, 0.0)
    dense, sparse = replace(fit, x=x), replace(fit, x=csr_array(x))
    for options in ({}, {"penalty": "l1"}, {"penalty": "none"}):
        one, other = made("linear", options, dense), made("linear", options, sparse)
        assert one.predict(x) == pytest.approx(other.predict(x), abs=1e-5)


def test_what_is_too_large_for_a_penalty_of_squares_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sixfold.build._quantile_fit.MOST", 2)
    with pytest.raises(
        FitError, match="at most 2 features, or as many rows, for quantiles with l2"
    ):
        made("linear", {}, rows(0))


def test_boosting_is_a_booster_for_each_quantile() -> None:
    options = {"rounds": 15, "patience": None, "min_rows_leaf": 5, "feature_fraction": 1.0}
    fit = rows(4, 200)
    fit = replace(fit, x=fit.x.astype(np.float32))
    found = made("boosting", options, fit)
    assert isinstance(found, FittedApart)
    for at, quantile in enumerate(QUANTILES):
        booster = lightgbm.train(
            {
                "objective": "quantile",
                "alpha": quantile,
                "learning_rate": 0.05,
                "min_data_in_leaf": 5,
                "verbosity": -1,
                "deterministic": True,
                "num_threads": 1,
            },
            lightgbm.Dataset(fit.x, fit.y - fit.y.mean()),
            15,
        )
        expected = np.asarray(booster.predict(fit.x)) + fit.y.mean()
        assert found.predict(fit.x)[:, at] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_steps_along_the_gradient_of_the_pinball_loss(name: str) -> None:
    """The gradients that its program finds, beside those of autograd."""
    fit = replace(rows(5), weights=np.random.default_rng(0).gamma(1.0, size=80))
    one = candidate({"family": name, **NETWORKS[name]}, train=LOOP)
    fit = replace(fit, setting=one.setting())
    family: Any = one.family
    (replica,) = replicas_of(family, {0: fit}, Context())
    module = replica.module.double()
    y = torch.from_numpy(family.targets(module, fit))
    theta = torch.nn.utils.parameters_to_vector(module.parameters()).detach().unsqueeze(0)
    gradient = torch.zeros_like(theta)
    program = family.program(module, theta, gradient)
    weight, x = torch.from_numpy(fit.weights)[None], torch.from_numpy(fit.x)
    target, own = program.encode(y[None, None], weight[None])
    found = program.gradient(x[None], target[:, 0], own[:, 0], [])
    outputs = module(x)
    expected = (pinball_losses(QUANTILES)(outputs, y) * weight[0]).sum()
    slopes = torch.autograd.grad(expected, list(module.parameters()))
    assert found.item() == pytest.approx(expected.item())
    assert gradient[0].numpy() == pytest.approx(
        torch.cat([slope.reshape(-1) for slope in slopes]).numpy(), abs=1e-9
    )
    each = program.losses(x[None], y[None])[0]
    assert each.numpy() == pytest.approx(pinball_losses(QUANTILES)(outputs, y).detach().numpy())


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_where_the_quantiles_are(name: str) -> None:
    fit = rows(6, 600)
    adam = {"name": "adam", "learning_rate": 0.01}
    train = {"epochs": 80, "optimizer": adam, "schedule": {"name": "cosine"}}
    one = candidate({"family": name, **NETWORKS[name]}, train=train)
    (found,) = fit_many([one], [fit], Context())
    below = (fit.y[:, None] <= found.predict(fit.x)).mean(axis=0)
    assert below == pytest.approx(QUANTILES, abs=0.08)


@pytest.mark.parametrize(
    ("family", "options", "near"),
    [
        ("linear", {}, 1e-6),
        ("linear", {"penalty": "none"}, 1e-6),
        # LightGBM interpolates a leaf's quantile in another way where rows have weights.
        ("boosting", {"rounds": 10, "max_depth": 1, "patience": None, "min_rows_leaf": 1}, 2e-2),
    ],
)
def test_a_row_with_the_weight_two_is_the_row_twice(
    family: str, options: dict[str, Any], near: float
) -> None:
    fit, counts = rows(7, 60), np.random.default_rng(1).integers(1, 4, 60)
    fit = replace(fit, x=fit.x.astype(np.float32)) if family == "boosting" else fit
    repeated = np.repeat(np.arange(60), counts)
    weighed = replace(fit, weights=counts.astype(np.float64))
    twice = replace(fit, x=fit.x[repeated], y=fit.y[repeated])
    one, other = made(family, options, weighed), made(family, options, twice)
    expected = loss(weighed, other.predict(weighed.x))
    assert loss(weighed, one.predict(weighed.x)) == pytest.approx(expected, rel=near)


def test_strengths_that_ridge_alone_finds_are_refused() -> None:
    with pytest.raises(RecipeError, match="a number, where quantiles are predicted; found 'auto'"):
        FAMILY.make({"family": "linear", "alpha": "auto"}, "family").check_quantiles()


def test_those_who_learn_quantiles_are_known() -> None:
    able = {name for name in FAMILY.names() if FAMILY.load(name).learns_quantiles}
    assert able == {"linear", "boosting", *NETWORKS}
