"""A row with the weight 2 counts as the row twice: every family, to its solver's tolerance.

Where a solver draws rows at random (a forest's bootstrap), the means over many trees are compared. Networks
are trained on all rows a step, as batches of some rows are drawn at random. A batch norm sees rows as they
stand: of cnn the losses are compared, not the trained network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sixfold.core.plugins import Kind
from sixfold.parts.fit import FeatureGroup, Fit, Setting, Watch
from sixfold.parts.image_resize import ImageShape
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train.losses import row_losses
from sixfold.train.module import BatchExamples, ModuleFit, ModuleLearner, StoredExamples
from sixfold.train.replicas import ReplicaLearner
from sixfold.train.starting import replicas_of
from sixfold.train.stopping import EarlyStopping

ROWS, FEATURES = 48, 3
# Plain descent: adam makes a step of the whole rate of a gradient that is 0 but for rounding.
LOOP = {"batch_size": "full", "epochs": 30, "optimizer": {"name": "sgd", "learning_rate": 0.1}}
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Way:
    """A family's options, and how far predictions may be apart."""

    family: str
    options: dict[str, Any]
    near: float = 1e-6
    tasks: tuple[str, ...] = ("two", "three", "values")


# One question a tree: LightGBM rounds its estimate of the rows of a leaf, which decides where they are few.
BOOSTING = {
    "rounds": 40,
    "max_depth": 1,
    "patience": None,
    "min_rows_leaf": 1,
    "feature_fraction": 1.0,
}
WAYS = (
    Way("linear", {}, 1e-4),
    Way("linear", {"penalty": "l1"}, 5e-3, ("two", "values")),
    Way("linear", {"penalty": "none"}, 1e-3, ("two", "values")),
    Way("linear", {"alpha": "auto"}, 1e-6, ("values",)),
    Way("linear", {"alpha": 0.3}, 1e-6, ("several",)),
    Way("linear", {"penalty": "l1", "alpha": 0.3}, 1e-4, ("several",)),
    Way("svm", {}, 5e-3),
    Way("svm", {"kernel": "linear"}, 1e-3),
    Way("svm", {"kernel": "poly", "coef0": 1.0}, 5e-3),
    Way("kernel_ridge", {}, 1e-8, ("values", "several")),
    Way("kernel_ridge", {"alpha": "auto"}, 1e-8, ("values",)),
    Way("kernel_ridge", {"kernel": "sigmoid", "gamma": 0.1}, 1e-8, ("values",)),
    Way("tree", {"min_rows_leaf": 5}, 1e-6),
    Way("tree", {"min_rows_leaf": 5, "criterion": "entropy"}, 1e-6, ("two",)),
    Way("tree", {"min_rows_leaf": 3}, 1e-6, ("several",)),
    Way("forest", {"trees": 600, "min_rows_leaf": 1, "max_depth": 3}, 0.12),
    Way(
        "extra_trees",
        {"trees": 20, "min_rows_leaf": 3},
        1e-5,
        ("two", "three", "values", "several"),
    ),
    Way("boosting", BOOSTING, 1e-6),
    Way("mlp", {"hidden": [6]}, 1e-4, ("two", "three", "values", "several")),
    Way("mlp", {"hidden": [6], "label_smoothing": 0.1}, 1e-4, ("two",)),
    Way("residual_mlp", {"width": 6, "blocks": 1, "dropout": 0.0}, 1e-4),
    Way("tabm", {"width": 6, "blocks": 1, "members": 3, "dropout": 0.0}, 1e-4),
    Way("text_cnn", {"size": "nano", "dropout": 0.0}, 1e-3, ("two", "values")),
    Way("text_encoder", {"size": "nano", "dropout": 0.0}, 1e-3, ("two",)),
    Way("fusion", {"size": "nano", "dropout": 0.0}, 1e-3, ("two", "values")),
)
OF_TOKENS = ("text_cnn", "text_encoder")
RULED = "refused by a rule of recipe/"
OTHERWISE = {
    **dict.fromkeys(("als", "bpr", "item_knn", "popularity", "sasrec", "two_tower"), RULED),
    "audio_cnn": "its losses are those of cnn: both are modules",
    "cnn": "its losses, below",
    "ctc": "its losses are weighed as those of cnn: both are modules",
    "image_encoder": "its losses are those of cnn: both are modules",
    "language": RULED,
    "speech_encoder": "its losses are weighed as those of cnn: both are modules",
    "whisper": "its losses are weighed as those of cnn: both are modules",
}


def task_of(kind: str) -> Any:
    return {"values": "regression", "several": "reconstruction"}.get(kind, "classification")


def fit_of(way: Way, kind: str, seed: int = 0, **loop: Any) -> Fit:
    """Whole numbers, each in several rows: boosting makes its bins of rows, whatever they count."""
    rng = np.random.default_rng(seed)
    x = rng.permuted(np.tile(np.arange(6.0) - 2.5, (FEATURES, ROWS // 6)), axis=1).T
    noisy = x @ [1.0, -0.5, 0.2] + rng.normal(size=ROWS)
    y: Array = noisy
    if kind in ("two", "three"):
        y = np.digitize(noisy, [0.0] if kind == "two" else [-1.0, 1.0]).astype(np.int64)
    if kind == "several":
        y = np.stack([noisy, x[:, 0] + rng.normal(size=ROWS)], axis=1)
    outputs = {"two": 2, "three": 3, "several": 2}.get(kind, 1)
    layout: tuple[FeatureGroup, ...] = ()
    if way.family in OF_TOKENS:
        x = np.concatenate([x + 5, np.zeros((ROWS, 5))], axis=1)
        layout = (FeatureGroup("tokens", ("text",), 0, x.shape[1], tokens=12),)
    family = FAMILY.load(way.family)(**way.options)
    if kind == "values" and family.trained_by_the_loop and family.one_module:
        loop = {"optimizer": {"name": "sgd", "learning_rate": 0.005}, **loop}  # more of it diverges
    setting = Setting(way.family, family, train=Train.model_validate({**LOOP, **loop}))
    x = x.astype(family.needs.precision)
    return Fit(x, y, task_of(kind), outputs, seed=3, setting=setting, layout=layout)


def weights_of(seed: int) -> Array:
    return np.random.default_rng(seed).integers(1, 4, ROWS).astype(np.float64)


def repeated(fit: Fit, weights: Array) -> Fit:
    return fit.take(np.repeat(np.arange(fit.rows), weights.astype(np.int64)))


def predicted(fit: Fit, x: Any) -> Array:
    assert fit.setting.family is not None
    family: Any = fit.setting.family
    (model,) = family.fit([fit], Context())
    return np.asarray(model.predict(x))


PAIRS = [
    pytest.param(way, kind, id=f"{way.family}-{way.options}-{kind}")
    for way in WAYS
    for kind in way.tasks
]


@pytest.mark.parametrize(("way", "kind"), PAIRS)
def test_a_weight_of_two_is_a_row_twice(way: Way, kind: str) -> None:
    fit, weights = fit_of(way, kind), weights_of(1)
    plain = predicted(fit, fit.x)
    found = predicted(replace(fit, weights=weights), fit.x)
    expected = predicted(repeated(fit, weights), fit.x)
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=way.near * max(1.0, np.abs(expected).max())
    )
    assert np.abs(found - plain).max() > 1e-3  # and they do count


@pytest.mark.parametrize(("way", "kind"), PAIRS)
def test_weights_that_are_all_one_change_nothing(way: Way, kind: str) -> None:
    fit = fit_of(way, kind)
    found = predicted(replace(fit, weights=np.ones(ROWS)), fit.x)
    near = max(way.near, 0.12 if way.family == "forest" else 0.0)
    np.testing.assert_allclose(found, predicted(fit, fit.x), rtol=0, atol=near * 10)


def test_every_family_is_among_them() -> None:
    names = {way.family for way in WAYS}
    assert names | OTHERWISE.keys() == set(FAMILY.names())
    assert not names & OTHERWISE.keys()
    assert isinstance(FAMILY, Kind)


@pytest.mark.parametrize("kernel", ["rbf", "poly"])
@pytest.mark.parametrize("kind", ["two", "three", "values"])
def test_a_grid_of_machines_counts_as_each_of_them_does(kernel: str, kind: str) -> None:
    way = Way("svm", {"kernel": kernel, "coef0": 1.0})
    fit = replace(fit_of(way, kind), weights=weights_of(2))
    family: Any = FAMILY.load("svm")
    grid = [family(kernel=kernel, coef0=1.0, C=C) for C in (0.1, 1.0, 5.0)]
    fits = [replace(fit, setting=Setting(str(one.C), one)) for one in grid]
    for one, model in zip(fits, grid[0].fit(fits, Context()), strict=True):
        np.testing.assert_allclose(model.predict(fit.x), predicted(one, fit.x), atol=2e-2)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["ridge", "kernel", "tree"]))
def test_of_any_weights(seed: int, which: str) -> None:
    """Also such as leave a row out of the count of a leaf, or of the rows that are left out."""
    ways = {
        "ridge": Way("linear", {"alpha": "auto"}),
        "kernel": Way("kernel_ridge", {"alpha": "auto"}),
        "tree": Way("tree", {"min_rows_leaf": 7, "complexity": 0.01}),
    }
    fit = fit_of(ways[which], "values", seed % 1000)
    weights = np.random.default_rng(seed).integers(1, 6, ROWS).astype(np.float64)
    found = predicted(replace(fit, weights=weights), fit.x)
    np.testing.assert_allclose(found, predicted(repeated(fit, weights), fit.x), atol=1e-5)


@pytest.mark.parametrize("rows", [40, 100])
def test_a_module_of_any_kind_counts_rows(rows: int) -> None:
    """In parts of a batch, too: the gradient is that of the rows repeated."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, 4)).astype(np.float32), np.arange(rows) % 3
    weights = rng.integers(1, 4, rows)
    gradients = []
    for some in (np.arange(rows), np.repeat(np.arange(rows), weights)):
        own = weights / weights.mean() if len(some) == rows else None
        torch.manual_seed(0)
        section = Train.model_validate({"batch_size": "full", "epochs": 1})
        work = ModuleFit(
            nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)),
            StoredExamples(x[some], torch.from_numpy(y[some])),
            row_losses,
            section,
            EarlyStopping(section.stop),
            Context(),
            0,
            weights=None if own is None else torch.from_numpy(own),
            watched=StoredExamples(x[some], torch.from_numpy(y[some])),
            watched_weights=None if own is None else torch.from_numpy(own),
        )
        learner = ModuleLearner(work)
        (batch,) = learner.batches()
        with torch.no_grad():  # as the loop does
            learner.backward(batch)
            gradients.append((learner.gradient.clone(), learner.evaluate()[0]))
        learner.close()
    torch.testing.assert_close(gradients[0][0], gradients[1][0], rtol=1e-4, atol=1e-6)
    assert gradients[0][1] == pytest.approx(gradients[1][1], rel=1e-5)


def test_examples_without_weights_are_taken_as_they_are() -> None:
    examples = BatchExamples(torch.ones(4, 2), torch.arange(4), None).take(slice(1, 3))
    assert (len(examples.x), examples.y.tolist(), examples.weight) == (2, [1, 2], None)


def test_images_count_as_their_rows_do() -> None:
    family: Any = FAMILY.load("cnn")(size="nano")
    image = ImageShape(8, 8, 1)
    layout = (FeatureGroup("pixels", ("photo",), 0, 64, image=image),)
    rng = np.random.default_rng(0)
    x, weights = rng.integers(0, 255, (20, 64)).astype(np.float32), np.arange(1.0, 21.0)
    setting = Setting("cnn", family, train=Train.model_validate({"epochs": 1}))
    fit = Fit(
        x, np.arange(20) % 2, "classification", 2, layout=layout, setting=setting, weights=weights
    )
    work = family.work_of(fit, Context())
    assert work.weights.tolist() == pytest.approx(weights / weights.mean())


def of_network(family: str, metric: str, watch: Watch | None) -> Fit:
    options: dict[str, Any] = {"hidden": [6]} if family == "mlp" else {"width": 6, "blocks": 1}
    fit = replace(fit_of(Way(family, options), "two"), weights=weights_of(4))
    train = Train.model_validate({**LOOP, "epochs": 2, "stop": {"patience": 50, "metric": metric}})
    return replace(fit, setting=replace(fit.setting, train=train, watch=watch))


@pytest.mark.parametrize("family", ["mlp", "residual_mlp", "tabm"])
def test_the_loss_that_is_watched_is_a_weighed_mean(family: str) -> None:
    fit = of_network(family, "loss", None)
    own: Any = fit.setting.family
    (replica,) = replicas_of(own, {0: fit}, Context())
    rows = replica.watched
    assert rows is not None
    assert rows.weights is not None
    assert len({round(float(weight), 6) for weight in rows.weights}) > 1
    losses = own.losses(replica.module.eval()(rows.x), rows.y).detach()
    expected = float((losses * rows.weights).mean())
    (found,) = ReplicaLearner(own, [replica]).evaluate()
    assert found == pytest.approx(expected, rel=1e-5)
    assert found != pytest.approx(float(losses.mean()), rel=1e-5)


@pytest.mark.parametrize("family", ["mlp", "tabm"])
def test_the_metric_that_is_watched_gets_the_weights(family: str) -> None:
    seen: list[Array] = []

    def score(y: Any, predicted: Array, weights: Array | None) -> float:
        assert weights is not None
        assert len(y) == len(predicted) == len(weights)
        seen.append(weights)
        return 0.5

    fit = of_network(family, "accuracy", Watch("accuracy", True, score))
    predicted(fit, fit.x)
    assert len(seen) == 2
    assert set(seen[0]) <= {1.0, 2.0, 3.0}
