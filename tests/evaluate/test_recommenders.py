"""Recommenders on folds: ranks beside a plain evaluator, and the future, other users and held-out rows, which move no
bit.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluating import saved
from interaction_tables import QUICK, candidate, of_rows, planted, recommender
from sixfold.bundle.recommend.tower_scorer import TOWER
from sixfold.evaluate import scoring
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make, scheme_of
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts.interactions import ITEM, USER
from sixfold.parts.table import MISSED, Column, Dataset
from sixfold.prepare.interactions import InteractionPreparer
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context

SCHEMES: dict[str, dict[str, Any]] = {
    "time_series": {},
    "leave_last": {},
    "kfold": {},
    "group": {"group": "user"},
}
METRICS = ("ndcg_at_10", "recall_at_10", "map_at_10", "mrr", "coverage_at_10", "novelty_at_10")


def data_and_folds(scheme: str) -> tuple[Dataset, list[Fold]]:
    data = planted(**SCHEMES[scheme])
    return data, make(Evaluate(scheme=scheme, folds=2), data)


def named(data: Dataset, rows: Any) -> list[tuple[str, str, float]]:
    """User, item and time of rows."""
    columns = data.table.columns
    users, items = (columns[name].take(rows).strings() for name in (USER, ITEM))
    times = np.zeros(len(rows)) if data.times is None else data.times[rows]
    return list(zip(users, items, times.tolist(), strict=True))


def plain_scores(model: Model, data: Dataset, fold: Fold) -> dict[str, float]:
    """By the definitions, a user at a time, with Python's lists and sets."""
    preparer, fitted = model.preparer, recommender(model)
    assert isinstance(preparer, InteractionPreparer)
    had: dict[str, list[str]] = {}
    for user, item, _ in sorted(named(data, fold.train), key=lambda one: one[2]):
        had.setdefault(user, []).append(item)
    later: dict[str, list[tuple[float, int, str]]] = {}
    for row, (user, item, time) in zip(fold.validation, named(data, fold.validation), strict=True):
        later.setdefault(user, []).append((time, int(row), item))
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    recommended: set[str] = set()
    counts = {
        item: len({user for user, items in had.items() if item in items}) for item in preparer.items
    }
    for user, rows in later.items():
        items = [item for _, _, item in sorted(rows)]
        before = had.get(user, [])
        if not before:
            given = min(int(np.ceil(0.8 * len(items))), len(items) - 1)
            before, items = items[:given], items[given:]
        wanted = set(items) - set(before)
        if not wanted:
            continue
        order = ranked(fitted, preparer, user if user in had else None, before)
        top = order[:10]
        hits = [place for place, item in enumerate(top, 1) if item in wanted]
        ideal = sum(1 / np.log2(n + 1) for n in range(1, min(10, len(wanted)) + 1))
        found["ndcg_at_10"].append(sum(1 / np.log2(place + 1) for place in hits) / ideal)
        found["recall_at_10"].append(len(hits) / len(wanted))
        precisions = [n / place for n, place in enumerate(hits, 1)]
        found["map_at_10"].append(sum(precisions) / min(10, len(wanted)))
        first = [place for place, item in enumerate(order, 1) if item in wanted]
        found["mrr"].append(1 / first[0] if first else 0.0)
        found["novelty_at_10"].append(
            float(np.mean([-np.log2(counts[item] / len(had)) for item in top]))
        )
        recommended |= set(top)
    scores = {name: float(np.mean(each)) for name, each in found.items() if each}
    return {**scores, "coverage_at_10": len(recommended) / len(preparer.items)}


def ranked(
    fitted: Any, preparer: InteractionPreparer, user: str | None, before: list[str]
) -> list[str]:
    """All items that the user has not, the best first: by a product with the whole dense row."""
    codes = {item: code for code, item in enumerate(preparer.items)}
    row = np.zeros(len(preparer.items))
    known = [codes[item] for item in before if item in codes]
    for code in known:
        row[code] += 1
    if fitted.kind == "sequence" and known:
        scores = after_sequence(fitted, list(dict.fromkeys(reversed(known)))[::-1])
    else:
        scores = plain_row(fitted, row, None if user is None else preparer.users.index(user))
    order = sorted(range(len(scores)), key=lambda code: (-scores[code], code))
    return [preparer.items[code] for code in order if row[code] == 0]


def plain_row(fitted: Any, row: Any, user: int | None) -> Any:
    """[items] scores by the formulas, in double precision."""
    share = fitted.user_counts / (len(fitted.starts) - 1)
    if fitted.kind == "popularity" or not row.any():
        return share
    if fitted.kind == "neighbors":
        near = fitted.scorer.neighbors
        table = np.zeros((len(row), len(row)))
        table[near.users(), near.items] = near.weights
        return row @ table
    items = fitted.arrays["item_factors"].astype(np.float64)
    if fitted.kind == "towers":
        mean = fitted.arrays["history_factors"][row > 0].mean(axis=0)
        wide, bias, narrow, last = (fitted.arrays[name].astype(np.float64) for name in TOWER)
        own = np.maximum(mean @ wide + bias, 0) @ narrow + last
        return items @ own / np.linalg.norm(own)
    if "projection" in fitted.arrays:
        own = row @ items / np.sqrt(np.count_nonzero(row)) @ fitted.arrays["projection"]
        own = own if user is None else fitted.arrays["user_factors"][user]
        return items @ own + fitted.arrays["item_bias"]
    more = fitted.options["confidence"] * row
    left = items.T @ (items * (1 + more)[:, None])
    left += fitted.options["regularization"] * np.eye(items.shape[1])
    return items @ np.linalg.solve(left, items.T @ ((1 + more) * (row > 0)))


def after_sequence(fitted: Any, codes: list[int]) -> Any:
    """[items] scores of what comes next, by the network that was trained."""
    network: Any = candidate("sasrec").family.resume(fitted).eval()  # type: ignore[attr-defined]
    length = network.shape.length
    tokens = [*[-1] * length, len(fitted.user_counts), *codes][-length:]
    with torch.no_grad():
        state = network.states(torch.tensor([tokens]))[0, -1]
        return (network.vectors[:-1] @ state).numpy()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", QUICK)
def test_scores_are_those_of_a_plain_evaluator(family: str, scheme: str) -> None:
    data, folds = data_and_folds(scheme)
    found = cross_validate(candidate(family), data, folds, METRICS, Context())
    for number, fold in enumerate(folds):
        expected = plain_scores(found.models[number], data, fold)
        for name in METRICS:
            assert found.scores[name][number] == pytest.approx(expected[name], abs=1e-6), name


def test_the_baseline_is_popularity() -> None:
    data, folds = data_and_folds("time_series")
    found = cross_validate(candidate("popularity"), data, folds, METRICS, Context())
    for name, scores in baseline(data, folds, METRICS).items():
        np.testing.assert_allclose(found.scores[name], scores)


def with_other_items(data: Dataset, rows: Any) -> Dataset:
    """The same users at the same times do something else there."""
    column = data.table.columns[ITEM]
    codes = column.values.copy()
    codes[rows] = (codes[rows] + 7) % len(column.levels)
    columns = {**data.table.columns, ITEM: replace(column, values=codes)}
    return replace(data, table=replace(data.table, columns=columns))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", QUICK)
def test_what_is_held_out_moves_no_bit(family: str, scheme: str, tmp_path: Path) -> None:
    data, folds = data_and_folds(scheme)
    for number, fold in enumerate(folds):
        outside = np.setdiff1d(np.arange(data.table.rows), fold.train)
        other = with_other_items(data, outside)
        before, after = (
            cross_validate(candidate(family), one, [fold], ["mrr"], Context(seed=3)).models[0]
            for one in (data, other)
        )
        assert saved(before, tmp_path / f"{number}a") == saved(after, tmp_path / f"{number}b")
        moved = with_other_items(data, fold.train[:5])
        third = cross_validate(candidate(family), moved, [fold], ["mrr"], Context(seed=3)).models[0]
        assert saved(before, tmp_path / f"{number}c") != saved(third, tmp_path / f"{number}d")


def test_the_future_does_not_train() -> None:
    """In time, nothing that trains is later than what validates; of a user, with leave_last."""
    data, folds = data_and_folds("time_series")
    assert data.times is not None
    for fold in folds:
        assert data.times[fold.train].max() <= data.times[fold.validation].min()
    data, folds = data_and_folds("leave_last")
    assert data.times is not None
    users = data.table.columns[USER].values
    for back, fold in enumerate(reversed(folds)):
        for user in np.unique(users):
            order = np.flatnonzero(users == user)
            order = order[np.argsort(data.times[order], kind="stable")]
            last = len(order) - 1 - back
            assert fold.validation[users[fold.validation] == user].tolist() == [order[last]]
            assert sorted(order[:last]) == fold.train[users[fold.train] == user].tolist()


def test_the_scheme_follows_from_what_the_recipe_names() -> None:
    timeless = replace(planted(), times=None)
    told = {
        scheme_of(Evaluate(), planted()).name,
        scheme_of(Evaluate(), planted(group="user")).name,
        scheme_of(Evaluate(), timeless).name,
    }
    assert told == {"time_series", "group", "kfold"}
    assert "no time" in scheme_of(Evaluate(), timeless).why


def test_what_is_asked_and_what_is_not() -> None:
    """An item that the user has is not asked again, one twice once; one that nobody had is a miss; of a
    user that is not known the first part is given.
    """
    training = of_rows([("a", "x", 1), ("a", "y", 2), ("b", "x", 3), ("b", "z", 4), ("c", "w", 5)])
    model = fit_model(candidate("popularity"), training, Context())
    later = [("a", "x", 6), ("a", "z", 7), ("a", "z", 8), ("a", "new", 9)]
    later += [("d", "x", 6), ("d", "y", 7), ("e", "w", 6)]
    asked = of_rows([*later, ("b", "w", 9)])
    found = model.predict(asked.table)
    assert found[:, 1].tolist() == [0, 2, 0, MISSED, 0, 2, 2, 1]
    assert len(np.unique(found[:, 0])) == 4
    # x is had by two of three users; of equal ones the name decides: w, y, z
    assert recommender(model).popularity.tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3, 1 / 3])


def test_users_count_once_each() -> None:
    training = of_rows([("a", "x", 1), ("b", "x", 2), ("b", "y", 3), ("c", "z", 4), ("c", "v", 4)])
    model = fit_model(candidate("popularity"), training, Context())
    asked = of_rows([("a", "y", 5), ("a", "z", 6), ("a", "v", 6), ("b", "new", 7)])
    scores = scoring.score_all(METRICS, asked.target, model.predict(asked.table), "value")
    assert scores["recall_at_10"] == pytest.approx(0.5)
    assert scores["mrr"] == pytest.approx(0.5)
    assert scores["coverage_at_10"] == 1.0


def test_ids_are_compared_as_what_they_are() -> None:
    """Numbers by their value, texts as they stand."""
    training = of_rows([(1, "x", 1), (1, "y", 2), (2, "x", 3)])
    model = fit_model(candidate("popularity"), training, Context())
    assert isinstance(model.preparer, InteractionPreparer)
    assert model.preparer.users == ("1", "2")
    column = Column("category", np.array([0], dtype=np.int32), ("2",), "number")
    item = Column("category", np.array([0], dtype=np.int32), ("y",))
    table = replace(training.table, columns={USER: column, ITEM: item}, rows=1)
    assert model.predict(table)[0].tolist()[:2] == [1.0, 1.0]
