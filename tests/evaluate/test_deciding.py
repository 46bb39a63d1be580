"""Which metric decides where the recipe names none: not accuracy where a class is rare, and one
that every fold defines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.evaluate import scoring
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.deciding import defaults, rarest
from sixfold.evaluate.folds import make
from sixfold.evaluate.nested import divide
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.plan.candidates import metrics_of
from sixfold.recipe.kinds import METRIC
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Evaluate


def target(*counts: int) -> Target:
    values = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return Target("classification", values, ("y",), tuple(f"c{i}" for i in range(len(counts))))


def dataset(counts: tuple[int, ...], seed: int = 0) -> Dataset:
    found = target(*counts)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(found.values))
    return Dataset(
        Table({"x": Column("number", rng.normal(size=len(order)))}, len(order)), found.take(order)
    )


RECIPE = from_object(
    {
        "version": 1,
        "task": "classification",
        "data": {"source": "memory", "target": "y"},
        "build": {"family": "linear"},
    }
).recipe


def recipe(**evaluate: Any) -> Any:
    return RECIPE.model_copy(update={"evaluate": Evaluate.model_validate(evaluate)})


@pytest.mark.parametrize(
    ("counts", "first"),
    [
        ((60, 60), "accuracy"),
        ((76, 24), "accuracy"),
        ((80, 20), "accuracy"),
        ((81, 19), "roc_auc"),
        ((19, 81), "roc_auc"),
        ((5988, 12), "roc_auc"),
        ((50, 50, 50), "accuracy"),
        ((70, 60, 20), "accuracy"),
        ((70, 60, 19), "balanced_accuracy"),
        ((900, 90, 10), "balanced_accuracy"),
        ((50, 50, 0), "accuracy"),
    ],
)
def test_accuracy_decides_only_where_no_class_is_rare(counts: tuple[int, ...], first: str) -> None:
    names, why = defaults(target(*counts))
    assert names[0] == first
    assert "accuracy" in names
    assert bool(why) is (first != "accuracy")
    assert (rarest(target(*counts)) is None) is (first == "accuracy")


def test_the_choice_is_said_with_its_reason() -> None:
    assert defaults(target(5988, 12)).why == (
        "roc_auc decides, not accuracy: only 0.2% of the rows are of the class 'c1', and always answering the most frequent "
        "class is right for 99.8%; here the order of the rows counts."
    )


def test_values_keep_their_metrics() -> None:
    assert defaults(Target("regression", np.array([1.0, 2.0]), ("y",))) == (
        scoring.DEFAULTS["regression"],
        "",
    )


def test_a_recipe_that_names_metrics_is_obeyed() -> None:
    data = dataset((95, 5))
    asked = recipe(metrics=["accuracy"])
    assert metrics_of(asked, data, make(asked.evaluate, data)) == (("accuracy",), "")


@settings(max_examples=12, deadline=None)
@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=4).filter(
        lambda counts: sum(counts) >= 24
    ),
    seed=st.integers(0, 5),
    nested=st.booleans(),
    stratified=st.booleans(),
)
def test_every_fold_defines_what_decides(
    counts: list[int], seed: int, nested: bool, stratified: bool
) -> None:
    """Whatever the shares, the folds and the outer folds: the run never ends because of a metric
    that Sixfold chose.
    """
    data = dataset(tuple(counts), seed)
    scheme = "stratified" if stratified and min(counts) >= 9 else "kfold"
    asked = recipe(scheme=scheme, seed=seed, folds=3, nested=3 if nested else None)
    folds = make(asked.evaluate, data)
    names = metrics_of(asked, data, folds).names
    assert names[0] in baseline(data, folds, names)
    divide(asked.evaluate, data, names)
    assert (
        METRIC.load(names[0]).needs in scoring.POSSIBLE["decision"]
    )  # families without probabilities are scored too


def test_only_the_order_of_rows_is_a_ranking() -> None:
    """A metric measures ranking if no rising change of the scores moves it: that is what its
    declaration says.
    """
    rng = np.random.default_rng(0)
    p = rng.random(60)
    score, other = np.stack([1 - p, p], axis=1), np.stack([1 - p**3 / 3, p**3 / 3], axis=1)
    truth = Target(
        "classification", (p + rng.normal(0, 0.4, 60) > 0.5).astype(np.int64), ("y",), ("a", "b")
    )
    same = {
        name
        for name in METRIC.names()
        if "classification" in METRIC.load(name).tasks
        and not name.startswith("top_")  # of two classes one of the first three is always right
        and METRIC.load(name)().score(truth, score) == METRIC.load(name)().score(truth, other)
    }
    assert (
        same
        == {name for name in METRIC.names() if scoring.measures_ranking(name)}
        == {"roc_auc", "average_precision"}
    )
