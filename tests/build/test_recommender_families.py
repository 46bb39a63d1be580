"""What each family of recommenders learns, beside the formulas on a dense matrix; the same bytes for the same seed."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pandas import DataFrame

from evaluating import saved
from interaction_tables import QUICK, candidate, dense, of_rows, planted, recommender
from sixfold.build._item_windows import ItemWindows
from sixfold.build.candidate import Candidate
from sixfold.build.sasrec import Settings
from sixfold.bundle.recommend.histories import Histories
from sixfold.core.errors import BudgetError, FitError
from sixfold.data.load import from_frame
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import fit_model
from sixfold.parts import state
from sixfold.recipe.schema import Data, Evaluate, Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.runs.saves import Checkpoints


@pytest.mark.parametrize("family", QUICK)
def test_equal_seeds_give_equal_bytes(family: str, tmp_path: Path) -> None:
    data = planted()
    models = [fit_model(candidate(family), data, Context(seed=seed)) for seed in (1, 1, 2)]
    first, again, other = (saved(one, tmp_path / str(n)) for n, one in enumerate(models))
    assert first == again
    assert (first == other) == (family in ("popularity", "item_knn"))


@pytest.mark.parametrize("family", QUICK)
def test_what_is_saved_answers_as_before(family: str, tmp_path: Path) -> None:
    data = planted()
    model = fit_model(candidate(family), data, Context())
    (tmp_path / "m").mkdir()
    state.save(model, tmp_path / "m")
    again = state.load(tmp_path / "m", type(model))
    np.testing.assert_array_equal(again.predict(data.table), model.predict(data.table))


@pytest.mark.parametrize("family", QUICK)
def test_it_stops_when_the_time_is_over(family: str) -> None:
    with pytest.raises(BudgetError):
        fit_model(candidate(family), planted(), Context(deadline=0.0))


def test_neighbors_are_shrunk_cosines() -> None:
    model = recommender(fit_model(candidate("item_knn", neighbors=5), planted(), Context()))
    table = dense(model)
    products = table.T @ table
    lengths = np.sqrt(np.diag(products))
    expected = products / (np.outer(lengths, lengths) + 2.0)
    np.fill_diagonal(expected, 0)
    for item in range(len(lengths)):
        near, found = (
            model.arrays[f"neighbor_{name}"][
                slice(*model.arrays["neighbor_starts"][item : item + 2])
            ]
            for name in ("items", "weights")
        )
        kept = sorted(range(len(lengths)), key=lambda other: (-expected[item, other], other))[:5]
        kept = [other for other in kept if expected[item, other] > 0]
        assert near.tolist() == sorted(kept)
        np.testing.assert_allclose(found, expected[item, near], rtol=1e-6)


def test_items_without_a_common_user_are_no_neighbors() -> None:
    data = of_rows([("a", "x", 1), ("a", "y", 2), ("b", "z", 3), ("b", "w", 4)])
    model = recommender(fit_model(candidate("item_knn", shrink=0.0), data, Context()))
    assert np.diff(model.arrays["neighbor_starts"]).tolist() == [1, 1, 1, 1]
    assert model.arrays["neighbor_weights"].tolist() == [1.0] * 4


def loss(table: Any, users: Any, items: Any, confidence: float, penalty: float) -> float:
    """Of Hu, Koren and Volinsky, by its definition."""
    weights = 1 + confidence * table
    errors = (table > 0) - users @ items.T
    return float((weights * errors**2).sum() + penalty * ((users**2).sum() + (items**2).sum()))


def test_least_squares_end_where_no_step_makes_it_smaller() -> None:
    """With many steps it ends in a minimum: users solved exactly, then items, move nothing."""
    options = {
        "iterations": 60,
        "steps": 20,
        "factors": 3,
        "confidence": 4.0,
        "regularization": 0.5,
    }
    model = recommender(fit_model(candidate("als", **options), planted(20, 12, 4), Context()))
    table, items = dense(model), model.arrays["item_factors"].astype(np.float64)

    def solved(rows: Any, others: Any) -> Any:
        found = []
        for row in rows:
            left = others.T @ (others * (1 + 4.0 * row)[:, None]) + 0.5 * np.eye(3)
            found.append(np.linalg.solve(left, others.T @ ((1 + 4.0 * row) * (row > 0))))
        return np.array(found)

    users = solved(table, items)
    again = solved(table.T, users)
    np.testing.assert_allclose(again, items, atol=2e-3)
    best = loss(table, users, items, 4.0, 0.5)
    rng = np.random.default_rng(0)
    for _ in range(20):
        near = items + 0.02 * rng.standard_normal(items.shape)
        assert loss(table, users, near, 4.0, 0.5) > best


def test_ratings_weigh() -> None:
    rows = [
        ("a", "x", 1),
        ("a", "y", 1),
        ("b", "x", 1),
        ("b", "z", 1),
        ("c", "y", 1),
        ("c", "z", 1),
    ]
    frame = DataFrame(rows, columns=["user", "item", "time"])
    frame["stars"] = [5, 1, 3, 2, 1, 4]
    section = Data(source="t", interactions={"rating": "stars"})  # type: ignore[arg-type]
    data = from_frame(frame, section, "recommendation")
    model = recommender(fit_model(candidate("als"), data, Context()))
    assert sorted(model.weights.tolist()) == [1, 1, 2, 3, 4, 5]
    plain = recommender(fit_model(candidate("als"), of_rows(rows), Context()))
    assert not np.array_equal(model.arrays["item_factors"], plain.arrays["item_factors"])


def test_ratings_that_overflow_are_told() -> None:
    frame = DataFrame({"user": list("aabb"), "item": list("xyxz"), "stars": [1e38] * 4})
    section = Data(source="t", interactions={"rating": "stars"})  # type: ignore[arg-type]
    data = from_frame(frame, section, "recommendation")
    with pytest.raises(FitError, match="factors that are numbers"), np.errstate(all="ignore"):
        fit_model(candidate("als"), data, Context())


def test_taste_is_learned() -> None:
    """What is planted is found: every family that looks at the user beats popularity by far."""
    data = planted(300, 60, 12, seed=1)
    folds = make(Evaluate(folds=2), data)
    options: dict[str, dict[str, Any]] = {
        "popularity": {},
        "item_knn": {"neighbors": 60, "shrink": 5.0},
        "als": {"factors": 8, "iterations": 10},
        "bpr": {"factors": 8, "epochs": 30, "batch_size": 256},
    }
    scores = {
        name: cross_validate(
            candidate(name, **own), data, folds, ["ndcg_at_10"], Context()
        ).means()["ndcg_at_10"]
        for name, own in options.items()
    }
    for name in ("item_knn", "als", "bpr"):
        assert scores[name] > 1.3 * scores["popularity"], scores


def test_a_user_that_comes_later_is_folded_in() -> None:
    """Of whole users that were held out, what they did first says what comes next."""
    data = planted(300, 60, 12, seed=1, group="user")
    folds = make(Evaluate(folds=2), data)
    scores = {
        name: cross_validate(
            candidate(name, **own), data, folds, ["ndcg_at_10"], Context()
        ).means()["ndcg_at_10"]
        for name, own in {
            "popularity": {},
            "als": {"factors": 8, "iterations": 10},
            "bpr": {"factors": 8, "epochs": 30, "batch_size": 256},
        }.items()
    }
    assert min(scores["als"], scores["bpr"]) > 1.3 * scores["popularity"], scores


def next_by_next(users: int = 200, items: int = 30, each: int = 12) -> list[tuple[str, str, int]]:
    """After each item comes one that is five further, or seven: what users have together says little."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(users):
        item = int(rng.integers(items))
        for time in range(each):
            rows.append((f"u{user}", f"i{item}", time))
            item = (item + int(rng.choice([5, 7]))) % items
    return rows


def sequential(**options: Any) -> Candidate:
    settings = Settings(width=32, layers=1, heads=2, length=8, dropout=0.0, negatives=30)
    train = {**settings.train_defaults.options, "batch_size": 32, "epochs": 12, **options}
    section = Train.model_validate({**train, "optimizer": {"name": "adam", "learning_rate": 0.01}})
    return Candidate("sasrec", "sasrec", settings, Prepare(), Initialize(), section)


def test_an_order_is_learned() -> None:
    data = of_rows(next_by_next())
    folds = make(Evaluate(scheme="leave_last", folds=2), data)
    scores = {
        one.name: cross_validate(one, data, folds, ["ndcg_at_10"], Context()).means()["ndcg_at_10"]
        for one in (sequential(), candidate("item_knn", neighbors=30))
    }
    assert scores["sasrec"] > scores["item_knn"] + 0.1, scores


def test_the_network_sees_the_past_alone() -> None:
    """Of a window, what comes later moves no state before it."""
    data = of_rows(next_by_next(users=20))
    fitted = recommender(fit_model(sequential(epochs=1), data, Context()))
    network: Any = sequential().family.resume(fitted).eval()  # type: ignore[attr-defined]
    tokens = torch.tensor([[-1, 30, 3, 8, 15, 20, 27, 4]])
    other = tokens.clone()
    other[0, 5:] = torch.tensor([1, 2, 9])
    with torch.no_grad():
        first, second = network.states(tokens)[0], network.states(other)[0]
    assert torch.equal(first[1:5], second[1:5])  # nobody looks at what stands before the start
    assert not torch.equal(first[5:], second[5:])


def test_windows_want_every_item_once() -> None:
    starts = np.array([0, 3, 3, 10])
    seen = Histories(starts, np.arange(10, dtype=np.int32), np.ones(10, dtype=np.float32))
    windows = ItemWindows.of(seen, 10, 4, 2)
    x, y = windows.read(np.arange(len(windows)), None)
    assert len(windows) == 3
    assert sorted(y[y >= 0].tolist()) == list(range(10))
    before = {int(w): int(b) for w, b in zip(y[y >= 0], x[:, :4][y >= 0], strict=True)}
    assert before == {0: 10, 1: 0, 2: 1, 3: 10, 4: 3, 5: 4, 6: 5, 7: 6, 8: 7, 9: 8}


class KilledError(Exception):
    """In the place of a signal."""


def test_a_training_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    data = of_rows(next_by_next(users=40))
    one = sequential(epochs=3)
    expected = recommender(fit_model(one, data, Context(seed=3))).arrays
    count = itertools.count()

    def kill() -> None:
        if next(count) == 5:
            raise KilledError

    def context(**more: Any) -> Context:
        saves = Checkpoints(tmp_path / "saves", "key", lambda kind, facts: None, every_s=0.0)
        return Context(seed=3, saves=saves, **more)

    with pytest.raises(KilledError):
        fit_model(one, data, context(check_memory=kill))
    found = recommender(fit_model(one, data, context())).arrays
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
