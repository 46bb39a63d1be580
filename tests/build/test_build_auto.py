"""`build: auto`: what is tried on which data, in which time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sixfold.build.auto import (
    CLASS_ROWS,
    COSTS,
    INNER,
    RECOMMENDERS,
    TOGETHER,
    TOWERS,
    USED,
    Candidate,
    calibrated,
    candidates,
    expected_s,
    portfolio,
    times_as_long,
)
from sixfold.evaluate import cross_fit
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.kinds import FAMILY


def dataset(rows: int, task: Any = "classification", columns: int = 10) -> Dataset:
    table = Table({f"x{i}": Column("number", np.zeros(rows)) for i in range(columns)}, rows)
    values = {"classification": np.zeros(rows, dtype=np.int64), "regression": np.zeros(rows)}.get(
        task
    )
    return Dataset(
        table, Target(task, np.zeros((rows, 3)) if values is None else values, ("y",), ("a", "b"))
    )


def names(rows: int, training_s: float | None = None, **options: Any) -> list[str]:
    return [name for name, _, _ in candidates(dataset(rows, **options), training_s)]


def test_what_is_tried_follows_the_rows() -> None:
    assert names(100) == ["linear", "boosting", "tree", "svm", "forest"]
    assert names(3000) == ["linear", "boosting", "tree", "svm", "forest", "mlp"]
    assert names(15_000) == ["linear", "boosting", "tree", "forest", "mlp"]
    assert names(100_000) == ["linear", "boosting", "tree", "mlp"]


def test_a_long_time_is_for_the_portfolio() -> None:
    """In its order, as far as the time goes; each is another setting. Of other data there is none."""
    for task in ("classification", "regression"):
        data = dataset(3000, task)
        further = portfolio(data)
        assert len(further) > 10
        everything = candidates(data, 1e6)
        assert len(everything) == len(candidates(data, None)) + len(further)
        assert len({(name, repr(options)) for name, options, _ in everything}) == len(everything)
        some = [one for one in candidates(data, 30.0) if one in further]
        assert 0 < len(some) < len(further)
    assert "kernel_ridge" not in {name for name, _, _ in portfolio(dataset(3000))}
    assert portfolio(dataset(3000, "reconstruction")) == portfolio(with_images(3000)) == []
    few, many = ({name for name, _, _ in portfolio(dataset(rows))} for rows in (50, 100_000))
    assert not few & {"tabm", "residual_mlp", "mlp"}
    assert many == {"boosting", "linear"}


def test_of_quantiles_the_portfolio_has_families_that_learn_them() -> None:
    data = dataset(3000, "regression")
    data = replace(data, target=replace(data.target, quantiles=(0.1, 0.9)))
    found = {name for name, _, _ in portfolio(data)}
    assert found == {"boosting", "linear", "mlp", "residual_mlp", "tabm"}
    assert all(FAMILY.load(name).learns_quantiles for name in found)


def test_more_trees_slower_steps_and_larger_leaves_take_longer() -> None:
    assert times_as_long({}) == 1.0
    assert times_as_long({"trees": 200}) == 2.0
    assert times_as_long({"learning_rate": 0.025}) == 2.0
    assert times_as_long({"leaves": 62}) == 2.0
    assert times_as_long({"learning_rate": 1.0, "leaves": 2}) == 0.25


def test_a_short_budget_leaves_the_slow_ones_out_and_begins_with_the_cheap_ones() -> None:
    first = names(32_561, training_s=60.0, columns=14)
    assert first[0] == "tree"
    assert {"linear", "boosting", "mlp"} < set(first)
    assert set(names(32_561, training_s=15.0, columns=14)) == {"tree", "linear", "boosting"}
    assert names(32_561, training_s=4.0, columns=14) == ["tree", "linear"]
    assert names(1_000_000, training_s=1.0, columns=50) == ["linear"]


@pytest.mark.parametrize("training_s", [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0])
@pytest.mark.parametrize("rows", [100, 600, 1800, 4000, 15_000, 40_000])
def test_nobody_is_cut_short_by_what_was_expected(rows: int, training_s: float) -> None:
    """Time left is given out in equal parts, in this order: each part is enough, were the costs the
    truth.
    """
    data, costs = dataset(rows), dict[str, float]()
    chosen = candidates(data, training_s)
    for number, (name, options, _) in enumerate(chosen):
        work = name if name in TOGETHER else f"{name} {number}"
        cost = expected_s(name, data, 4.0) * times_as_long(options)
        costs[work] = costs.get(work, 0.0) + cost
    if len(chosen) == 1:
        assert chosen[0][0] == "linear"  # kept however short the time is
        return
    left = USED * training_s
    assert sum(costs.values()) <= left
    for number, cost in enumerate(costs.values()):
        assert cost <= left / (len(costs) - number) + 1e-9
        left -= cost


def test_settings_that_are_trained_as_one_are_known() -> None:
    settings = {
        name for name, _, _ in [*portfolio(dataset(3000)), *portfolio(dataset(2000, "regression"))]
    }
    assert {name for name in settings if FAMILY.load(name).shared} == TOGETHER


def test_costs_follow_rows_columns_classes_and_folds() -> None:
    small, large = dataset(1000), dataset(2000)
    for name in COSTS:
        assert (
            expected_s(name, small, 4.0)
            < expected_s(name, large, 4.0)
            < expected_s(name, large, 9.0)
        )
    assert expected_s("tree", dataset(1000, columns=20), 4.0) > expected_s("tree", small, 4.0)
    ten = replace(small, target=replace(small.target, classes=tuple("abcdefghij")))
    assert expected_s("boosting", ten, 4.0) == pytest.approx(
        10 * expected_s("boosting", small, 4.0)
    )
    assert expected_s("linear", ten, 4.0) == expected_s("linear", small, 4.0)


SVM: Candidate = ("svm", {}, "few rows")


def two_classes(first: int, second: int) -> Dataset:
    made = dataset(first + second)
    return replace(made, target=replace(made.target, values=np.repeat([0, 1], [first, second])))


def test_scores_of_a_kernel_machine_become_probabilities() -> None:
    enough = two_classes(100, CLASS_ROWS)
    plan, calibration = calibrated(SVM, {"threshold": "f1"}, enough)
    assert plan == ("svm", {}, "few rows; platt makes its scores probabilities")
    assert calibration == {"threshold": "f1", "calibrate": "platt"}
    for asked in ("none", "isotonic"):
        assert calibrated(SVM, {"calibrate": asked}, enough) == (SVM, {"calibrate": asked})
    other = ("boosting", {}, "always")
    assert calibrated(other, {"threshold": "f1"}, enough) == (other, {"threshold": "f1"})
    few = two_classes(100, CLASS_ROWS - 1)
    assert expected_s("svm", enough, 4.0) == pytest.approx(
        7 / 3 * expected_s("svm", enough, 4.0, inner_fits=False)
    )
    assert expected_s("svm", few, 4.0) == expected_s("svm", few, 4.0, inner_fits=False)


def test_inner_fits_cost_time_and_leave_the_slow_ones_out() -> None:
    assert INNER == cross_fit.FOLDS
    data = dataset(32_561, columns=14)
    for name in COSTS:
        times = 7 / 3 if name in ("svm", "kernel_ridge") else 3.0
        assert expected_s(name, data, 4.0, True) == pytest.approx(
            times * expected_s(name, data, 4.0, False)
        )
    asked, plain = (
        [
            name
            for name, _, why in candidates(data, 20.0, inner_fits=inner)
            if not why.startswith("portfolio")
        ]
        for inner in (True, False)
    )
    assert asked == ["tree", "linear"]
    assert plain == ["tree", "linear", "boosting"]


@pytest.mark.parametrize(
    "without",
    [
        two_classes(100, CLASS_ROWS - 1),
        dataset(110, "regression"),
        replace(two_classes(100, 10), groups=np.arange(110)),
        replace(two_classes(100, 10), times=np.arange(110.0)),
    ],
    ids=["nine rows of a class", "values", "groups", "times"],
)
def test_but_not_where_inner_folds_might_lack_a_class(without: Dataset) -> None:
    assert calibrated(SVM, {}, without) == (SVM, {})


def test_every_family_that_is_tried_has_its_cost() -> None:
    tried = {
        name
        for task in ("classification", "regression", "reconstruction")
        for training_s in (None, 1e6)
        for name in names(2000, training_s, task=task)
    }
    tried |= {name for name, _, _ in candidates(with_images(3000), None)}
    for task in ("classification", "transcription"):
        tried |= {name for name, _, _ in candidates(with_recordings(task), 600.0)}
    tried |= {"language", *(name for name, _, _ in (*RECOMMENDERS, TOWERS))}
    assert tried == COSTS.keys()


def with_recordings(task: Any) -> Dataset:
    """A recording a row, and nothing else."""
    column = Column("audio", np.zeros(100, dtype=np.int32), ("a.wav",))
    found = replace(dataset(100), table=Table({"sound": column}, 100))
    if task == "classification":
        return found
    return replace(found, target=Target("transcription", np.full((100, 2), 97), ("said",)))


def with_images(rows: int, *others: str) -> Dataset:
    """An image a row, and columns of other kinds, by name."""
    kinds: Any = ("image", *(others or ("number",)))
    codes = np.zeros(rows, dtype=np.int32)
    columns = {
        kind: Column(kind, np.zeros(rows) if kind == "number" else codes, ("a",)) for kind in kinds
    }
    return replace(dataset(rows), table=Table(columns, rows))


@pytest.mark.parametrize(
    ("others", "why"),
    [
        (("number",), "images beside numbers or categories, 600 rows"),
        (("text",), "images beside texts, 600 rows"),
        (("text", "category"), "images beside texts and numbers or categories, 600 rows"),
    ],
)
def test_images_beside_other_columns_ask_for_one_network(others: tuple[str, ...], why: str) -> None:
    found = candidates(with_images(600, *others), None)
    assert [name for name, _, _ in found][1] == "fusion"
    assert found[1][2].startswith(why)
    assert "fusion" not in [name for name, _, _ in candidates(with_images(400, *others), None)]
    assert "fusion" not in [name for name, _, _ in candidates(with_images(600, *others), 10.0)]
    assert "fusion" not in [name for name, _, _ in candidates(with_images(600, "identifier"), None)]


def test_reconstruction_has_two() -> None:
    assert names(1000, task="reconstruction") == ["linear", "mlp"]


def test_every_candidate_says_why_and_can_be_made() -> None:
    for task in ("classification", "regression", "reconstruction"):
        data = dataset(3000, task)
        for name, options, why in [*candidates(data, None), *portfolio(data)]:
            assert len(why) > 20
            assert name in FAMILY.names()
            family = FAMILY.load(name)(**options)
            assert task in family.tasks
