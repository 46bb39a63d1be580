"""Prepared folds are shared by candidates, within a number of bytes, and never with other rows;
time and memory hold.
"""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import numpy as np
import pytest

from evaluating import candidate, dataset
from sixfold.core.errors import BudgetError
from sixfold.evaluate import model
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold_cache import FoldCache, FoldKey
from sixfold.evaluate.folds import make
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context

LINEAR, SOFT, TREE = ({"family": "linear"}, {"family": "linear", "C": 0.1}, {"family": "tree"})


def test_candidates_with_equal_preparation_share_it() -> None:
    data, cache = dataset(), FoldCache()
    folds = make(Evaluate(folds=3), data)
    first, second, third = (
        cross_validate(candidate(build), data, folds, ["accuracy"], Context(), cache)
        for build in (LINEAR, SOFT, TREE)
    )
    for one, two, other in zip(first.models, second.models, third.models, strict=True):
        assert one.preparer is two.preparer
        assert one.preparer is not other.preparer  # a tree has other needs


@pytest.mark.parametrize("different", ["rows", "folds", "seed", "recipe"])
def test_what_is_prepared_from_something_else_is_not_taken(different: str) -> None:
    data, cache = dataset(), FoldCache()
    folds = make(Evaluate(folds=3), data)
    cross_validate(candidate(LINEAR), data, folds, ["accuracy"], Context(), cache)
    seed, prepare = 0, {}
    if different == "rows":
        data = dataset(seed=5)
    elif different == "folds":
        folds = make(Evaluate(folds=3, seed=8), data)
    elif different == "seed":
        seed = 1
    else:
        prepare = {"impute": {"number": "mean"}}
    chosen, context = candidate(LINEAR, prepare), Context(seed=seed)
    cached = cross_validate(chosen, data, folds, ["log_loss"], context, cache)
    plain = cross_validate(chosen, data, folds, ["log_loss"], context)
    np.testing.assert_array_equal(cached.predictions, plain.predictions)


def prepared(width: int) -> Any:
    """Features of `width` · 80 bytes, and the rest of a preparation."""
    data = dataset(20)
    made = model.prepare_rows(candidate(LINEAR), data, Context())
    return model.Prepared(made.preparer, np.zeros((10, width)), made.rows)


def test_bytes_are_bounded_and_folds_of_one_preparation_stay() -> None:
    cache, one = FoldCache(most_bytes=3 * 80), prepared(1)
    for number in range(5):
        cache.put(FoldKey("a", number), one)
        assert cache.held_bytes <= 240
    assert [cache.get(FoldKey("a", number)) is not None for number in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    cache.put(FoldKey("b", 0), prepared(2))  # another preparation takes the place of the oldest
    assert cache.held_bytes == 240
    assert [cache.get(FoldKey("a", number)) is not None for number in range(3)] == [
        False,
        False,
        True,
    ]
    cache.put(FoldKey("c", 0), prepared(4))  # larger than everything: nothing goes for it
    assert cache.get(FoldKey("c", 0)) is None
    assert cache.get(FoldKey("b", 0)) is not None


@pytest.mark.slow
def test_without_a_cache_one_folds_features_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[Any]] = []
    most = 0
    fit = model.preparer.fit

    def watched(*arguments: Any) -> Any:
        nonlocal most
        gc.collect()
        most = max(most, sum(each() is not None for each in alive))
        found = fit(*arguments)
        alive.append(weakref.ref(found[1]))
        return found

    monkeypatch.setattr(model.preparer, "fit", watched)
    data = dataset()
    cross_validate(candidate(SOFT), data, make(Evaluate(folds=4), data), ["accuracy"], Context())
    assert len(alive) == 4
    assert most == 0  # at the start of a fold nothing of the one before is left


def test_time_that_runs_out_between_folds_is_a_budget_error() -> None:
    scored: list[int] = []
    deadline = time.monotonic() + 2.0

    def emit(kind: str, facts: dict[str, Any]) -> None:
        if kind == "fold_scored":
            scored.append(facts["fold"])
            if len(scored) == 2:
                time.sleep(max(0.0, deadline - time.monotonic()) + 0.01)

    data = dataset()
    with pytest.raises(BudgetError) as caught:
        cross_validate(
            candidate(LINEAR),
            data,
            make(Evaluate(folds=4), data),
            ["accuracy"],
            Context(emit_to=emit, deadline=deadline),
        )
    assert scored == [0, 1]
    assert str(caught.value) == (
        "budget.time: expected work that ends in time; found no time left while fitting fold 3 of 4 of linear. "
        "Raise budget.time."
    )


def test_a_solver_that_cannot_end_in_time_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    data, solved, deadline = dataset(), [], time.monotonic() + 3.0
    chosen = candidate(LINEAR)
    plain = type(chosen.family).solve

    def slow(self: Any, settings: Any, fits: Any, context: Context) -> Any:
        solved.append(1)
        time.sleep(1.0)
        return plain(self, settings, fits, context)

    def late(kind: str, facts: dict[str, Any]) -> None:
        if kind == "fold_scored":
            time.sleep(max(0.0, deadline - time.monotonic() - 0.5))

    monkeypatch.setattr(type(chosen.family), "solve", slow)
    with pytest.raises(BudgetError, match=r"budget\.time"):
        cross_validate(
            chosen,
            data,
            make(Evaluate(folds=4), data),
            ["accuracy"],
            Context(emit_to=late, deadline=deadline),
        )
    assert len(solved) == 1


def test_events_hold_no_score_that_is_none() -> None:
    events: list[dict[str, Any]] = []
    data = dataset()
    context = Context(
        emit_to=lambda kind, facts: events.append(facts) if kind == "fold_scored" else None
    )
    found = cross_validate(
        candidate({"family": "svm"}),
        data,
        make(Evaluate(folds=2), data),
        ["accuracy", "log_loss"],
        context,
    )
    assert found.output == "decision"
    assert np.isnan(found.scores["log_loss"]).all()
    assert list(found.means()) == ["accuracy"]
    assert [(event["fold"], event["folds"], list(event["scores"])) for event in events] == [
        (0, 2, ["accuracy"]),
        (1, 2, ["accuracy"]),
    ]


def test_rows_that_no_fold_validates_are_nan_and_repeats_are_averaged() -> None:
    data = dataset()
    folds = make(Evaluate(scheme="holdout"), data)
    found = cross_validate(candidate(TREE), data, folds, ["accuracy"], Context())
    seen = np.isfinite(found.predictions).all(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(seen), folds[0].validation)
    folds = make(Evaluate(scheme="repeated", folds=2, repeats=2), data)
    found = cross_validate(candidate(TREE), data, folds, ["accuracy"], Context())
    total = np.zeros_like(found.predictions)
    for fold, one in zip(folds, found.models, strict=True):
        total[fold.validation] += one.predict(data.table.take(fold.validation))
    np.testing.assert_allclose(found.predictions, total / 2, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "family", ["linear", "tree", "forest", "extra_trees", "boosting", "svm", "mlp"]
)
def test_a_fold_may_lack_a_class(family: str) -> None:
    """One row of a third class: some fold's model has never seen it, and is scored all the same."""
    data = dataset(60, classes=("a", "b", "c"))
    data.target.values[:] = data.target.values % 2
    data.target.values[7] = 2
    found = cross_validate(
        candidate({"family": family}, train={"epochs": 2}),
        data,
        make(Evaluate(scheme="kfold", folds=3), data),
        ["accuracy", "f1", "roc_auc", "mcc", "balanced_accuracy", "average_precision"],
        Context(),
    )
    assert found.predictions.shape == (60, 3)
    assert all(np.isfinite(scores).all() for scores in found.scores.values())


@pytest.mark.slow
def test_a_solver_that_ends_in_time_goes_on_with_less() -> None:
    data = dataset(300)
    chosen = candidate({"family": "boosting", "rounds": 20000, "patience": None})
    found = cross_validate(
        chosen,
        data,
        make(Evaluate(folds=4), data),
        ["accuracy"],
        Context(deadline=time.monotonic() + 4.0),
    )
    assert np.isfinite(found.scores["accuracy"]).all()
