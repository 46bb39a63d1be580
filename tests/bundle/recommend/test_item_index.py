"""Approximate neighbors beside a look at all items: what is found, what falls back to it, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from interaction_tables import candidate, planted
from sixfold.bundle.recommend import item_index
from sixfold.bundle.recommend.item_index import ItemIndex
from sixfold.bundle.recommend.requests import RecommendRequest
from sixfold.bundle.recommend.runtime import RecommenderRuntime
from sixfold.core.errors import SystemFault
from sixfold.evaluate.model import Model, fit_model
from sixfold.package.recommendation import neighbor_search, stored_recommender, stored_requests
from sixfold.runs.context import Context

pytest.importorskip("usearch")
VECTORS = ("als", "bpr", "sasrec", "two_tower")


@pytest.fixture(scope="module", params=VECTORS)
def model(request: pytest.FixtureRequest) -> Model:
    return fit_model(candidate(request.param), planted(users=80, items=200, each=20), Context())


@pytest.fixture(scope="module")
def runtime(model: Model) -> RecommenderRuntime:
    return RecommenderRuntime(stored_recommender(model))


def test_the_largest_products_are_found() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((5_000, 16)) * rng.gamma(2.0, size=(5_000, 1))).astype(
        np.float32
    )
    index = ItemIndex(vectors)
    shares = []
    for query in rng.standard_normal((50, 16)).astype(np.float32):
        exact = np.argsort(-(vectors @ query))[:10]
        found = index.nearest(query, 10)
        assert len(np.unique(found)) == 10 + item_index.SPARE
        shares.append(np.isin(exact, found).mean())
    assert np.mean(shares) > 0.95
    assert len(ItemIndex(vectors[:3]).nearest(vectors[0], 10)) == 3


def test_answers_are_those_of_a_look_at_all(runtime: RecommenderRuntime) -> None:
    """Of so few items the graph finds them all: filters, sessions and strangers are as they are without it."""
    near = runtime.searching("approximate")
    seen = runtime.recommend(RecommendRequest("u1", count=200, exclude_seen=False)).items
    asked = (
        RecommendRequest("u1"),
        RecommendRequest("u1", exclude_seen=False, blocked=(seen[0].item, "?")),
        RecommendRequest("u2", items=("i3", "i5"), count=3),
        RecommendRequest(None, items=("i3",)),
        RecommendRequest("nobody"),
        RecommendRequest("u1", allowed=("i1", "i2")),
        RecommendRequest(similar_to="i4"),
        RecommendRequest("u1", count=1000),
    )
    for one in asked:
        expected, found = runtime.recommend(one), near.recommend(one)
        assert (found.basis, found.unknown) == (expected.basis, expected.unknown)
        assert len(found.items) == len(expected.items)
        np.testing.assert_allclose(
            [item.score for item in found.items],
            [item.score for item in expected.items],
            rtol=1e-4,
            atol=1e-5,
        )
    assert not runtime.searching("auto").is_approximate  # few items
    assert near.is_approximate and not near.searching("exact").is_approximate


def test_many_items_are_searched_and_the_receipt_says_how_well(
    model: Model, runtime: RecommenderRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = stored_requests(model, 0)
    assert neighbor_search(runtime, requests) is None
    monkeypatch.setattr(item_index, "FROM", 100)
    assert runtime.searching("auto").is_approximate
    found = neighbor_search(runtime, requests)
    assert found is not None
    assert found.recall > 0.95 and found.requests == len(requests)
    assert found.library.startswith("usearch ") and "exact first ten" in found.sentence()
    monkeypatch.setattr(item_index, "LIBRARY", "no_such_library")
    assert neighbor_search(runtime, requests) is None
    assert not runtime.searching("auto").is_approximate
    with pytest.raises(SystemFault, match=r"serve.neighbors: approximate: expected the library"):
        runtime.searching("approximate")


def test_other_scores_have_no_neighbors() -> None:
    stored = stored_recommender(fit_model(candidate("item_knn"), planted(), Context()))
    runtime = RecommenderRuntime(stored)
    assert not runtime.searching("auto").is_approximate
    with pytest.raises(SystemFault, match="products of vectors"):
        runtime.searching("approximate")
