"""A bundle explains its answers: exactly, by sampling, or it says why it cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import linear_bundle
import numpy as np
import pytest
import tiny_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sixfold.bundle import manifest
from sixfold.bundle.explain import stored as stored_file
from sixfold.bundle.explain.explainer import ExplainEffort
from sixfold.bundle.explain.stored import Stored
from sixfold.bundle.load import Bundle, load
from sixfold.bundle.verify import verify
from sixfold.core.errors import BundleError, RowError


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(linear_bundle.make(tmp_path_factory.mktemp("explain") / "bundle"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Without a file of attributions, as bundles were written before there was one."""
    return load(tiny_bundle.make(tmp_path_factory.mktemp("explain") / "bundle", explain=b""))


def test_a_linear_model_is_weights_times_distances_from_the_mean(linear: Bundle) -> None:
    found = linear.explain(tiny_bundle.ROWS)
    assert (found.method, found.scale, found.error) == ("linear", "log-odds", None)
    assert found.columns == ("size", "label", "new", "since", "colour")
    distance = (linear_bundle.features() - linear_bundle.MEAN) * linear_bundle.WEIGHTS[:, 0]
    by_column = np.zeros((4, 5))
    np.add.at(by_column, (slice(None), linear_bundle.SOURCE), distance)
    np.testing.assert_allclose(found.contributions[:, :, 1], by_column, atol=1e-12)
    np.testing.assert_allclose(found.contributions[:, :, 0], -by_column, atol=1e-12)
    probability = linear_bundle.expected()["probability"]
    odds = np.log(probability / (1 - probability))
    np.testing.assert_allclose(found.prediction, odds, atol=1e-9)
    np.testing.assert_allclose(found.base + found.contributions.sum(axis=1), odds, atol=1e-9)


def test_a_record_is_of_the_predicted_class_or_of_the_one_asked(linear: Bundle) -> None:
    found = linear.explain(tiny_bundle.ROWS)
    labels = found.predictions.outputs["label"].tolist()
    assert [record["output"] for record in found.records()] == labels
    record = found.records("keep")[0]
    assert record["output"] == "keep"
    sizes = list(map(abs, record["contributions"].values()))
    assert sizes == sorted(sizes, reverse=True)
    total = record["base"] + sum(record["contributions"].values())
    assert total == pytest.approx(record["prediction"], abs=1e-9)
    with pytest.raises(RowError, match=r"one of keep, <toss>; found 'kep'"):
        found.records("kep")


def test_what_is_no_sum_is_sampled(other: Bundle) -> None:
    found = other.explain([tiny_bundle.raw()], effort=ExplainEffort(rows=400))
    assert found.method == "sampled"
    assert found.scale == "probability"
    assert found.error is not None
    total = found.base + found.contributions.sum(axis=1)
    np.testing.assert_allclose(total, found.predictions.outputs["probability"], atol=1e-12)
    assert set(found.records()[0]["standard_error"]) == set(found.columns)
    with pytest.raises(RowError, match="a model that is no sum of trees or of weighted columns"):
        other.explain([tiny_bundle.raw()], "exact")


def test_both_methods_see_a_column_that_does_nothing(linear: Bundle) -> None:
    for method in ("exact", "sampled"):
        found = linear.explain([tiny_bundle.raw()], method)  # type: ignore[arg-type]
        assert found.contributions[0, 3].tolist() == [0.0, 0.0]


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["exact", "sampled"]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_contributions_are_numbers_whatever_the_number(
    linear: Bundle, size: float, method: Any
) -> None:
    """Or the value is named whose part is none."""
    row = {**tiny_bundle.raw(), "size": size}
    try:
        found = linear.explain([row], method, ExplainEffort(rows=200))
    except RowError as error:
        assert "column 'size'" in str(error) and abs(size) > 1e100
        return
    assert np.isfinite(found.contributions).all()


def test_work_that_would_take_too_long_is_refused(linear: Bundle) -> None:
    row = tiny_bundle.raw()
    for method in ("exact", "sampled"):
        with pytest.raises(RowError, match=r"at most 1e-12 s of work"):
            linear.explain([row], method, ExplainEffort(seconds=1e-12))  # type: ignore[arg-type]
    with pytest.raises(RowError, match="at least one row"):
        linear.explain([])


def test_features_of_several_columns_are_sampled(tmp_path: Path) -> None:
    arrays = {**linear_bundle.stored().arrays, "source": np.full(6, -1, dtype=np.int32)}
    bundle = load(linear_bundle.make(tmp_path / "b", linear_bundle.stored(arrays=arrays).packed()))
    assert bundle.explain([tiny_bundle.raw()], effort=ExplainEffort(rows=50)).method == "sampled"
    with pytest.raises(RowError, match="features that are made of several columns"):
        bundle.explain([tiny_bundle.raw()], "exact")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrays": {"bias": np.array([9.0])}}, "attributions whose sum is the answer"),
        ({"value": "/not_there"}, "without the features of the linear model"),
        ({"arrays": {"source": np.full(6, 7, dtype=np.int32)}}, "features of the signature's"),
    ],
)
def test_a_file_of_another_model_is_not_written(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    whole = linear_bundle.stored()
    arrays = {**whole.arrays, **changes.get("arrays", {})}
    wrong = replace(whole, value=changes.get("value", whole.value), arrays=arrays)
    with pytest.raises(BundleError, match=message):
        linear_bundle.make(tmp_path / "bundle", wrong.packed())
    assert not (tmp_path / "bundle").exists()


def test_verify_says_that_attributions_add_up(linear: Bundle, other: Bundle) -> None:
    assert verify(linear.path)[-1].endswith("attributions add up to the answers")
    assert "attributions" not in verify(other.path)[-1]
    assert manifest.EXPLAIN in {path.name for path in linear.path.iterdir()}
    assert manifest.EXPLAIN not in {path.name for path in other.path.iterdir()}


def test_a_file_is_read_as_it_was_written() -> None:
    whole = linear_bundle.stored()
    read = stored_file.read(whole.packed(), "here")
    assert replace(read, arrays={}) == replace(whole, arrays={})
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(read.arrays[name], array)
    cover = stored_file.smallest(np.array([3, 400]))
    trees = Stored("trees", arrays={"source": linear_bundle.SOURCE, "cover": cover})
    assert stored_file.read(trees.packed(), "here").arrays["cover"].dtype == np.uint16


def _with_header(change: Any) -> bytes:
    content = linear_bundle.stored().packed()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        linear_bundle.stored().packed()[:-1],
        linear_bundle.stored().packed() + b"x",
        _with_header(lambda header: header.pop("mean")),
        _with_header(lambda header: header.pop("__metadata__")),
        _with_header(lambda header: header["mean"].update(dtype="I32")),
        _with_header(lambda header: header["mean"].update(shape=[3])),
        _with_header(lambda header: header["mean"].update(data_offsets=[0, 1 << 60])),
        _with_header(lambda header: header["__metadata__"].update(kind="pickle")),
        _with_header(lambda header: header["__metadata__"].update(real="-1")),
        Stored(
            "trees", arrays={"source": linear_bundle.SOURCE, "cover": np.zeros(2, np.uint8)}
        ).packed(),
    ],
)
def test_what_is_no_such_file_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="a file of attributions"):
        stored_file.read(content, "here")
