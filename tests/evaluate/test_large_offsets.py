"""A number column, a date or a target may stand anywhere: 1.7e9 or 1e12 more changes no answer, but
by as much.

Values are multiples of 1/64, so that they are the same values at every offset, to the bit.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_evaluate_model import answers

from evaluating import Array, candidate
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts.fit import Offset
from sixfold.parts.table import Column, Dataset, Table, Target, Task
from sixfold.prepare.centering import Centering
from sixfold.recipe.kinds import FAMILY, FEATURE, IMPUTER
from sixfold.runs.context import Context

CASE = Path(__file__).parents[3] / "shared" / "cases" / "33_epoch.csv"
EPOCH, FAR = 1.7e9, 1e12
ROWS, TRAINING = 240, np.arange(180)
VALIDATION = np.arange(180, ROWS)
QUICK: dict[str, dict[str, Any]] = {
    "linear": {},
    "svm": {},
    "kernel_ridge": {},
    "tree": {},
    "forest": {"trees": 15},
    "extra_trees": {"trees": 15},
    "boosting": {"rounds": 40, "learning_rate": 0.15},
    "mlp": {"hidden": [16]},
    "residual_mlp": {"width": 16, "blocks": 1},
    "tabm": {"width": 16, "blocks": 1, "members": 4},
    "fusion": {"size": "nano"},
}
TRAIN = {"epochs": 30, "batch_size": 32, "optimizer": {"name": "adam", "learning_rate": 0.01}}
NETWORKS = ("mlp", "residual_mlp", "tabm", "fusion")
NONE = {"features": {"number": "none"}}


def gridded(values: Array) -> Array:
    return np.round(values * 64) / 64


def dataset(
    offset: float = 0.0, task: Task = "classification", up: float = 0.0, kind: Any = "number"
) -> Dataset:
    """`seconds`: half an hour after `offset`, which decides the target with `plain`; the target
    stands at `up`.
    """
    rng = np.random.default_rng(5)
    seconds, plain, noise = (
        gridded(rng.uniform(0, 1800, ROWS)),
        gridded(rng.normal(size=ROWS)),
        rng.normal(size=ROWS),
    )
    columns = {"seconds": Column(kind, seconds + offset), "plain": Column("number", plain)}
    columns["town"] = Column(
        "category", rng.integers(0, 3, ROWS).astype(np.int32), ("Bern", "Graz", "Riga")
    )
    signal = gridded(seconds / 300 + plain + 0.2 * noise)
    table = Table(columns, ROWS)
    if task == "classification":
        return Dataset(
            table,
            Target(task, (signal > np.median(signal)).astype(np.int64), ("y",), ("low", "high")),
        )
    if task == "regression":
        return Dataset(table, Target(task, signal + up, ("y",)))
    return Dataset(
        table, Target(task, np.stack([signal, gridded(plain - signal)], axis=1) + up, ("p", "q"))
    )


def fitted(
    name: str, data: Dataset, prepare: dict[str, Any] | None = None, **options: Any
) -> Model:
    build = {"family": name, **QUICK[name], **options}
    return fit_model(candidate(build, prepare, TRAIN), data.take(TRAINING), Context(seed=3))


def score(model: Model, data: Dataset) -> float:
    """Accuracy, or R² over all values, on rows that were not learned."""
    held_out = data.take(VALIDATION)
    predicted, truth = model.predict(held_out.table), held_out.target.values
    if model.task == "classification":
        return float((predicted.argmax(axis=1) == truth).mean())
    truth = truth.reshape(len(truth), -1)
    return float(1 - ((predicted - truth) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum())


def agrees(model: Model, data: Dataset, atol: float) -> None:
    """The graph answers as the model; networks of one module compute in single precision."""
    atol = max(atol, 2e-4) if isinstance(model.fitted, Offset) else atol
    held_out = data.take(VALIDATION)
    found = answers(model, held_out.table)
    own = model.predict(held_out.table)
    np.testing.assert_allclose(
        found["value" if model.output == "value" else model.output], own, atol=atol, rtol=1e-7
    )


def shift_of(model: Model) -> float:
    """What is subtracted of `seconds`; 0.0 where nothing is."""
    steps = [
        step
        for block in model.preparer.blocks
        for step in block.steps
        if isinstance(step, Centering)
    ]
    return float(sum(step.shift.sum() for step in steps))


def stands_anywhere(name: str, task: Task, prepare: dict[str, Any]) -> None:
    """The same bits from 1.7e9, from 1e12, and from near 0 by hand; and with a scaler as good as
    from 0.
    """
    epoch, far = dataset(EPOCH, task), dataset(FAR, task)
    model = fitted(name, epoch, prepare)
    near = dataset(EPOCH - shift_of(model), task)
    plain = fitted(name, near, prepare)
    assert shift_of(plain) == 0.0 < shift_of(model)
    predicted = model.predict(epoch.table)
    np.testing.assert_array_equal(predicted, plain.predict(near.table))
    np.testing.assert_array_equal(predicted, fitted(name, far, prepare).predict(far.table))
    agrees(model, epoch, 1e-5)
    if not prepare:
        zero = dataset(0.0, task)
        assert abs(score(model, epoch) - score(fitted(name, zero), zero)) <= 0.05


SOME = [("boosting", NONE), ("forest", {}), ("mlp", {}), ("linear", NONE), ("svm", NONE)]


@pytest.mark.parametrize(("name", "prepare"), SOME)
def test_a_column_may_stand_anywhere(name: str, prepare: dict[str, Any]) -> None:
    stands_anywhere(name, "classification", prepare)


OF_TABLES = [name for name in FAMILY.names() if "numbers" in FAMILY.load(name).reads]


def pairs(*tasks: Task) -> list[tuple[str, Task]]:
    return [
        (name, task) for name, task in product(OF_TABLES, tasks) if task in FAMILY.load(name).tasks
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), pairs("classification", "regression", "reconstruction"))
def test_a_column_may_stand_anywhere_for_every_family(name: str, task: Task) -> None:
    for prepare in ({}, NONE):
        stands_anywhere(name, task, prepare)


def test_every_family_is_tried() -> None:
    assert sorted(QUICK) == sorted(OF_TABLES)


METHODS = [name for name in FEATURE.names() if "number" in FEATURE.load(name).takes]
CHAINS: dict[str, dict[str, Any]] = {
    name: {"number": name}
    if FEATURE.load(name).role == "change"
    else {"number": "none", FEATURE.load(name).role: name}
    for name in METHODS
}
CHAINS["polynomial, standard"] = {"number": ["polynomial", "standard"]}
CHAINS["model_importance in a chain"] = {"number": [{"name": "model_importance", "keep": 1}]}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_column_may_stand_anywhere_before_every_method(chain: str) -> None:
    """Also before those that square, or round to float32 themselves."""
    stands_anywhere("linear", "regression", {"features": CHAINS[chain]})


@pytest.mark.parametrize("imputer", [name for name in IMPUTER.names() if name != "none"])
def test_a_column_with_gaps_may_stand_anywhere(imputer: str) -> None:
    """What is filled in is as good; a constant is the raw column's, wherever the column stands."""
    scores = []
    for offset in (0.0, EPOCH):
        data = dataset(offset, "regression")
        data.table.columns["seconds"].values[::9] = np.nan
        options = {"name": imputer, **({"value": offset + 900.0} if imputer == "constant" else {})}
        model = fitted("linear", data, {"impute": {"number": options}})
        agrees(model, data, 1e-6)
        scores.append(score(model, data))
    assert abs(scores[0] - scores[1]) < 0.01, scores


@pytest.mark.parametrize("name", ["boosting", "linear"])
def test_a_date_keeps_its_minutes(name: str) -> None:
    """Days since 1970 are large against half an hour; the date's other parts are the same for all
    rows.
    """
    data = dataset(EPOCH, kind="date")
    assert score(fitted(name, data), data) > 0.8
    assert score(fitted(name, data, {"features": {"date": "standard"}}), data) > 0.8


@pytest.mark.slow
@pytest.mark.skipif(not CASE.exists(), reason="the cases are not beside this checkout")
def test_seconds_of_half_an_hour_as_lightgbm_has_them() -> None:
    """0.984 over folds, by LightGBM itself on centered seconds; 0.768 where float32 has seen
    1.7e9.
    """
    frame = pd.read_csv(CASE)
    columns = {name: Column("number", frame[name].to_numpy()) for name in ("t", "temp")}
    names, classes = np.unique(frame["state"], return_inverse=True)
    target = Target("classification", classes.astype(np.int64), ("state",), tuple(names.tolist()))
    data = Dataset(Table(columns, len(frame)), target)
    right = []
    for part in np.array_split(np.random.default_rng(0).permutation(len(frame)), 5):
        training = np.setdiff1d(np.arange(len(frame)), part)
        model = fit_model(candidate({"family": "boosting"}), data.take(training), Context(seed=1))
        right.append(model.predict(data.table.take(part)).argmax(axis=1) == target.values[part])
    assert np.concatenate(right).mean() > 0.98


@pytest.mark.parametrize("name", ["boosting", "tree"])
def test_a_few_values_far_away_hide_nothing(name: str) -> None:
    """0 stands for "never" in most rows."""
    data = dataset(EPOCH)
    never = np.random.default_rng(1).random(ROWS) < 0.5
    data.table.columns["seconds"].values[never] = 0.0
    known = VALIDATION[~never[VALIDATION]]
    model = fitted(name, data)
    right = model.predict(data.table.take(known)).argmax(axis=1) == data.target.values[known]
    assert right.mean() > 0.8
    agrees(model, data, 1e-6)


def target_stands_anywhere(name: str, task: Task, **options: Any) -> None:
    found = []
    for up in (0.0, 1e9, FAR):
        data = dataset(0.0, task, up)
        model = fitted(name, data, **options)
        agrees(model, data, 1e-5 if up < FAR else 1e-2)
        found.append((score(model, data), model.predict(data.table) - up))
    scores = [each[0] for each in found]
    assert abs(scores[1] - scores[0]) < 0.02, scores
    assert abs(scores[2] - scores[0]) < 0.02, scores
    if name not in NETWORKS or (
        task == "regression" and not options
    ):  # not scaled, a network learns from where 0 is
        for moved in found[1:]:
            assert abs(moved[1] - found[0][1]).mean() < 0.05 * found[0][1].std()


@pytest.mark.parametrize(
    ("name", "task", "options"),
    [
        ("boosting", "regression", {}),
        ("forest", "reconstruction", {}),
        ("tree", "regression", {"complexity": 0.01}),
        ("mlp", "regression", {"scale_target": False}),
        ("svm", "regression", {}),
    ],
)
def test_a_target_may_stand_anywhere(name: str, task: Task, options: dict[str, Any]) -> None:
    target_stands_anywhere(name, task, **options)


VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "linear": ({"penalty": "l1", "alpha": 0.1}, {"penalty": "none"}, {"alpha": "auto"}),
    "svm": ({"kernel": "linear"}, {"kernel": "poly", "coef0": 1.0}),
    "kernel_ridge": ({"alpha": "auto"}, {"kernel": "poly", "coef0": 1.0}),
    "boosting": ({"patience": None, "row_fraction": 0.7},),
    **{name: ({"scale_target": False},) for name in NETWORKS if name != "fusion"},
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), pairs("regression", "reconstruction"))
def test_a_target_may_stand_anywhere_for_every_family(name: str, task: Task) -> None:
    for options in ({}, *VARIANTS.get(name, ())):
        target_stands_anywhere(name, task, **options)


@pytest.mark.parametrize("select", ["mutual_information", "model_importance"])
def test_features_are_chosen_alike_wherever_the_target_stands(select: str) -> None:
    features = {"category": "target", "select": {"name": select, "keep": 2}}
    names = [
        fitted(
            "linear", dataset(offset, "regression", up), {"features": features}
        ).preparer.feature_names
        for offset, up in ((0.0, 0.0), (EPOCH, 1e9))
    ]
    assert names[0] == names[1] == ("seconds", "plain")
