"""Races by the hundred with known truth: how often the winner over all folds is lost, and what is saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sixfold.evaluate.selecting import Selected, Selection, select
from sixfold.parts.table import FloatArray
from sixfold.recipe.kinds import SELECTION

RACES, FOLDS, CANDIDATES = 300, 10, 60
Truth = Callable[[np.random.Generator], FloatArray]


def noise(rng: np.random.Generator, candidates: int, scale: float = 0.01) -> FloatArray:
    """Scores of equal candidates: what a fold does to all, and what each does on its own."""
    return rng.normal(0, 0.02, FOLDS) + rng.normal(0, scale, (candidates, FOLDS))


def equal(rng: np.random.Generator) -> FloatArray:
    return noise(rng, CANDIDATES)


def spread(rng: np.random.Generator) -> FloatArray:
    return noise(rng, CANDIDATES) + rng.normal(0, 0.02, (CANDIDATES, 1))


def two(rng: np.random.Generator) -> FloatArray:
    return noise(rng, 2)


def few(rng: np.random.Generator) -> FloatArray:
    return noise(rng, 5) + rng.normal(0, 0.004, (5, 1))


def rounded(rng: np.random.Generator) -> FloatArray:
    """Accuracy of 57 rows a fold: many ties."""
    return np.round((0.95 + noise(rng, CANDIDATES) + rng.normal(0, 0.01, (CANDIDATES, 1))) * 57) / 57


def one_unlike_the_others(rng: np.random.Generator) -> FloatArray:
    """59 settings of one family, nearly the same on every fold, and one of another."""
    alike = noise(rng, 1) + rng.normal(0, 0.001, (CANDIDATES - 1, FOLDS))
    return np.concatenate([rng.normal(0, 0.01, (1, FOLDS)) + alike.mean(), alike])


def unequal_noise(rng: np.random.Generator) -> FloatArray:
    scale = np.exp(rng.normal(-4.6, 0.8, (CANDIDATES, 1)))
    return (
        rng.normal(0, 0.02, FOLDS) + rng.normal(0, 0.01, (CANDIDATES, 1)) + scale * rng.normal(size=(CANDIDATES, FOLDS))
    )


def heavy_tails(rng: np.random.Generator) -> FloatArray:
    return rng.normal(0, 0.02, FOLDS) + 0.01 * rng.standard_t(3, (CANDIDATES, FOLDS))


TRUTHS: list[tuple[Truth, float]] = [  # and how many times fewer fits than all, at least
    (equal, 1.1), (spread, 2.2), (two, 1.0), (few, 1.1), (rounded, 1.5), (one_unlike_the_others, 1.0),
    (unequal_noise, 1.3), (heavy_tails, 1.0),
]  # fmt: skip


def replay(selection: Selection, matrix: FloatArray, seed: int) -> Selected:
    def score(positions: Sequence[int], folds: Sequence[int]) -> FloatArray:
        return matrix[np.ix_(positions, folds)]

    return select(selection, *matrix.shape, score, seed)


def chosen(selected: Selected) -> int:
    finished = selected.finished
    return finished[int(selected.scores[finished].mean(axis=1).argmax())]


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.05, 0.2])
@pytest.mark.parametrize(("truth", "saved"), TRUTHS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_winner_is_lost_at_most_as_often_as_stated(truth: Truth, saved: float, rate: float) -> None:
    rng = np.random.default_rng(20)
    racing = SELECTION.make({"name": "racing", "error_rate": rate})
    lost, fits, all_fits = 0, 0, 0
    for race in range(RACES):
        matrix = truth(rng)
        selected = replay(racing, matrix, race)
        means = matrix.mean(axis=1)
        lost += means[chosen(selected)] < means.max() - 1e-12
        fits, all_fits = fits + selected.fits, all_fits + matrix.size
    print(f"{truth.__name__}, rate {rate}: lost {lost / RACES:.3f}, {all_fits / fits:.2f} times fewer fits")
    assert lost <= stats.binom.ppf(0.99, RACES, rate)
    assert all_fits / fits >= saved


@pytest.mark.slow
def test_halving_loses_little_where_candidates_differ() -> None:
    rng = np.random.default_rng(20)
    halving, lost = SELECTION.make({"name": "halving"}), 0
    for race in range(RACES):
        matrix = spread(rng)
        selected = replay(halving, matrix, race)
        lost += matrix.mean(axis=1).argmax() != chosen(selected)
        assert matrix.size / selected.fits == 3.75
    assert lost <= 0.03 * RACES


# ---- fold scores of real fits ------------------------------------------------------------------------------------

REPEATS = 20


def svm_scores(seed: int) -> FloatArray:
    """Accuracy of 10 C × 6 gamma on breast cancer, [60, 10]."""
    x, y = load_breast_cancer(return_X_y=True)
    columns = []
    for train, validation in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
        scaler = StandardScaler().fit(x[train])
        a, b = scaler.transform(x[train]), scaler.transform(x[validation])
        kernels = [(rbf_kernel(a, a, g), rbf_kernel(b, a, g)) for g in np.logspace(-4, 0, 6)]
        columns.append(
            [
                SVC(C=c, kernel="precomputed").fit(inner, y[train]).score(outer, y[validation])
                for inner, outer in kernels
                for c in np.logspace(-2, 3, 10)
            ]
        )
    return np.array(columns).T


def linear_scores(seed: int) -> FloatArray:
    """Minus log loss of 60 strengths of logistic regression on breast cancer, [60, 10]."""
    x, y = load_breast_cancer(return_X_y=True)
    columns = []
    for train, validation in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
        scaler = StandardScaler().fit(x[train])
        a, b, column = scaler.transform(x[train]), scaler.transform(x[validation]), []
        model = LogisticRegression(warm_start=True, max_iter=1000)
        for c in np.logspace(-4, 3, CANDIDATES):
            right = model.set_params(C=c).fit(a, y[train]).predict_proba(b)[np.arange(len(b)), y[validation]]
            column.append(np.log(right.clip(1e-15)).mean())
        columns.append(column)
    return np.array(columns).T


@pytest.fixture(scope="module", params=[svm_scores, linear_scores], ids=["svm", "linear"])
def matrices(request: pytest.FixtureRequest) -> list[FloatArray]:
    return [request.param(seed) for seed in range(REPEATS)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "saved"), [("racing", 1.4), ("halving", 3.0)])
def test_the_choice_is_within_one_standard_error(matrices: list[FloatArray], name: str, saved: float) -> None:
    selection, fits, within, same = SELECTION.make({"name": name}), 0, 0, 0
    for seed, matrix in enumerate(matrices):
        selected = replay(selection, matrix, seed)
        best = matrix[int(matrix.mean(axis=1).argmax())]
        behind = best.mean() - matrix[chosen(selected)].mean()
        within += behind <= best.std(ddof=1) / np.sqrt(FOLDS)
        same += behind < 1e-12
        fits += selected.fits
    print(f"{name}: {len(matrices) * 600 / fits:.2f} times fewer fits, the same choice in {same}, within in {within}")
    assert len(matrices) * 600 / fits >= saved
    assert within == REPEATS
    assert same >= (0.95 if name == "racing" else 0.5) * REPEATS
