"""Two towers: the corrected softmax by its definition, rows of a batch, NumPy beside torch, and answers for the new."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from evaluating import saved
from interaction_tables import candidate, planted, recommender
from sixfold.build._tower_rows import TowerRows
from sixfold.build.networks.two_towers import TowerFacts, TowerShape, TwoTowers
from sixfold.bundle.recommend.histories import Histories, nothing_done
from sixfold.bundle.recommend.tower_scorer import TowerScorer
from sixfold.data.load import load
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import fit_model
from sixfold.parts.interactions import ITEM, USER
from sixfold.parts.table import Dataset
from sixfold.recipe.schema import Data, Evaluate, Train
from sixfold.runs.context import Context

SHAPE = TowerShape(length=3, width=4, hidden=5, negatives=4, temperature=0.5, dropout=0.0)


def network(users: int = 2, items: int = 3) -> TwoTowers:
    rng = np.random.default_rng(0)
    facts = TowerFacts(
        rng.standard_normal((4, users)).astype(np.float32),
        rng.standard_normal((6, items)).astype(np.float32),
        np.array([0.4, 0.3, 0.1, 0.1, 0.1, 0.0], dtype=np.float32),
    )
    found = TwoTowers(SHAPE, facts)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.normal_(generator=generator)
    return found.eval()


def test_the_loss_is_the_softmax_corrected_by_how_often_items_are_drawn() -> None:
    one = network()
    x = torch.tensor([[0, 1, 2, 3, -1, 0, 1, 2, 1], [3, 2, -1, -1, -1, 0, 1, 2, 1]])
    with torch.no_grad():
        found = one(x).numpy()
        items = one.item_vectors(torch.arange(6)).numpy().astype(np.float64)
        histories = one.histories.numpy()
        means = np.stack([(histories[2] + histories[3]) / 2, np.zeros(4)]).astype(np.float32)
        users = one.user_vectors(x[:, 0], torch.from_numpy(means)).numpy().astype(np.float64)
    share = np.array([0.4, 0.3, 0.1, 0.1, 0.1])
    for row, wanted in enumerate((1, 2)):
        others = [item for item in (0, 1, 2, 1) if item != wanted]
        each = {item: users[row] @ items[item] / 0.5 - np.log(share[item]) for item in range(5)}
        below = np.exp(each[wanted]) + sum(np.exp(each[item]) for item in others)
        assert found[row] == pytest.approx(-np.log(np.exp(each[wanted]) / below), rel=1e-5)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, rtol=1e-5)


def test_a_batch_wants_what_users_have_and_hides_it_from_their_history() -> None:
    starts = np.array([0, 2, 3, 13])
    seen = Histories(starts, np.arange(13, dtype=np.int32), np.ones(13, dtype=np.float32))
    rows = TowerRows.of(seen, 4, 5)
    assert len(rows) == 13
    every = np.arange(13)
    drawn, again = (rows.read(every, torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(drawn[0], again[0])
    x, y = drawn
    assert y.tolist() == list(range(13)) and x[:, 1].tolist() == y.tolist()
    assert x[:, 0].tolist() == [0, 0, 1] + [2] * 10
    for user, wanted, before in zip(x[:, 0].tolist(), y.tolist(), x[:, 2:6].tolist(), strict=True):
        known = [item for item in before if item >= 0]
        own = set(range(*starts[user : user + 2]))
        assert set(known) <= own - {wanted}
        assert len(known) == min(4, len(own) - 1)
    assert {len({*column}) for column in x[:, 6:].T.tolist()} == {1}
    assert len(set(x[0, 6:].tolist())) == 5


def test_numpy_answers_as_torch_does() -> None:
    one = network()
    arrays = one.arrays()
    tower = {name: array for name, array in arrays.items() if name.startswith("tower")}
    scorer = TowerScorer(
        arrays["item_factors"], arrays["history_factors"], arrays["user_features"], tower
    )
    starts = np.array([0, 2, 2])
    done = Histories(starts, np.array([1, 4], dtype=np.int32), np.ones(2, dtype=np.float32))
    found = scorer.scores(np.array([2, -1]), done)
    with torch.no_grad():
        means = torch.stack([one.histories[[1, 4]].mean(dim=0), torch.zeros(4)])
        expected = (
            one.user_vectors(torch.tensor([2, 3]), means) @ one.item_vectors(torch.arange(6)).T
        )
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_a_state_is_trained_further_from_the_same_answers() -> None:
    fitted = recommender(fit_model(candidate("two_tower"), planted(), Context()))
    module: Any = candidate("two_tower").family.resume(fitted).eval()  # type: ignore[attr-defined]
    for name, array in module.arrays().items():
        np.testing.assert_allclose(array, fitted.arrays[name], atol=1e-6)


GROUPS = 3


def by_group(folder: Path, **section: Any) -> Dataset:
    """Users take items of their own group alone; three items of each group were never there."""
    rng = np.random.default_rng(5)
    users = pd.DataFrame({"user": [f"u{n}" for n in range(60)], "group": np.arange(60) % GROUPS})
    items = pd.DataFrame({"item": [f"i{n}" for n in range(45)], "group": np.arange(45) % GROUPS})
    rows = []
    for n in range(60):
        own = np.arange(36)[np.arange(36) % GROUPS == n % GROUPS]
        rows += [(f"u{n}", f"i{item}") for item in rng.choice(own, 6, replace=False)]
    seen = pd.DataFrame(rows, columns=["user", "item"])
    for table in (users, items):
        table["group"] = [f"g{code}" for code in table["group"]]
    for name, table in (("users", users), ("items", items), ("seen", seen)):
        table.to_csv(folder / f"{name}.csv", index=False)
    asked = {
        "source": "seen.csv",
        "users": {"source": "users.csv"},
        "items": {"source": "items.csv"},
        **section,
    }
    return load(Data.model_validate(asked), "recommendation", folder)


def learned(epochs: int = 25, **options: Any) -> Any:
    one = candidate("two_tower", **{"width": 8, "hidden": 16, "negatives": 64, **options})
    adam = {"name": "adam", "learning_rate": 0.01}
    train = Train.model_validate({"optimizer": adam, "batch_size": 64, "epochs": epochs})
    return replace(one, train=train)


def test_new_users_and_items_are_answered_by_their_features(tmp_path: Path) -> None:
    data = by_group(tmp_path, group="user")
    folds = make(Evaluate(folds=3), data)
    metrics = ["ndcg_at_10", "coverage_at_10"]
    scores = {
        name: cross_validate(one, data, folds, metrics, Context()).means()["ndcg_at_10"]
        for name, one in {"two_tower": learned(), "popularity": candidate("popularity")}.items()
    }
    assert scores["two_tower"] > scores["popularity"] + 0.1, scores
    model = fit_model(learned(), data, Context())
    preparer: Any = model.preparer
    fitted = recommender(model)
    assert len(preparer.items) == 45 and preparer.had == 36
    features = preparer.side_features(data.table, USER, ["u1", "", "u2"])
    scorer: Any = fitted.scorer
    found = scorer.with_users(features).scores(np.array([0, 1]), nothing_done(2))
    codes = {name: code for code, name in enumerate(preparer.items)}
    of_group = [
        [codes[f"i{n}"] for n in range(36, 45) if n % GROUPS == group] for group in range(3)
    ]
    own, others = found[0, of_group[1]], found[0, [*of_group[0], *of_group[2]]]
    assert own.min() > others.max()  # items that nobody had, for a user who did nothing


def test_features_of_who_is_held_out_move_no_bit(tmp_path: Path) -> None:
    data = by_group(tmp_path, group="user")
    fold = make(Evaluate(folds=3), data)[0]
    inside = {data.table.columns[USER].strings()[row] for row in fold.train}
    side = data.table.sides[USER]

    def changed(users: set[str]) -> Dataset:
        column = side.table.columns["group"]
        codes = np.array(column.values)
        rows = [at for at, key in enumerate(side.keys) if key in users]
        codes[rows] = (codes[rows] + 1) % GROUPS
        columns = {**side.table.columns, "group": replace(column, values=codes)}
        own = replace(side, table=replace(side.table, columns=columns))
        return replace(data, table=replace(data.table, sides={**data.table.sides, USER: own}))

    found = {}
    for name, one in {
        "before": data,
        "outside": changed(set(side.keys) - inside),
        "inside": changed(set(sorted(inside)[:5])),
    }.items():
        model = cross_validate(learned(2), one, [fold], ["mrr"], Context(seed=3)).models[0]
        found[name] = saved(model, tmp_path / name)
    assert found["before"] == found["outside"]
    assert found["before"] != found["inside"]


def test_items_that_nobody_had_are_candidates_of_every_family(tmp_path: Path) -> None:
    data = by_group(tmp_path)
    for family in ("popularity", "item_knn", "als", "bpr"):
        model = fit_model(candidate(family), data, Context())
        fitted = recommender(model)
        assert len(fitted.user_counts) == 45 and (fitted.user_counts[36:] == 0).all()
        told = model.predict(data.table)
        assert np.isfinite(told).all()
        assert data.table.columns[ITEM].values.max() == 35
