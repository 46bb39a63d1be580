"""Comparisons against SciPy, formulas by hand, and the coverage that an interval promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sixfold.core.errors import RecipeError
from sixfold.evaluate import scoring
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.scoring import MeanOverRows, bounds
from sixfold.parts.table import LOSS_SUMS, MARGIN, RANKING, FloatArray, IntArray, Target
from sixfold.recipe.kinds import METRIC
from sixfold.select.significance import Difference, Draws, Predicted, ScoredFolds, validation_share
from sixfold.select.significance import by_folds as compared_by_folds
from sixfold.select.significance import by_rows as compared_by_rows

NAMES = ("svm", "mlp")


def by_folds(names: Any, metric: str, scores: Any, share: float) -> Difference:
    first, second = map(ScoredFolds, names, scores)
    return compared_by_folds(first, second, metric, share)


def by_rows(pair: Any, *rest: Any, **options: Any) -> Difference:
    return compared_by_rows(pair[0], pair[1], *rest, **options)


def classes(values: IntArray, count: int = 2) -> Target:
    return Target("classification", values, ("y",), tuple("abcdef"[:count]))


# ---- on folds ----------------------------------------------------------------------------------------------------


def test_without_shared_rows_it_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.8, 0.1, 10), rng.normal(0.75, 0.1, 10)
    found = by_folds(NAMES, "accuracy", (one, other), share=0.0)
    reference = stats.ttest_rel(one, other)
    interval = reference.confidence_interval(0.95)
    np.testing.assert_allclose(
        [found.difference, found.p], [np.mean(one - other), reference.pvalue]
    )
    np.testing.assert_allclose([found.low, found.high], [interval.low, interval.high])


def test_the_formula_by_hand() -> None:
    """Differences 1, 2, 3, 4, 5 hundredths, 5 folds: S² = 2.5e-4, t = 0.03 / √((1/5 + 1/4)·S²), 4
    degrees of freedom.
    """
    one = np.array([0.81, 0.82, 0.83, 0.84, 0.85])
    found = by_folds(NAMES, "accuracy", (one, np.full(5, 0.8)), share=0.25)
    error = math.sqrt(0.45 * 2.5e-4)
    np.testing.assert_allclose(found.p, 2 * stats.t(4).sf(0.03 / error))
    np.testing.assert_allclose(
        [found.low, found.high], [0.03 - 2.7764451 * error, 0.03 + 2.7764451 * error], rtol=1e-7
    )
    assert found.told_apart


def test_repeated_folds_are_not_independent_ones() -> None:
    """Bouckaert and Frank: r times K folds divide S² by r·K, but the share of 1/(K - 1) stays."""
    d = np.tile([0.01, 0.02, 0.03, 0.02, 0.02], 10)
    found = by_folds(NAMES, "accuracy", (0.8 + d, np.full(50, 0.8)), share=0.25)
    error = d.std(ddof=1) * math.sqrt(1 / 50 + 1 / 4)
    np.testing.assert_allclose(found.p, 2 * stats.t(49).sf(0.02 / error))


def test_less_is_better_for_errors() -> None:
    found = by_folds(
        NAMES, "rmse", (np.array([1.0, 1.1, 1.2]), np.array([3.0, 3.2, 3.1])), share=0.5
    )
    assert found.difference == pytest.approx(2.0)


def test_folds_that_one_has_no_score_of_are_left_out() -> None:
    one, other = np.array([0.8, np.nan, 0.9, 0.7]), np.array([0.7, 0.7, 0.6, np.nan])
    found = by_folds(NAMES, "accuracy", (one, other), share=1 / 3)
    alone = by_folds(NAMES, "accuracy", (one[[0, 2]], other[[0, 2]]), share=1 / 3)
    assert found == alone
    assert found.by == "2 folds"


def test_two_folds_have_one_degree_of_freedom() -> None:
    found = by_folds(NAMES, "accuracy", (np.array([0.9, 0.8]), np.array([0.8, 0.6])), share=1.0)
    error = math.sqrt(1.5 * 0.005)
    np.testing.assert_allclose(
        [found.low, found.high], [0.15 - 12.7062047 * error, 0.15 + 12.7062047 * error], rtol=1e-7
    )


@pytest.mark.parametrize(
    ("one", "other", "p", "text"),
    [
        (
            [0.9],
            [0.8],
            math.nan,
            "svm is ahead of mlp by 10 points of accuracy on 1 fold, which cannot say how much chance does.",
        ),
        (
            [0.9] * 3,
            [0.8] * 3,
            math.nan,
            "svm is ahead of mlp by 10 points of accuracy on 3 folds, which cannot say how much chance does.",
        ),
        (
            [0.9, 0.7, 0.8],
            [0.9, 0.7, 0.8],
            1.0,
            "svm and mlp score the same on 3 folds (accuracy).",
        ),
        ([0.9], [0.9], math.nan, "svm and mlp score the same on 1 fold (accuracy)."),
        ([math.nan], [0.9], math.nan, "svm and mlp have no score of accuracy on the same folds."),
        ([], [], math.nan, "svm and mlp have no score of accuracy on the same folds."),
    ],
)
def test_what_folds_cannot_say(one: list[float], other: list[float], p: float, text: str) -> None:
    found = by_folds(NAMES, "accuracy", (np.array(one), np.array(other)), share=0.5)
    np.testing.assert_equal(found.p, p)
    assert str(found) == text
    assert not found.told_apart


def test_the_share_is_that_of_the_folds() -> None:
    rows = np.arange(10)
    folds = [Fold(np.setdiff1d(rows, part), part) for part in rows.reshape(5, 2)]
    assert validation_share(folds) == 0.25


def test_two_sides_of_one_comparison() -> None:
    one, other = np.array([0.8, 0.9, 0.7]), np.array([0.6, 0.8, 0.65])
    there = by_folds(NAMES, "accuracy", (one, other), 0.5)
    back = by_folds(NAMES[::-1], "accuracy", (other, one), 0.5)
    assert there.turned() == back
    assert str(there) == str(back)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (
            (0.008, 0.001, 0.015, 0.03),
            "svm is better than mlp by 0.8 points of accuracy, 95% interval 0.1 to 1.5, p = 0.03 "
            "(corrected resampled t-test, 10 folds).",
        ),
        (
            (-0.2, -0.3, -0.1, 0.001),
            "mlp is better than svm by 20 points of accuracy, 95% interval 10 to 30, p = 0.001 "
            "(corrected resampled t-test, 10 folds).",
        ),
        (
            (0.008, -0.001, 0.017, 0.07),
            "svm is ahead of mlp by 0.8 points of accuracy, 95% interval -0.1 to 1.7, p = 0.07 "
            "(corrected resampled t-test, 10 folds): 10 folds cannot tell them apart.",
        ),
    ],
)
def test_the_sentence(numbers: tuple[float, ...], text: str) -> None:
    difference, low, high, p = numbers
    notes = Difference(
        *NAMES, "accuracy", difference, low, high, p, 0.95, "10 folds", "corrected resampled t-test"
    )
    assert str(notes) == text


def test_metrics_without_bounds_are_told_in_their_unit() -> None:
    notes = Difference(
        *NAMES, "rmse", 1.25, 0.5, 2.0, 0.01, 0.9, "10 folds", "corrected resampled t-test"
    )
    assert "by 1.25 (rmse), 90% interval 0.5 to 2, p = 0.01" in str(notes)


@pytest.mark.slow
def test_the_interval_covers_where_the_naive_one_does_not() -> None:
    """100 worlds: 10 folds of a nearest-mean and a one-feature rule on 100 fresh rows; the truth
    from 20,000 more rows.
    """
    rng = np.random.default_rng(0)
    corrected = naive = 0
    for _ in range(100):
        x, y = _world(rng, 100)
        far = _world(rng, 20_000)
        parts = rng.permutation(100).reshape(10, 10)
        folds = [Fold(np.setdiff1d(np.arange(100), part), part) for part in parts]
        rules = [(_means(x[f.train, :k], y[f.train]), k, f) for f in folds for k in (1, 5)]
        scores = np.array(
            [_right(rule, x[f.validation, :k], y[f.validation]) for rule, k, f in rules]
        ).reshape(10, 2)
        truth = (
            np.mean(
                [
                    (1 if k == 5 else -1) * _right(rule, far[0][:, :k], far[1])
                    for rule, k, _ in rules
                ]
            )
            * 2
        )
        pair = (scores[:, 1], scores[:, 0])
        corrected += _covers(by_folds(NAMES, "accuracy", pair, 1 / 9), truth)
        naive += _covers(by_folds(NAMES, "accuracy", pair, 0.0), truth)
    assert corrected >= stats.binom.ppf(0.01, 100, 0.95)
    assert naive < corrected


def _covers(found: Difference, truth: float) -> bool:
    return found.low <= truth <= found.high


def _world(rng: np.random.Generator, rows: int) -> tuple[FloatArray, IntArray]:
    y = rng.integers(0, 2, rows)
    return rng.normal(size=(rows, 5)) + 0.35 * y[:, None], y


def _means(x: FloatArray, y: IntArray) -> FloatArray:
    return np.stack([x[y == c].mean(axis=0) for c in (0, 1)])


def _right(means: FloatArray, x: FloatArray, y: IntArray) -> float:
    return float(np.mean(((x[:, None] - means) ** 2).sum(axis=2).argmin(axis=1) == y))


# ---- on rows -----------------------------------------------------------------------------------------------------


def labels(right: FloatArray, truth: IntArray) -> FloatArray:
    """Probabilities whose largest is the truth where `right`."""
    notes = np.where(right, truth, 1 - truth)
    return np.eye(2)[notes] * 0.8 + 0.1


def pair_of(
    rng: np.random.Generator, rows: int, rates: tuple[float, float]
) -> tuple[Target, tuple[Predicted, Predicted]]:
    truth = rng.integers(0, 2, rows)
    one, other = (
        Predicted(n, labels(rng.random(rows) < r, truth), "probability")
        for n, r in zip(NAMES, rates, strict=True)
    )
    return classes(truth), (one, other)


def test_the_bootstrap_is_that_of_scipy() -> None:
    target, pair = pair_of(np.random.default_rng(1), 400, (0.85, 0.8))
    each = [(p.values.argmax(axis=1) == target.values).astype(float) for p in pair]
    reference = stats.bootstrap(
        each,
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=5000,
        rng=0,
    )
    found = by_rows(pair, target, "accuracy", draws=Draws(5000))
    assert found.difference == pytest.approx(each[0].mean() - each[1].mean())
    low, high = reference.confidence_interval
    np.testing.assert_allclose([found.low, found.high], [low, high], atol=0.004)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "f1", "roc_auc"])
def test_equal_candidates_are_equal(metric: str) -> None:
    target, (one, _) = pair_of(np.random.default_rng(1), 100, (0.85, 0.8))
    found = by_rows((one, one._replace(name="mlp")), target, metric, draws=Draws(20))
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert str(found) == f"svm and mlp score the same on 100 rows ({metric})."


def test_metrics_that_average_and_those_that_score_anew_agree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, pair = pair_of(np.random.default_rng(1), 300, (0.85, 0.8))
    fast = by_rows(pair, target, "accuracy", draws=Draws(200))
    monkeypatch.setattr(scoring, "MeanOverRows", ())  # nothing is an instance of it
    slow = by_rows(pair, target, "accuracy", draws=Draws(200))
    np.testing.assert_allclose(
        [fast.difference, fast.low, fast.high, fast.p],
        [slow.difference, slow.low, slow.high, slow.p],
    )


@pytest.mark.parametrize("name", METRIC.names())
def test_what_is_averaged_gives_the_score(name: str) -> None:
    metric, rng = METRIC.load(name)(), np.random.default_rng(0)
    if "classification" in metric.tasks:
        target, values = classes(rng.integers(0, 3, 50), 3), rng.dirichlet(np.ones(3), 50)
    elif "generation" in metric.tasks:
        target = Target("generation", np.zeros((50, 4)), (*LOSS_SUMS, MARGIN))
        values = rng.uniform(1, 9, size=(50, 4))
    elif "recommendation" in metric.tasks:
        users, ranks = np.repeat(np.arange(10.0), 5), rng.integers(1, 40, 50)
        values = np.stack([users, ranks, rng.uniform(1, 9, 50), rng.uniform(0, 0.02, 50)], axis=1)
        target = Target("recommendation", np.zeros((50, 4)), RANKING)
    elif "transcription" in metric.tasks:
        said = rng.integers(97, 100, (50, 6))
        target, values = Target("transcription", said, ("y",)), rng.integers(97, 100, (50, 6))
    elif metric.of_quantiles == "only":
        target = Target("regression", rng.normal(size=50), ("y",), quantiles=(0.2, 0.8))
        values = np.sort(rng.normal(size=(50, 2)), axis=1)
    else:
        target, values = (
            Target("reconstruction", rng.normal(size=(50, 3)), ("p", "q", "r")),
            rng.normal(size=(50, 3)),
        )
    if name == "rmsle":  # of values above -1
        target, values = (
            Target("reconstruction", np.exp(target.values), ("p", "q", "r")),
            np.exp(values),
        )
    score = metric.score(target, values)
    if isinstance(metric, MeanOverRows):
        assert metric.of_mean(float(metric.rows(target, values).mean())) == pytest.approx(
            score, rel=1e-12
        )
    worst_and_best = bounds(name)
    if worst_and_best is not None:
        assert worst_and_best[0] <= score <= worst_and_best[1]


def test_the_fast_metrics_are_the_averaged_ones() -> None:
    assert {n for n in METRIC.names() if isinstance(METRIC.load(n)(), MeanOverRows)} == {
        "accuracy",
        "interval_coverage",
        "interval_width",
        "log_loss",
        "mae",
        "mse",
        "pinball",
        "rmse",
        "rmsle",
        "top_3_accuracy",
        "top_5_accuracy",
    }


def test_whole_groups_are_drawn() -> None:
    """Ten copies of each row say no more than one: with groups the interval stays, without it
    shrinks by √10.
    """
    target, pair = pair_of(np.random.default_rng(2), 120, (0.85, 0.75))
    ten = np.repeat(np.arange(120), 10)
    copies = tuple(each._replace(values=each.values[ten]) for each in pair)
    one = by_rows(pair, target, "accuracy", draws=Draws(2000))
    grouped = by_rows(
        (copies[0], copies[1]), target.take(ten), "accuracy", ten[::-1][::-1], Draws(2000)
    )
    torn = by_rows((copies[0], copies[1]), target.take(ten), "accuracy", draws=Draws(2000))
    assert grouped.by == "120 groups"
    np.testing.assert_allclose([grouped.low, grouped.high], [one.low, one.high], atol=1e-12)
    assert (torn.high - torn.low) / (one.high - one.low) == pytest.approx(10**-0.5, rel=0.15)


def test_unequal_groups_give_every_row_its_chance() -> None:
    rng = np.random.default_rng(3)
    target, pair = pair_of(rng, 200, (0.9, 0.6))
    groups = rng.permutation(np.repeat(np.arange(20), np.r_[np.full(10, 2), np.full(10, 18)]))
    found = by_rows(pair, target, "accuracy", groups, Draws(500))
    assert found.low < found.difference < found.high
    assert found.told_apart


def test_large_tables_are_drawn_in_part_and_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    target, pair = pair_of(np.random.default_rng(4), 8000, (0.85, 0.845))
    whole = by_rows(pair, target, "accuracy", draws=Draws(2000))
    monkeypatch.setattr("sixfold.select.significance.MOST_ROWS", 1000)
    part = by_rows(pair, target, "accuracy", draws=Draws(2000))
    assert part.how == "bootstrap, 2,000 draws of 1,000, scaled"
    assert part.high - part.low == pytest.approx(whole.high - whole.low, rel=0.1)


def test_rows_without_a_prediction_are_left_out() -> None:
    target, pair = pair_of(np.random.default_rng(5), 60, (0.9, 0.7))
    values = pair[1].values.copy()
    values[:10] = np.nan
    found = by_rows(
        (pair[0], pair[1]._replace(values=values)), target, "accuracy", draws=Draws(100)
    )
    rest = tuple(p._replace(values=p.values[10:]) for p in pair)
    alone = by_rows(
        (rest[0], rest[1]), target.take(np.arange(10, 60)), "accuracy", draws=Draws(100)
    )
    assert found == alone
    assert found.by == "50 rows"


@pytest.mark.parametrize(
    ("rows", "metric", "output"),
    [(1, "accuracy", "probability"), (0, "accuracy", "probability"), (50, "log_loss", "decision")],
)
def test_what_rows_cannot_say(rows: int, metric: str, output: str) -> None:
    target, pair = pair_of(np.random.default_rng(6), rows, (0.9, 0.7))
    found = by_rows((pair[0]._replace(output=output), pair[1]), target, metric, draws=Draws(10))  # type: ignore[arg-type]
    assert math.isnan(found.low) and math.isnan(found.p)
    assert str(found)


def test_draws_without_a_class_are_left_out_while_they_are_few() -> None:
    rng = np.random.default_rng(7)
    truth = np.zeros(40, dtype=np.int64)
    truth[:3] = 1
    pair = tuple(Predicted(name, rng.dirichlet(np.ones(2), 40), "probability") for name in NAMES)
    found = by_rows((pair[0], pair[1]), classes(truth), "roc_auc", draws=Draws(200))
    assert found.low < found.difference < found.high


def test_a_metric_of_another_task_is_refused() -> None:
    target, pair = pair_of(np.random.default_rng(8), 20, (0.9, 0.7))
    with pytest.raises(RecipeError, match="metrics for classification"):
        by_rows(pair, target, "rmse")


def test_equal_seeds_draw_equal_rows() -> None:
    target, pair = pair_of(np.random.default_rng(9), 50, (0.9, 0.7))
    assert by_rows(pair, target, "accuracy") == by_rows(pair, target, "accuracy")
    assert by_rows(pair, target, "accuracy") != by_rows(
        pair, target, "accuracy", draws=Draws(seed=1)
    )


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_the_interval_covers_the_truth(metric: str) -> None:
    covered, worlds = 0, 150
    for world in range(worlds):
        target, pair = pair_of(np.random.default_rng(world), 200, (0.85, 0.8))
        found = by_rows(pair, target, metric, draws=Draws(400, seed=world))
        truth = 0.05 if metric == "accuracy" else 0.05 * (np.log(0.9) - np.log(0.1))
        covered += found.low <= truth <= found.high
    assert stats.binom.ppf(0.005, worlds, 0.94) <= covered
