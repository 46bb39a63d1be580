"""Faithfulness, the least change that flips an answer, and the nearest stored rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import linear_bundle
import numpy as np
import pytest
import tiny_bundle

from sixfold.bundle.explain import faithfulness
from sixfold.bundle.explain.counterfactual import ChangeSearch, Decided
from sixfold.bundle.explain.explainer import ExplainEffort
from sixfold.bundle.explain.sampling import Player
from sixfold.bundle.explain.what_if import counterfactual, nearest
from sixfold.bundle.load import Bundle, load
from sixfold.core.errors import RowError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(linear_bundle.make(tmp_path_factory.mktemp("what") / "bundle"))


ROW = tiny_bundle.raw(size=-8.0, colour="café")  # the stored rows have both sizes and all colors


def test_the_least_change_flips_the_answer(bundle: Bundle) -> None:
    before = bundle.predict([ROW]).records()[0]["label"]
    found = counterfactual(bundle.explainer, [ROW])
    assert found is not None
    assert len(found.changes) == 1
    assert found.before["label"] == before != found.after["label"]
    changed = {each.column: each.after for each in found.changes}
    assert bundle.predict([{**ROW, **changed}]).records()[0] == found.after
    assert all(ROW[each.column] == each.before for each in found.changes)


def test_a_number_goes_no_further_than_it_must(bundle: Bundle) -> None:
    fixed = ["label", "new", "since", "colour"]
    found = counterfactual(bundle.explainer, [ROW], fixed)
    assert found is not None
    (change,) = found.changes
    assert change.column == "size"
    nearer = ROW["size"] + 0.99 * (change.after - ROW["size"])
    assert bundle.predict([{**ROW, "size": nearer}]).records()[0]["label"] == found.before["label"]


def test_fixed_columns_do_not_move(bundle: Bundle) -> None:
    for name in bundle.explainer.columns:
        found = counterfactual(bundle.explainer, [ROW], [name])
        assert found is not None
        assert name not in {each.column for each in found.changes}
    assert counterfactual(bundle.explainer, [ROW], bundle.explainer.columns) is None


def test_the_class_that_is_answered_takes_no_change(bundle: Bundle) -> None:
    own = bundle.predict([ROW]).records()[0]["label"]
    found = counterfactual(bundle.explainer, [ROW], wanted=own)
    assert found is not None
    assert found.changes == ()
    assert found.before == found.after


def test_the_nearest_row_is_the_row_itself(bundle: Bundle) -> None:
    stored = dict(tiny_bundle.ROWS[0])
    found = nearest(bundle.explainer, [stored], 4)
    assert [near.distance for near in found] == sorted(near.distance for near in found)
    assert found[0].distance == 0.0
    assert found[0].values["size"] == 1.5
    assert found[0].values["new"] is True
    assert found[0].values["since"].startswith("2026-11-23")
    assert found[0].answer == bundle.predict([stored]).records()[0]
    assert all(0.0 < near.distance <= 1.0 for near in found[1:])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda explainer: counterfactual(explainer, [ROW], ["colur"]), "Did you mean 'colour'"),
        (lambda explainer: counterfactual(explainer, [ROW], wanted="kep"), "Did you mean 'keep'"),
        (lambda explainer: nearest(explainer, [ROW, ROW], 1), "one row"),
    ],
)
def test_what_does_not_fit_is_refused(bundle: Bundle, call: Any, message: str) -> None:
    with pytest.raises(RowError, match=message):
        call(bundle.explainer)


def test_values_have_no_other_class(tmp_path: Path) -> None:
    regression = load(tiny_bundle.make(tmp_path / "bundle", "regression"))
    with pytest.raises(RowError, match="classes, of which another one"):
        counterfactual(regression.explainer, [ROW])


def test_faithful_attributions_are_ahead_of_a_random_order(bundle: Bundle) -> None:
    """Four rows tell little of one draw, so many rows, made of the stored ones."""
    generator = np.random.default_rng(0)
    rows = [
        {
            name: tiny_bundle.ROWS[int(generator.integers(4))][name]
            for name in bundle.explainer.columns
        }
        for _ in range(faithfulness.ROWS)
    ]
    found = bundle.explainer.faithfulness(rows)
    area = found.areas()
    assert found.rows == faithfulness.ROWS
    assert area["deletion"] > area["random_deletion"]
    assert area["insertion"] < area["random_insertion"]
    for curve in (found.deletion, found.random_deletion):
        assert (curve[0], curve[-1]) == pytest.approx((0.0, 1.0))
    for curve in (found.insertion, found.random_insertion):
        assert (curve[0], curve[-1]) == pytest.approx((1.0, 0.0))
    assert f"over {found.rows} rows" in found.sentence()
    with pytest.raises(RowError, match="of work"):
        bundle.explainer.faithfulness(rows, "exact", ExplainEffort(seconds=1e-5))


def test_the_label_decides_not_the_largest_score() -> None:
    """With a threshold of 0.8, a score of 0.6 is not yet the second class."""

    def decide(feeds: Any) -> Decided:
        second = np.clip(feeds["numbers"][:, 0], 0.0, 1.0)
        return Decided(np.stack([1 - second, second], axis=1), (second > 0.8).astype(np.int64))

    search = ChangeSearch(
        columns=[Player("numbers", 0)],
        background={"numbers": np.array([[0.1], [0.6], [0.7], [0.95]])},
        decide=decide,
        movable=np.array([True]),
        whole=np.array([False]),
    )
    moves = search.least({"numbers": np.array([[0.2]])})
    assert moves is not None
    assert 0.8 < moves[0].value < 0.801
    assert search.least({"numbers": np.array([[0.9]])}) is not None
