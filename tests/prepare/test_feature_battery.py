"""Every check for every feature method: the folder is listed, and how many checks each one got is
asserted.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparing import NAN, Array, ask_step, codes, saved
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_selection import SelectFromModel, SelectPercentile, mutual_info_classif
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from sixfold.core.errors import RecipeError
from sixfold.parts import state
from sixfold.parts.state import State
from sixfold.prepare.step import CrossFitted, Training
from sixfold.recipe.kinds import FEATURE

ROWS, LEVELS, SEED = 120, 7, 3
LETTERS = np.array(
    ["a", "b", "c", "d", "e", "f", "g", "unseen", None], dtype=object
)  # the last two: codes -2 and -1
Reference = Callable[
    [Array, Array, Array], Array
]  # training rows, their classes, new rows → features of the new rows


def numbers(rows: int = ROWS, seed: int = 0) -> Array:
    """Skewed, with ties, and an ordinary column."""
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [np.exp(rng.normal(size=rows)), np.round(rng.normal(size=rows) * 3), rng.normal(size=rows)]
    )


def dates(rows: int = ROWS, seed: int = 0) -> Array:
    moments = (
        np.random.default_rng(seed)
        .integers(-60_000_000_000, 200_000_000_000, (rows, 2))
        .astype(np.float64)
    )
    moments[:5, 0] = [
        0.0,
        -1.0,
        951_782_400.0,
        4_107_542_400.0,
        1_709_210_096.5,
    ]  # leap days, and days around them
    return moments


def classes(rows: int = ROWS, seed: int = 0) -> Array:
    return (numbers(rows, seed)[:, 2] + np.random.default_rng(5).normal(size=rows) > 0).astype(
        np.int64
    )


def sk(transformer: Any) -> Reference:
    return lambda x, y, new: np.asarray(transformer.fit(x).transform(new))


def sk_letters(transformer: Any) -> Reference:
    def run(x: Array, y: Array, new: Array) -> Array:
        found = transformer.fit(LETTERS[x], y).transform(LETTERS[new])
        return np.asarray(found, dtype=np.float64)

    return run


def sk_rare(**options: Any) -> Reference:
    """OneHotEncoder groups rare levels too, and it puts a missing value among them as a level of
    its own: none is here.
    """
    return sk_letters(
        OneHotEncoder(sparse_output=False, handle_unknown="infrequent_if_exist", **options)
    )


def kept_by_score(x: Array, y: Array, new: Array) -> Array:
    score = mutual_info_classif(x, y, random_state=SEED)
    return np.asarray(SelectPercentile(lambda *_: score, percentile=67).fit(x, y).transform(new))


def kept_by_trees(x: Array, y: Array, new: Array) -> Array:
    trees = ExtraTreesClassifier(50, random_state=SEED, min_samples_leaf=5)
    return np.asarray(
        SelectFromModel(trees, max_features=2, threshold=-np.inf).fit(x, y).transform(new)
    )


def calendar(x: Array, y: Array, new: Array) -> Array:
    epoch = dt.datetime(1970, 1, 1)
    found = []
    for row in new:
        moments = [epoch + dt.timedelta(seconds=float(s)) for s in row]
        names = ("year", "month", "day", "weekday", "hour")
        parts = [
            [getattr(m, n)() if n == "weekday" else getattr(m, n) for m in moments] for n in names
        ]
        found.append([*(value for part in parts for value in part), *(s / 86400 for s in row)])
    return np.array(found, dtype=np.float64)


def by_the_formula(x: Array, y: Array, new: Array) -> Array:
    """Gorishniy, Rubachev and Babenko, 2022, equation 1, value by value; 6 bins between
    quantiles.
    """
    rows = []
    for row in new:
        found = []
        for column, value in enumerate(row):
            edges = sorted(set(np.quantile(x[:, column], np.linspace(0, 1, 7))))
            last = len(edges) - 1
            for t in range(1, last + 1):
                if value < edges[t - 1] and t > 1:
                    found.append(0.0)
                elif value >= edges[t] and t < last:
                    found.append(1.0)
                else:
                    found.append((value - edges[t - 1]) / (edges[t] - edges[t - 1]))
        rows.append(found)
    return np.array(rows)


@dataclass(frozen=True)
class Case:
    """The reference with default options (or `options`), what it must refuse, and other options to
    export and save.
    """

    reference: Reference
    options: dict[str, Any] = field(default_factory=dict)
    refuses: tuple[tuple[dict[str, Any], str], ...] = ()
    variants: tuple[dict[str, Any], ...] = ()
    codes: Array | None = None


NO_OPTIONS = "expected one of its options; found 'power'. Leave it out: there are no options."
KEEP = "expected a share below 1, or a whole number; found 2.5. Change keep."
CASES = {
    "none": Case(lambda x, y, new: new, refuses=(({"power": 2}, f"feature none: {NO_OPTIONS}"),)),
    "standard": Case(
        sk(StandardScaler()), refuses=(({"power": 2}, f"feature standard: {NO_OPTIONS}"),)
    ),
    "min_max": Case(
        sk(MinMaxScaler()), refuses=(({"power": 2}, f"feature min_max: {NO_OPTIONS}"),)
    ),
    "robust": Case(sk(RobustScaler()), refuses=(({"power": 2}, f"feature robust: {NO_OPTIONS}"),)),
    "power": Case(
        sk(PowerTransformer()), refuses=(({"power": 2}, f"feature power: {NO_OPTIONS}"),)
    ),
    "quantile": Case(
        sk(QuantileTransformer(n_quantiles=100, subsample=None)),
        refuses=(
            (
                {"quantiles": 1},
                "feature quantile, quantiles: expected greater than or equal to 2; found 1. Change quantiles.",
            ),
        ),
        variants=({"output": "normal"}, {"quantiles": 5}),
    ),
    "binning": Case(
        sk(
            KBinsDiscretizer(
                6, encode="onehot-dense", strategy="quantile", quantile_method="linear"
            )
        ),
        {"bins": 6},
        refuses=(
            (
                {"encode": "both"},
                "feature binning, encode: expected 'one_hot' or 'ordinal'; found 'both'. Change encode.",
            ),
        ),
        variants=({"encode": "ordinal"}, {"strategy": "uniform", "bins": 4}),
    ),
    "piecewise_linear": Case(
        by_the_formula,
        {"bins": 6},
        refuses=(
            (
                {"bins": 0},
                "feature piecewise_linear, bins: expected greater than or equal to 1; found 0. Change bins.",
            ),
        ),
        variants=({}, {"bins": 1}),
    ),
    "polynomial": Case(
        sk(PolynomialFeatures(2, include_bias=False)),
        refuses=(
            (
                {"degree": 1},
                "feature polynomial, degree: expected greater than or equal to 2; found 1. Change degree.",
            ),
        ),
        variants=({"degree": 3}, {"interaction_only": True}),
    ),
    "pca": Case(
        sk(PCA(0.95, svd_solver="covariance_eigh")),
        refuses=(
            (
                {"components": 2.5},
                "feature pca, components: expected a share below 1, or a whole number; found 2.5. Change components.",
            ),
        ),
        variants=({"components": 2}, {"components": 50}),
    ),
    "mutual_information": Case(
        kept_by_score,
        {"keep": 2},
        refuses=(({"keep": 2.5}, f"feature mutual_information, keep: {KEEP}"),),
        variants=({"keep": 0.01},),
    ),
    "model_importance": Case(
        kept_by_trees,
        {"keep": 2},
        refuses=(({"keep": 2.5}, f"feature model_importance, keep: {KEEP}"),),
        variants=({"keep": 99},),
    ),
    "date_parts": Case(
        calendar,
        refuses=(
            (
                {"parts": ["minute"]},
                "feature date_parts, parts.0: expected 'year', 'month', 'day', 'weekday', 'hour' or 'days'; "
                "found 'minute'. Change parts.0.",
            ),
        ),
        variants=({"parts": ["weekday"]},),
    ),
    "one_hot": Case(
        sk_rare(min_frequency=8, max_categories=4),
        {"min_rows": 8, "max_levels": 4},
        refuses=(
            (
                {"max_levels": 1},
                "feature one_hot, max_levels: expected greater than or equal to 2; found 1. Change max_levels.",
            ),
        ),
        variants=({}, {"min_rows": 1000}),
        codes=codes(ROWS, LEVELS, missing=False),
    ),
    "ordinal": Case(
        sk_letters(
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
            )
        ),
        refuses=(({"power": 2}, f"feature ordinal: {NO_OPTIONS}"),),
        codes=codes(ROWS, LEVELS),
    ),
    "target": Case(
        sk_letters(TargetEncoder(smooth=10.0, target_type="binary")),
        refuses=(
            (
                {"smoothing": -1},
                "feature target, smoothing: expected greater than or equal to 0; found -1. Change smoothing.",
            ),
        ),
        variants=({"smoothing": 0, "folds": 2},),
        codes=codes(ROWS, LEVELS, missing=False),
    ),
}


def make(name: str, **options: Any) -> Any:
    return FEATURE.make({"name": name, **CASES[name].options, **options})


def values(name: str) -> Array:
    case = CASES[name]
    if case.codes is not None:
        return case.codes
    return dates() if name == "date_parts" else numbers()


def new_rows(name: str) -> Array:
    """Rows that were not trained on: out of range, on the edges, unseen and missing categories."""
    x = values(name)
    if x.dtype.kind == "i":
        return np.array([[0, 1], [6, -2], [-2, 2], [3, 3], [2, 0], [5, 6]], dtype=np.int64)
    if name == "date_parts":
        return dates(60, seed=7)
    return np.vstack(
        [numbers(50, seed=7), x.max(axis=0), x.min(axis=0), x[:3], x[:1] * 1000, x[:1] * -1000]
    )


def training(x: Array, seed: int = SEED) -> Training:
    y = classes(len(x))
    levels = (tuple("abcdefg"),) * x.shape[1] if x.dtype.kind == "i" else ()
    return Training(
        tuple(f"x{i}" for i in range(x.shape[1])), np.eye(2)[y], "classification", seed, levels
    )


def fit(name: str, **options: Any) -> Any:
    x = values(name)
    return make(name, **options).fit(x, training(x))


def variants(name: str) -> list[dict[str, Any]]:
    return [{}, *CASES[name].variants]


def check_equals_the_reference(name: str) -> None:
    x, new = values(name), new_rows(name)
    expected = CASES[name].reference(x, classes(), new)
    np.testing.assert_allclose(fit(name).transform(new), expected, rtol=1e-9, atol=1e-9)


def check_graph_equals_numpy(name: str) -> None:
    new = new_rows(name)
    for options in variants(name):
        step = fit(name, **options)
        for rows in (new, new[:1], values(name)):
            found = ask_step(step, rows)
            assert found.shape == step.transform(rows).shape
            np.testing.assert_allclose(found, step.transform(rows), rtol=1e-9, atol=1e-9)


def check_missing_values(name: str) -> None:
    """A gap never raises; numbers stay missing (pca: the whole row; a bin: the lowest), and the
    graph agrees.
    """
    new = new_rows(name)[:4].copy()
    new[1, 0] = NAN if new.dtype.kind == "f" else -1
    for options in variants(name):
        step = fit(name, **options)
        plain = step.transform(new)
        np.testing.assert_allclose(ask_step(step, new), plain, rtol=1e-9, atol=1e-9, equal_nan=True)
        assert np.isfinite(plain[[0, 2, 3]]).all()
        if new.dtype.kind == "f" and name not in (
            "binning",
            "mutual_information",
            "model_importance",
        ):
            assert np.isnan(plain[1]).any()


def check_learns_from_rows_with_gaps(name: str) -> None:
    x = values(name).copy()
    x[5, 0] = x[9, 1] = NAN if x.dtype.kind == "f" else -1
    if name == "pca":
        with pytest.raises(RecipeError) as caught:
            make(name).fit(x, training(x))
        assert str(caught.value) == (
            "prepare.features pca: expected columns without missing values; found missing values. "
            "Choose an imputer under prepare.impute."
        )
        return
    for options in variants(name):
        step = make(name, **options).fit(x, training(x))
        assert np.isfinite(step.transform(new_rows(name))).all()
        np.testing.assert_allclose(
            ask_step(step, x), step.transform(x), rtol=1e-9, atol=1e-9, equal_nan=True
        )


def check_a_column_of_one_value(name: str) -> None:
    x = values(name).copy()
    x[:, 0] = x[0, 0]
    for options in variants(name):
        step = make(name, **options).fit(x, training(x))
        assert np.isfinite(step.transform(x)).all()
        np.testing.assert_allclose(ask_step(step, x), step.transform(x), rtol=1e-9, atol=1e-9)


def check_save_and_load(name: str, folder: Path) -> None:
    for number, options in enumerate(variants(name)):
        step = fit(name, **options)
        saved(step, folder / str(number))
        again: Any = state.load(folder / str(number), State)
        np.testing.assert_array_equal(
            again.transform(new_rows(name)), step.transform(new_rows(name))
        )


def check_the_same_seed_gives_the_same_bytes(name: str, folder: Path) -> None:
    for number, options in enumerate(variants(name)):
        one, other = fit(name, **options), fit(name, **options)
        assert saved(one, folder / f"a{number}") == saved(other, folder / f"b{number}")


def check_refuses_bad_settings(name: str) -> None:
    assert CASES[name].refuses
    for options, text in CASES[name].refuses:
        with pytest.raises(RecipeError) as caught:
            FEATURE.make({"name": name, **options})
        assert str(caught.value) == text


def check_names_and_sources(name: str) -> None:
    for options in variants(name):
        step, width = fit(name, **options), values(name).shape[1]
        found = step.features([f"x{i}" for i in range(width)])
        assert len(found) == step.transform(values(name)).shape[1]
        assert len({feature.name for feature in found}) == len(found)
        assert all(-1 <= feature.source < width for feature in found)
        assert all(f.source == -1 or f.name.startswith(f"x{f.source}") for f in found)


def check_does_not_change_its_input(name: str) -> None:
    x, new = values(name).copy(), new_rows(name).copy()
    make(name).fit(x, training(x)).transform(new)
    np.testing.assert_array_equal(x, values(name))
    np.testing.assert_array_equal(new, new_rows(name))


def check_crossed_step_is_the_plain_step(name: str, folder: Path) -> None:
    method, x = make(name), values(name)
    step, own = method.fit_cross(x, training(x))
    assert saved(step, folder / "a") == saved(fit(name), folder / "b")
    assert own.shape == step.transform(x).shape
    assert not np.allclose(own, step.transform(x))


def check_is_cross_fitted_where_that_is_checked(name: str) -> None:
    assert isinstance(make(name), CrossFitted) == (name in CROSS_FITTED)


CHECKS: dict[str, Callable[..., None]] = {
    n: f for n, f in dict(globals()).items() if n.startswith("check_")
}
CROSS_FITTED = {"target"}
# They take texts, images or recordings, and have tests of their own: tests/prepare/test_ngrams.py,
# test_tokens.py, test_embedding.py, test_pixels.py, test_sound_features.py.
OF_TEXTS = {
    "embedding",
    "image_embedding",
    "mel_statistics",
    "ngrams",
    "pixels",
    "samples",
    "tokens",
    "whole_samples",
}
PAIRS = [
    (name, check)
    for name in FEATURE.names()
    if name not in OF_TEXTS
    for check in CHECKS
    if check != "check_crossed_step_is_the_plain_step" or name in CROSS_FITTED
]


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_feature(name: str, check: str, tmp_path: Path) -> None:
    function = CHECKS[check]
    if "folder" in function.__annotations__:
        function(name, folder=tmp_path)
    else:
        function(name)


def test_every_feature_gets_every_check() -> None:
    assert {
        name for name in FEATURE.names() if {"text", "image", "audio"} & FEATURE.load(name).takes
    } == OF_TEXTS
    assert set(CASES) == set(FEATURE.names()) - OF_TEXTS
    assert Counter(name for name, _ in PAIRS) == {
        **dict.fromkeys(CASES, 11),
        **dict.fromkeys(CROSS_FITTED, 12),
    }
