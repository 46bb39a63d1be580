"""The preparer as a whole: who gets which treatment, the order of steps, its graph, its errors."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from preparing import (
    NAN,
    Array,
    ask,
    at,
    category,
    exported,
    mixed,
    mixed_columns,
    nodes,
    number,
    saved,
    target,
)

from sixfold.core.errors import DataError, RecipeError
from sixfold.parts import state
from sixfold.parts.fit import Needs
from sixfold.parts.table import Column, Table, Target
from sixfold.prepare.preparer import Preparer, fit
from sixfold.recipe.schema import Prepare

TREES = Needs(number=(), category=("ordinal",), impute_number=None, precision="float32")
PLAIN = Needs(number=(), category=("ordinal",))
NONE = Needs()


def prepared(
    needs: Needs = NONE, table: Table | None = None, **sections: Any
) -> tuple[Preparer, Array]:
    table = table or mixed()
    preparer, x, _ = fit(table, target(table.rows), Prepare.model_validate(sections), needs, 0)
    return preparer, x


def unknown_rows() -> Table:
    """Unseen and missing categories, a row of gaps alone, numbers out of range."""
    nan = [NAN] * 3
    return Table(
        {
            "height": number([NAN, 1e6, 0.0]),
            "income": number([NAN, -5.0, 0.0]),
            "letter": category(["", "ü", "a"], ("ü", "a", "other")),
            "new": Column("boolean", np.array([NAN, 1.0, 0.0])),
            "since": Column("date", np.array([NAN, 4e9, -1e9])),
            "town": category(["", "Oslo", "Bern"]),
            "weight": number(nan),
            "id": Column("identifier", np.arange(3, dtype=np.int32), ("q", "r", "s")),
        },
        3,
    )


def refusal(table: Table | None = None, needs: Needs = NONE, **sections: Any) -> str:
    with pytest.raises((RecipeError, DataError)) as caught:
        prepared(needs, table, **sections)
    return str(caught.value)


# Who gets which treatment


def test_defaults_of_a_family_that_wants_standard_numbers() -> None:
    preparer, x = prepared()
    assert preparer.inputs == ("height", "income", "letter", "new", "since", "town", "weight")
    dates = tuple(f"since {part}" for part in ("year", "month", "day", "weekday", "hour", "days"))
    letters = tuple(f"letter = {letter}" for letter in "abcdefgh")
    towns = ("town = Bern", "town = Graz", "town = Riga", "town = (missing)")
    assert preparer.feature_names == ("height", "income", "weight", *letters, *towns, "new", *dates)
    assert preparer.feature_sources[:4] == ("height", "income", "weight", "letter")
    assert set(preparer.feature_sources) == set(preparer.inputs)
    assert x.dtype == np.float64 and np.isfinite(x).all()
    np.testing.assert_allclose(x[:, [0, 1, 2, *range(16, 22)]].std(axis=0), 1.0)
    assert set(np.unique(x[:, 3:16])) == {0.0, 1.0}


def test_defaults_of_a_family_that_takes_gaps() -> None:
    preparer, x = prepared(TREES)
    assert preparer.feature_names[:3] == ("height", "income", "weight")
    assert x.dtype == np.float32
    raw = mixed().columns
    np.testing.assert_array_equal(x[:, 1], raw["income"].values.astype(np.float32))
    letters = x[:, preparer.feature_names.index("letter")]
    np.testing.assert_array_equal(
        letters, [ord(text) - ord("a") for text in raw["letter"].strings()]
    )
    assert np.isnan(x[:, preparer.feature_names.index("new")]).any()


def test_the_recipe_wins_over_the_family() -> None:
    preparer, x = prepared(
        TREES, impute={"number": "mean"}, features={"number": "min_max", "category": "one_hot"}
    )
    assert "town = Riga" in preparer.feature_names
    heights = x[:, preparer.feature_names.index("height")]
    assert heights.min() == 0.0 and heights.max() == 1.0


def test_columns_go_before_the_type() -> None:
    preparer, x = prepared(
        impute={"number": "mean", "columns": {"income": {"name": "constant", "value": -1.0}}},
        features={
            "columns": {
                "income": "none",
                "town": "ordinal",
                "since": [{"name": "date_parts", "parts": ["year"]}],
            }
        },
    )
    assert [n for n in preparer.feature_names if not n.startswith("letter")] == [
        "height",
        "weight",
        "income",
        "new",
        "since year",
        "town",
    ]
    income = mixed().columns["income"].values
    np.testing.assert_array_equal(
        x[:, preparer.feature_names.index("income")], np.where(np.isnan(income), -1, income)
    )


def test_one_column_with_a_joint_imputer_sees_the_others() -> None:
    """k_nearest for one column looks at all number columns, though the others are imputed by their
    median.
    """
    for name in ("k_nearest", "iterative"):
        whole, x = prepared(PLAIN, impute={"number": name})
        single, own = prepared(PLAIN, impute={"columns": {"income": name}})
        column = single.feature_names.index("income")
        np.testing.assert_array_equal(own[:, column], x[:, whole.feature_names.index("income")])
        heights = own[:, single.feature_names.index("height")]
        assert len(np.unique(heights[np.isnan(mixed().columns["height"].values)])) == 1
        np.testing.assert_allclose(
            ask(single, unknown_rows()), single.transform(unknown_rows()), atol=1e-9
        )


def test_order_of_the_steps() -> None:
    """Clip, then impute (the mean of clipped values), then the indicator, then the chain, then
    select and reduce.
    """
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 1000.0, NAN])
    table = Table({"x": number(values), "z": number(np.arange(7.0) ** 2)}, 7)
    preparer, x = prepared(
        Needs(number=()),
        table,
        denoise={"outliers": {"name": "iqr", "factor": 1.5, "action": "clip"}},
        impute={"number": "mean", "indicator": True},
    )
    q1, q3 = np.nanpercentile(values, [25, 75])
    high = q3 + 1.5 * (q3 - q1)
    assert x[5, 0] == high
    assert x[6, 0] == pytest.approx(np.mean([1, 2, 3, 4, 5, high]))
    assert preparer.feature_names == ("x", "z", "x is missing")
    np.testing.assert_array_equal(x[:, 2], np.isnan(values))


def test_dates_are_imputed_as_parts() -> None:
    """The median year of the known dates, not the year of the median date."""
    preparer, x = prepared(PLAIN, features={"number": "none"})
    since = mixed().columns["since"].values
    years = x[:, preparer.feature_names.index("since year")]
    assert (years[np.isnan(since)] == np.median(years[~np.isnan(since)])).all()


def test_indicators_for_columns_with_gaps_only() -> None:
    preparer, x = prepared(impute={"indicator": True})
    flagged = [name for name in preparer.feature_names if name.endswith("is missing")]
    assert flagged == [
        "height is missing",
        "income is missing",
        "town is missing",
        "new is missing",
        "since is missing",
    ]
    for name in flagged:
        column = name.removesuffix(" is missing")
        np.testing.assert_array_equal(
            x[:, preparer.feature_names.index(name)],
            mixed().columns[column].missing().astype(float),
        )
    np.testing.assert_array_equal(ask(preparer, unknown_rows()), preparer.transform(unknown_rows()))


def test_an_empty_string_is_a_missing_category() -> None:
    """Whether the table says so by code -1 or by a level ''."""
    as_code = Table({"c": category(["a", "", "b", "b"])}, 4)
    as_level = Table(
        {"c": Column("category", np.array([0, 1, 2, 2], dtype=np.int32), ("a", "", "b"))}, 4
    )
    one, x = prepared(table=as_code)
    other, y = prepared(table=as_level)
    assert one.feature_names == other.feature_names == ("c = a", "c = b", "c = (missing)")
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(one.transform(as_level), x)


def test_unseen_categories() -> None:
    new = unknown_rows()
    plain, _ = prepared()
    letters = [i for i, name in enumerate(plain.feature_names) if name.startswith("letter =")]
    assert plain.transform(new)[1, letters].sum() == 0
    rare, _ = prepared(features={"category": {"name": "one_hot", "min_rows": 20}})
    assert rare.transform(new)[1, rare.feature_names.index("letter = (rare)")] == 1
    ordinal, _ = prepared(PLAIN)
    assert ordinal.transform(new)[1, ordinal.feature_names.index("letter")] == -1
    encoded, _ = prepared(features={"category": "target"})
    prior = target().values.mean()
    assert encoded.transform(new)[
        1, encoded.feature_names.index("letter target 0")
    ] == pytest.approx(prior)


def test_same_chains_are_one_block() -> None:
    """Interactions of two columns that name the same chain."""
    preparer, _ = prepared(
        features={"columns": {n: ["standard", "polynomial"] for n in ("height", "weight")}}
    )
    assert "height × weight" in preparer.feature_names
    assert "income × weight" not in preparer.feature_names
    assert preparer.feature_sources[preparer.feature_names.index("height × weight")] == ""


def test_selection_and_reduction_follow() -> None:
    preparer, x = prepared(
        features={
            "select": {"name": "model_importance", "keep": 6},
            "reduce": {"name": "pca", "components": 2},
        }
    )
    assert preparer.feature_names == ("component 1", "component 2")
    assert preparer.feature_sources == ("", "")
    np.testing.assert_allclose(preparer.transform(mixed()), x, atol=1e-12)
    np.testing.assert_allclose(ask(preparer, mixed()), x, atol=1e-9)
    chosen, x = prepared(features={"select": {"name": "mutual_information", "keep": 0.25}})
    assert len(chosen.feature_names) == round(0.25 * 22) == x.shape[1]
    assert set(chosen.feature_sources) <= set(chosen.inputs)


def test_a_reduction_brings_its_imputer() -> None:
    """A family that takes gaps would pass them on, and pca cannot work with them."""
    for features in ({"reduce": "pca"}, {"number": ["standard", "pca"]}):
        _, x = prepared(TREES, features=features)
        assert not np.isnan(x[:, 0]).any()
    assert refusal(needs=TREES, impute={"number": "none"}, features={"reduce": "pca"}) == (
        "prepare.features pca: expected columns without missing values; found missing values. "
        "Choose an imputer under prepare.impute."
    )


def test_reconstruction_and_regression_targets() -> None:
    for task in ("regression", "reconstruction"):
        for features in (
            {"category": "target"},
            {"select": "mutual_information"},
            {"select": "model_importance"},
        ):
            prepare = Prepare.model_validate({"features": features})
            preparer, x, _ = fit(mixed(), target(task=task), prepare, Needs(), 0)
            assert np.isfinite(x).all() and len(preparer.feature_names) == x.shape[1]


# Laws


@settings(max_examples=25, deadline=None, database=None)
@given(
    arrays.arrays(
        np.float64,
        st.tuples(st.integers(2, 30), st.integers(1, 4)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    st.sampled_from(["standard", "min_max", "robust", "quantile"]),
)
def test_scaled_training_rows_keep_their_law(values: Array, method: str) -> None:
    table = Table({f"x{i}": number(column) for i, column in enumerate(values.T)}, len(values))
    sections = {"denoise": {"constants": "keep"}, "features": {"number": method}}
    preparer, x = prepared(table=table, **sections)
    varied = values.max(axis=0) - values.min(axis=0) > 1e-3
    if method in ("min_max", "quantile"):
        assert x.min() >= 0 and x.max() <= 1 + 1e-12
    if method == "min_max":
        assert np.allclose(x.max(axis=0)[varied], 1) and np.allclose(x.min(axis=0), 0)
    if method == "standard":
        assert np.abs(x.mean(axis=0)[varied]).max(initial=0) < 1e-6
        assert np.allclose(x.std(axis=0)[varied], 1)
    if method == "robust":
        assert np.abs(np.median(x, axis=0)[varied]).max(initial=0) < 1e-6
    np.testing.assert_array_equal(preparer.transform(table), x)


@settings(max_examples=25, deadline=None, database=None)
@given(
    st.lists(st.sampled_from(["a", "b", "ü", " ", "c = d", ""]), min_size=2, max_size=25),
    st.integers(1, 4),
)
def test_one_hot_gives_a_row_at_most_one_1(strings: list[str], min_rows: int) -> None:
    if len(set(strings)) < 2:
        return
    table = Table({"c": category(strings)}, len(strings))
    preparer, x = prepared(
        table=table, features={"category": {"name": "one_hot", "min_rows": min_rows}}
    )
    np.testing.assert_array_equal(x.sum(axis=1), 1)
    np.testing.assert_array_equal(ask(preparer, table), x)


@settings(max_examples=30, deadline=None, database=None)
@given(st.lists(st.integers(-62_135_596_800, 253_402_300_799), min_size=1, max_size=20))
def test_date_parts_equal_the_calendar_of_numpy(moments: list[int]) -> None:
    table = Table({"d": Column("date", np.array([*moments, 0.0, 86400.0 * 400]))}, len(moments) + 2)
    preparer, x = prepared(PLAIN, table)
    days = np.array([*moments, 0, 86400 * 400], dtype="datetime64[s]")
    years = days.astype("datetime64[Y]").astype(int) + 1970
    months = days.astype("datetime64[M]").astype(int) % 12 + 1
    of_month = (
        days.astype("datetime64[D]") - days.astype("datetime64[M]").astype("datetime64[D]")
    ).astype(int) + 1
    np.testing.assert_array_equal(x[:, :3], np.stack([years, months, of_month], axis=1))
    np.testing.assert_array_equal(ask(preparer, table), x)


# The graph

IMPUTERS = ("mean", "constant", "k_nearest", "iterative")
SCALERS = ("none", "robust", "quantile", "power", "binning", "polynomial")
ENCODERS = ("one_hot", "ordinal", "target")


SLOW = {*product(("k_nearest",), SCALERS[1:]), *product(("iterative",), SCALERS[:-1])}


@pytest.mark.parametrize(
    ("imputer", "scaler"),
    [
        pytest.param(*both, marks=[pytest.mark.slow] if both in SLOW else [])
        for both in product(IMPUTERS, SCALERS)
    ],
)
def test_graph_equals_the_preparer(imputer: str, scaler: str, tmp_path: Path) -> None:
    for number_of, encoder in enumerate(ENCODERS):
        preparer, x = prepared(
            impute={"number": imputer, "indicator": encoder == "ordinal"},
            features={"number": scaler, "category": encoder},
        )
        assert x.shape == (160, len(preparer.feature_names)) == (160, len(preparer.feature_sources))
        for table in (mixed(), unknown_rows(), at(mixed(), 5)):
            np.testing.assert_allclose(
                ask(preparer, table), preparer.transform(table), rtol=1e-9, atol=1e-9
            )
        saved(preparer, tmp_path / str(number_of))
        again = state.load(tmp_path / str(number_of), Preparer)
        np.testing.assert_array_equal(
            again.transform(unknown_rows()), preparer.transform(unknown_rows())
        )


def test_graph_keeps_gaps_and_precision() -> None:
    preparer, _ = prepared(TREES)
    for table in (mixed(), unknown_rows(), at(mixed(), 5)):
        found = ask(preparer, table)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, preparer.transform(table))


def test_training_rows_get_what_they_would_get_later() -> None:
    """Bit for bit, unless a method is cross-fitted."""
    for features in (
        {},
        {"number": ["power", "polynomial"]},
        {"number": "quantile", "category": "ordinal"},
    ):
        preparer, x = prepared(features=features)
        np.testing.assert_array_equal(preparer.transform(mixed()), x)


def test_more_rows_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, x = prepared(features={"category": "target"})
    monkeypatch.setattr("sixfold.prepare.preparer.BATCH_ROWS", 7)
    parts, y = prepared(features={"category": "target"})
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(whole.transform(mixed()), parts.transform(mixed()))


def test_the_graph_is_small() -> None:
    """Nodes cost about a microsecond each at one row: they grow with the treatments, not with the
    columns.
    """
    columns = {f"x{i}": mixed_columns(160, seed=i)["income"] for i in range(60)}
    plain, _ = prepared(table=Table(columns, 160))
    assert nodes(plain) <= 8
    cities = {f"c{i}": mixed_columns(160, seed=i)["town"] for i in range(20)}
    encoded, _ = prepared(table=Table(cities, 160))
    assert nodes(encoded) <= 20 + 10  # one to read the strings of each column
    whole, _ = prepared(impute={"indicator": True})
    assert nodes(whole) <= 112


def test_no_name_of_a_column_is_a_name_in_the_graph() -> None:
    table = Table({"label": number([1, 2, 3]), "value": category(["a", "b", "a"])}, 3)
    preparer, x = prepared(table=table)
    assert preparer.inputs == ("label", "value")
    from sixfold.parts.graph import Graph, TensorProto

    graph = Graph()
    graph.output("y", exported(preparer, graph), TensorProto.DOUBLE, ["rows", x.shape[1]])
    model = graph.model()
    assert [value.name for value in model.graph.input] == ["numbers", "categories"]
    assert {prop.key: prop.value for prop in model.metadata_props} == {
        "numbers": '["label"]',
        "categories": '["value"]',
    }


# Errors


def test_a_column_that_is_not_there() -> None:
    assert refusal(features={"columns": {"heigth": "none"}}) == (
        "prepare.features.columns: expected the name of a column; found 'heigth'. Did you mean 'height'? "
        "All: height, id, income, letter, new, since, town, weight."
    )
    assert refusal(impute={"columns": {"Town": "constant"}}).startswith(
        "prepare.impute.columns: expected the name of a column; found 'Town'. Did you mean 'town'?"
    )


def test_an_identifier_has_no_treatment() -> None:
    assert refusal(features={"columns": {"id": "one_hot"}}) == (
        "prepare.features.columns: expected a column that is used; found 'id', an identifier. "
        "Set data.types.id to its type."
    )


def test_methods_for_other_kinds_of_columns() -> None:
    assert refusal(features={"category": "standard"}) == (
        "prepare.features.category: expected a method for category columns; found 'standard', which takes numbers. "
        "Use one of: one_hot, ordinal, target."
    )
    assert refusal(features={"columns": {"height": "one_hot"}}) == (
        "prepare.features.columns.height: expected a method for number columns; found 'one_hot', which takes categories. "
        "Use one of: binning, min_max, model_importance, mutual_information, none, pca, piecewise_linear, polynomial, power, "
        "quantile, robust, standard."
    )
    assert refusal(features={"category": ["ordinal", "one_hot"]}) == (
        "prepare.features.category: expected a method for what ordinal gives; found 'one_hot', which takes categories. "
        "Use one of: binning, min_max, model_importance, mutual_information, none, pca, piecewise_linear, polynomial, power, "
        "quantile, robust, standard."
    )
    assert "'date_parts', which takes dates" in refusal(features={"number": "date_parts"})
    assert refusal(impute={"category": "median"}) == (
        "prepare.impute.category: expected a method for category columns; found 'median', which takes numbers. "
        "Use one of: constant, most_frequent, none."
    )
    assert refusal(features={"category": []}) == (
        "prepare.features.category: expected a method that turns categories into numbers; found none. "
        "Use one of: one_hot, ordinal, target."
    )


def test_select_and_reduce_take_their_own() -> None:
    assert refusal(features={"select": "pca"}) == (
        "prepare.features.select: expected a method that can select; found 'pca'. "
        "Use one of: model_importance, mutual_information."
    )
    assert refusal(features={"reduce": "standard"}) == (
        "prepare.features.reduce: expected a method that can reduce; found 'standard'. Use one of: pca."
    )


def test_unknown_methods_and_options() -> None:
    assert refusal(features={"number": "standart"}).startswith(
        "feature: expected the name of a feature; found 'standart'. Did you mean 'standard'?"
    )
    assert refusal(impute={"number": {"name": "k_nearest", "k": 3}}) == (
        "imputer k_nearest: expected one of its options; found 'k'. All: donors, neighbors."
    )


def test_gaps_for_a_family_that_takes_none() -> None:
    assert refusal(impute={"number": "none"}) == (
        "prepare.impute: expected an imputer, for a family that takes no missing values; "
        "found missing values in feature 'height'. Use median, or a family such as boosting."
    )
    prepared(
        impute={"number": "none", "columns": {"since": "median"}}, features={"number": "binning"}
    )


def test_numbers_beyond_the_precision() -> None:
    table = Table({"x": number([1.0, 1e300, 2.0])}, 3)
    assert refusal(table, TREES) == (
        "prepare, feature 'x': expected numbers that float32 can hold; found larger ones. "
        "Scale the column in the data, drop it (data.drop), or clip outliers (prepare.denoise)."
    )


def test_too_many_products() -> None:
    table = Table({f"x{i}": number(np.arange(3.0) + i) for i in range(300)}, 3)
    assert refusal(table, features={"number": "polynomial"}) == (
        "prepare.features polynomial: expected at most 20,000 features; found more, from 300 columns. "
        "Lower degree, or choose the columns under prepare.features.columns."
    )


def test_target_is_not_mutated() -> None:
    y = target()
    before = y.values.copy()
    fit(mixed(), y, Prepare.model_validate({"features": {"category": "target"}}), Needs(), 0)
    np.testing.assert_array_equal(y.values, before)
    assert isinstance(y, Target)
