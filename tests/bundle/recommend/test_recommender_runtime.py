"""A served recommender: filters, sessions, who and what it does not know, reasons; and files of a stranger."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interaction_tables import QUICK, candidate, dense, planted, recommender
from sixfold.bundle.recommend import parity
from sixfold.bundle.recommend.ranking import first_items, ranks
from sixfold.bundle.recommend.requests import RecommendRequest
from sixfold.bundle.recommend.runtime import RecommenderRuntime
from sixfold.bundle.recommend.stored import StoredRecommender, read
from sixfold.core.errors import BundleError
from sixfold.evaluate.model import Model, fit_model
from sixfold.package.recommendation import stored_recommender, stored_requests
from sixfold.runs.context import Context


@pytest.fixture(scope="module", params=QUICK)
def model(request: pytest.FixtureRequest) -> Model:
    return fit_model(candidate(request.param), planted(), Context())


@pytest.fixture(scope="module")
def stored(model: Model) -> StoredRecommender:
    return stored_recommender(model)


@pytest.fixture(scope="module")
def runtime(stored: StoredRecommender) -> RecommenderRuntime:
    return RecommenderRuntime(read(stored.packed(), "the file"))


def items_of(stored: StoredRecommender, user: str) -> set[str]:
    codes = stored.seen.items_of(stored.users.index(user))
    return {stored.items[code] for code in codes}


def test_the_file_holds_what_was_learned(stored: StoredRecommender) -> None:
    again = read(stored.packed(), "the file")
    assert again.packed() == stored.packed()
    assert (again.users, again.items, again.options) == (
        stored.users,
        stored.items,
        stored.options,
    )


def test_stored_requests_are_answered_again(model: Model, runtime: RecommenderRuntime) -> None:
    requests = stored_requests(model, 0)
    assert len(requests) == 120
    proved = runtime.prove(parity.packed(requests), "the proof")
    assert proved.rows == 120
    assert proved.worst < 1e-5


def test_another_answer_is_told(model: Model, runtime: RecommenderRuntime) -> None:
    requests = stored_requests(model, 0)
    first = requests[0]
    swapped = first.model_copy(update={"scores": tuple(score + 1 for score in first.scores)})
    for wrong in (swapped, first.model_copy(update={"answer": first.answer[:-1]})):
        with pytest.raises(BundleError, match="request 1"):
            runtime.prove(parity.packed([wrong]), "the proof")


def test_what_a_user_has_is_left_out_unless_it_is_asked_for(
    stored: StoredRecommender, runtime: RecommenderRuntime
) -> None:
    user = stored.users[3]
    had = items_of(stored, user)
    found = runtime.recommend(RecommendRequest(user, count=len(stored.items)))
    assert {one.item for one in found.items} == set(stored.items) - had
    assert [one.score for one in found.items] == sorted(
        (one.score for one in found.items), reverse=True
    )
    every = runtime.recommend(RecommendRequest(user, count=99, exclude_seen=False))
    assert {one.item for one in every.items} == set(stored.items)
    assert found.basis == "user"


def test_filters(stored: StoredRecommender, runtime: RecommenderRuntime) -> None:
    user = stored.users[0]
    best = [one.item for one in runtime.recommend(RecommendRequest(user, count=6)).items]
    blocked = runtime.recommend(RecommendRequest(user, count=4, blocked=tuple(best[:2])))
    assert [one.item for one in blocked.items] == best[2:]
    allowed = runtime.recommend(RecommendRequest(user, allowed=(best[5], best[1], "nothing")))
    assert [one.item for one in allowed.items] == [best[1], best[5]]
    assert allowed.unknown == ("nothing",)
    assert runtime.recommend(RecommendRequest(user, allowed=())).items == ()


def test_who_is_not_known_gets_the_popular_items(
    stored: StoredRecommender, runtime: RecommenderRuntime
) -> None:
    for request in (RecommendRequest("nobody"), RecommendRequest()):
        found = runtime.recommend(request)
        assert [one.item for one in found.items] == list(stored.items[:10])
        assert found.basis == "popularity"
        assert found.unknown == (() if request.user is None else ("nobody",))


def test_a_session_counts(stored: StoredRecommender, runtime: RecommenderRuntime) -> None:
    session = tuple(stored.items[code] for code in stored.seen.items_of(5))
    found = runtime.recommend(RecommendRequest(items=(*session, "what"), count=99))
    assert not {one.item for one in found.items} & set(session)
    assert (found.basis, found.unknown) == ("session", ("what",))
    if "user_factors" not in stored.arrays:
        known = runtime.recommend(RecommendRequest(stored.users[5], count=99))
        np.testing.assert_allclose(
            [one.score for one in found.items], [one.score for one in known.items], rtol=1e-4
        )
    since = runtime.recommend(RecommendRequest(stored.users[0], items=session[:2], count=99))
    assert since.basis == "session"
    gone = items_of(stored, stored.users[0]) | set(session[:2])
    assert {one.item for one in since.items} == set(stored.items) - gone


def test_similar_items(stored: StoredRecommender, runtime: RecommenderRuntime) -> None:
    found = runtime.recommend(RecommendRequest(similar_to=stored.items[0], count=5))
    assert stored.items[0] not in {one.item for one in found.items}
    assert found.basis == ("popularity" if stored.kind == "popularity" else "similar")
    unknown = runtime.recommend(RecommendRequest(similar_to="what"))
    assert (unknown.basis, unknown.unknown) == ("popularity", ("what",))


def test_reasons_are_things_that_the_user_has(
    model: Model, stored: StoredRecommender, runtime: RecommenderRuntime
) -> None:
    user = stored.users[1]
    found = runtime.recommend(RecommendRequest(user, because=True))
    reasons = {name for one in found.items for name in one.because}
    assert reasons <= items_of(stored, user)
    assert bool(reasons) == (stored.kind in ("neighbors", "factors"))


def test_what_a_users_items_add_is_the_score(
    stored: StoredRecommender, runtime: RecommenderRuntime
) -> None:
    """Of neighbors and of least squares; elsewhere something stands beside them, or nothing adds up."""
    user = stored.users[3]
    plain = runtime.recommend(RecommendRequest(user))
    found = runtime.recommend(RecommendRequest(user, explain=True))
    assert [one.item for one in found.items] == [one.item for one in plain.items]
    assert not any(one.parts for one in plain.items)
    for one in found.items:
        assert {part.item for part in one.parts} <= items_of(stored, user)
        adds = [part.adds for part in one.parts]
        assert adds == sorted(adds, reverse=True)
        solved = stored.kind == "factors" and "projection" not in stored.arrays
        if stored.kind == "neighbors" or (solved and "item_bias" not in stored.arrays):
            assert len(adds) == len(items_of(stored, user))
            assert sum(adds) == pytest.approx(one.score, rel=1e-3, abs=1e-5)


def test_contributions_add_up_to_the_score(model: Model) -> None:
    """Exactly, of neighbors and of least squares; of others of a session."""
    fitted = recommender(model)
    history = fitted.seen.take(np.array([2]))
    asked = np.arange(len(fitted.user_counts))
    parts = fitted.scorer.contributions(history, asked)
    if parts is None:
        assert fitted.kind in ("popularity", "sequence", "towers")
        return
    scores = fitted.scorer.scores(np.array([-1]), history)[0]
    bias = fitted.arrays.get("item_bias", np.zeros(len(scores)))
    np.testing.assert_allclose(parts.sum(axis=1) + bias, scores, rtol=2e-3, atol=1e-4)
    assert dense(fitted)[2, history.items].all()


def test_rows_of_users_are_answered_as_rows(
    stored: StoredRecommender, runtime: RecommenderRuntime
) -> None:
    users = np.array([[stored.users[0]], ["nobody"], [""]], dtype=object)
    lists = [json.loads(text) for text in runtime.predict({"categories": users})["items"]]
    first = runtime.recommend(RecommendRequest(stored.users[0]))
    assert lists[0] == [one.item for one in first.items]
    assert lists[1] == lists[2] == list(stored.items[:10])


def test_one_score_of_equal_ones_is_first_by_popularity() -> None:
    scores = np.array([[1, 3, 2, 3, 2, 2, -np.inf]], dtype=np.float32)
    assert first_items(scores, 4).tolist() == [[1, 3, 2, 4]]
    assert first_items(scores, 9).tolist() == [[1, 3, 2, 4, 5, 0, 6]]
    where = ranks(scores, np.zeros(7, dtype=np.int64), np.arange(7))
    assert where.tolist() == [6, 1, 3, 2, 4, 5, 7]


def spoiled(stored: StoredRecommender) -> dict[str, StoredRecommender]:
    seen, arrays = stored.seen, dict(stored.arrays)
    items = seen.items.copy()
    items[0] = len(stored.items)
    name = next(iter(arrays))
    found: dict[str, Any] = {
        "an item that is not there": {"seen": replace(seen, items=items)},
        "starts that fall": {"seen": replace(seen, starts=seen.starts[::-1].copy())},
        "weights that are no numbers": {"seen": replace(seen, weights=seen.weights * np.nan)},
        "another number of users": {"users": stored.users[:-1]},
        "a name twice": {"items": (*stored.items[:-1], stored.items[0])},
        "counts of others": {"user_counts": stored.user_counts[:-1]},
        "arrays of another kind": {"kind": "neighbors" if stored.kind == "factors" else "factors"},
        "shorter arrays": {"arrays": {**arrays, name: arrays[name][:-1]}},
    }
    return {case: replace(stored, **changes) for case, changes in found.items()}


def test_files_of_a_stranger_are_refused(stored: StoredRecommender) -> None:
    for case, wrong in spoiled(stored).items():
        with pytest.raises(BundleError) as caught:
            read(wrong.packed(), "the file")
        assert "a file of a recommender" in str(caught.value), case
    content = stored.packed()
    for cut in (b"", content[:7], content[:200], content[:-1], content + b"x"):
        with pytest.raises(BundleError):
            read(cut, "the file")


@pytest.mark.parametrize("content", [b"", b"no gzip", parity.packed([])])
def test_a_proof_of_a_stranger_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        parity.unpacked(content, str(tmp_path))
