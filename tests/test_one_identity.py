"""A value is the same value whichever way it comes: trained from each form, a model answers alike
through all of them.

Metamorphic: the table is written as CSV, JSON lines, Parquet, a DataFrame and a list of dicts, for
all types of pandas and Arrow.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import string
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.build.candidate import Candidate
from sixfold.bundle.frontend import csv_rows
from sixfold.bundle.predictor import Predictor
from sixfold.bundle.runtimes.onnx import onnx_predictor
from sixfold.bundle.stream import Source
from sixfold.core import values
from sixfold.data.load import from_frame, load
from sixfold.evaluate.model import fit_model
from sixfold.package.receipt import signature_of
from sixfold.parts.packed import packed
from sixfold.parts.table import Dataset
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Data, Initialize, Prepare, Train
from sixfold.runs.context import Context

ROWS = 40
BIG = 2**62
MOMENTS = ["2026-11-23T10:00:00", "1969-12-31T23:59:59.25", "2026-11-24", "1970-01-01T00:00:01"]


def repeat(cells: list[Any]) -> list[Any]:
    return [cells[i % len(cells)] for i in range(ROWS)]


def arrow(cells: list[Any], kind: pa.DataType) -> Any:
    return pd.array(repeat(cells), dtype=pd.ArrowDtype(kind))


def moments(unit: str, zone: str | None = None) -> Any:
    found = pd.Series(pd.to_datetime(repeat(MOMENTS), format="ISO8601")).astype(
        f"datetime64[{unit}]"
    )
    return found if zone is None else found.dt.tz_localize("UTC").dt.tz_convert(zone)


# name → cells, and whether every form can hold them: JSON has no dates, durations and decimals of
# its own, they go as text
DTYPES: dict[str, Callable[[], Any]] = {
    "int8": lambda: np.array(repeat([1, -2, 3]), dtype="int8"),
    "int64": lambda: np.array(repeat([BIG + 1, BIG + 2, -BIG - 1])),
    "uint64": lambda: np.array(repeat([2**64 - 1, 2**64 - 2, 0]), dtype="uint64"),
    "float16": lambda: np.array(repeat([0.5, 1.25, -2.0]), dtype="float16"),
    "float32": lambda: np.array(repeat([0.1, 1e-6, 1e6, -7.0]), dtype="float32"),
    "float64": lambda: np.array(repeat([0.1, 1.0, 1e-7, -0.0, 1e16])),
    "float64 with gaps": lambda: np.array(repeat([1.0, 2.0, np.nan])),
    "bool": lambda: np.array(repeat([True, False, False])),
    "str": lambda: pd.Series(repeat(["a", "b c", "é"]), dtype="str"),
    "object of numbers": lambda: pd.Series(repeat([1, 2.5, "x", None]), dtype=object),
    "object of whole numbers beyond 64 bits": lambda: pd.Series(
        repeat([10**30, 10**30 + 1, 3]), dtype=object
    ),
    "object of booleans with gaps": lambda: pd.Series(repeat([True, None, False]), dtype=object),
    "object of decimals": lambda: pd.Series(
        repeat([Decimal("1.10"), Decimal("2.50")]), dtype=object
    ),
    "object of days": lambda: pd.Series(
        repeat([dt.date(2026, 11, 23), dt.date(1969, 12, 31)]), dtype=object
    ),
    "object of times": lambda: pd.Series(
        repeat([dt.time(9, 30), dt.time(23, 59, 59)]), dtype=object
    ),
    "text of codes": lambda: pd.Series(repeat(["01", "1", "1.0"]), dtype="str"),
    "text of versions": lambda: pd.Series(repeat(["1.1", "1.10", "1.2"]), dtype="str"),
    "Int64": lambda: pd.array(repeat([BIG + 1, None, BIG + 3]), dtype="Int64"),
    "UInt64": lambda: pd.array(repeat([2**64 - 1, None, 2]), dtype="UInt64"),
    "Float32": lambda: pd.array(repeat([0.1, None, 2.0]), dtype="Float32"),
    "Float64": lambda: pd.array(repeat([0.1, None, 2.0]), dtype="Float64"),
    "boolean": lambda: pd.array(repeat([True, None, False]), dtype="boolean"),
    "string": lambda: pd.array(repeat(["a", None, "2"]), dtype="string"),
    "category of texts": lambda: pd.Categorical(repeat(["x", "y"])),
    "category of numbers": lambda: pd.Categorical(repeat([1.0, 2.0, 0.5])),
    "category of whole numbers": lambda: pd.Categorical(repeat([BIG + 1, BIG + 2])),
    "category of booleans": lambda: pd.Categorical(repeat([True, False])),
    "category of intervals": lambda: pd.cut(np.arange(ROWS) % 4, [-1, 1, 2, 4]),
    "interval": lambda: pd.arrays.IntervalArray.from_tuples(repeat([(0, 1), (1, 2)])),
    "period": lambda: pd.array(repeat(["2026-01", "2026-02"]), dtype="period[M]"),
    "timedelta64[ns]": lambda: pd.to_timedelta(repeat(["1h", "25h", "-1s"])),
    "datetime64[s]": lambda: moments("s"),
    "datetime64[ns]": lambda: moments("ns"),
    "datetime64[us, UTC]": lambda: moments("us", "UTC"),
    "datetime64[ns, Berlin]": lambda: moments("ns", "Europe/Berlin"),
    "Sparse[int64]": lambda: pd.arrays.SparseArray(repeat([0, 0, 1])),
    "arrow int16": lambda: arrow([1, 2, None], pa.int16()),
    "arrow uint64": lambda: arrow([2**64 - 1, 2**63, None], pa.uint64()),
    "arrow float": lambda: arrow([0.1, 2.0, None], pa.float32()),
    "arrow bool": lambda: arrow([True, False, None], pa.bool_()),
    "arrow string": lambda: arrow(["a", "b", None], pa.string()),
    "arrow large_string": lambda: arrow(["1", "2", None], pa.large_string()),
    "arrow decimal128": lambda: arrow([Decimal("1.10"), Decimal("2.50")], pa.decimal128(6, 2)),
    "arrow date32": lambda: arrow([dt.date(2026, 11, 23), dt.date(1969, 1, 1)], pa.date32()),
    "arrow timestamp[ms]": lambda: arrow(
        [dt.datetime(2026, 11, 23, 10), dt.datetime(1969, 1, 1)], pa.timestamp("ms")
    ),
    "arrow time64": lambda: arrow([dt.time(9, 30), dt.time(10, 0, 0, 5)], pa.time64("us")),
    "arrow dictionary": lambda: arrow(["a", "b"], pa.dictionary(pa.int32(), pa.string())),
}
SAMPLE = (
    "int64",
    "float64",
    "bool",
    "object of numbers",
    "text of codes",
    "Int64",
    "category of intervals",
    "datetime64[ns, Berlin]",
)
FORMS = ("csv", "jsonl", "parquet", "frame")


def table(name: str) -> pd.DataFrame:
    """The column, a number, and a target that depends on the column's value."""
    column = pd.Series(DTYPES[name]())
    texts = [str(value) for value in column]
    frame = pd.DataFrame({"c": column, "n": np.linspace(0, 1, ROWS)})
    frame["y"] = ["p" if text == texts[0] else "q" for text in texts]
    return frame


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date | dt.time) else values.spell(value)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def json_lines(frame: pd.DataFrame) -> str:
    """As `json.dumps` of Python's own objects writes them; NumPy's scalars and missing values
    become Python's.
    """
    lines = []
    for record in records(frame):
        plain = {
            name: None if values.is_missing(cell) else getattr(cell, "item", lambda c=cell: c)()
            for name, cell in record.items()
        }
        lines.append(json.dumps(plain, default=_json))
    return "\n".join(lines) + "\n"


def as_arrow(frame: pd.DataFrame) -> pa.Table | None:
    try:
        found = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, OverflowError):
        return None  # Parquet cannot hold such a column
    kinds = [
        kind.value_type if pa.types.is_dictionary(kind) else kind for kind in found.schema.types
    ]
    return (
        None
        if any(isinstance(kind, pa.BaseExtensionType) or pa.types.is_nested(kind) for kind in kinds)
        else found
    )


def write(frame: pd.DataFrame, form: str, folder: Path) -> Path | None:
    path = folder / f"table.{form}"
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "jsonl":
        path.write_text(json_lines(frame))
    else:
        found = as_arrow(frame)
        if found is None:
            return None
        pa.parquet.write_table(found, path)
    return path


def read(frame: pd.DataFrame, form: str, folder: Path, types: dict[str, Any]) -> Dataset | None:
    if form == "frame":
        return from_frame(frame, Data(source="frame", target="y", types=types), None)
    path = write(frame, form, folder)
    return (
        None
        if path is None
        else load(Data(source=path.name, target="y", types=types), None, folder)
    )


def train(dataset: Dataset) -> Predictor:
    """A tree: it answers differently for levels that differ, and its graph is small."""
    family = FAMILY.make({"family": "tree", "max_depth": 6}, "family")
    prepare = Prepare.model_validate({"features": {"category": "one_hot"}})
    candidate = Candidate("tree", "tree", family, prepare, Initialize(), Train())
    model = fit_model(candidate, dataset, Context(seed=0))
    return onnx_predictor(
        packed(model.export()), signature_of(model, dataset, Data(source="x").missing)
    )


def asked(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """The same rows in every form that a bundle takes."""
    forms: dict[str, Any] = {"frame": frame, "dicts": records(frame)}
    sink = io.StringIO()
    frame.to_csv(sink, index=False)
    forms["csv"] = list(csv_rows(io.StringIO(sink.getvalue(), newline=""), ",", "csv"))
    forms["json"] = [json.loads(line) for line in json_lines(frame).splitlines()]
    forms["columns"] = {name: [row[name] for row in forms["json"]] for name in frame.columns}
    path = write(frame, "parquet", folder)
    if path is not None:
        forms["parquet"] = list(Source.of(path).rows())
    return forms


def check(name: str, folder: Path, types: dict[str, Any]) -> int:
    """Trained from each form, all forms are answered alike. Returns how many were compared."""
    frame, compared = table(name), 0
    forms = asked(frame.drop(columns="y"), folder)
    for form in FORMS:
        dataset = read(frame, form, folder, types)
        if dataset is None or "c" not in dataset.table.columns:
            continue
        predictor = train(dataset)
        expected = None
        for sent, rows in forms.items():
            found = predictor.predict(rows)
            assert not any(each.unseen for each in found.unfamiliar), (
                f"trained from {form}, sent as {sent}"
            )
            answer = found.probabilities
            expected = answer if expected is None else expected
            np.testing.assert_array_equal(
                answer, expected, err_msg=f"trained from {form}, sent as {sent}"
            )
            compared += 1
    return compared


@pytest.mark.parametrize("name", SAMPLE)
def test_a_category_is_answered_alike_through_all_forms(name: str, tmp_path: Path) -> None:
    assert check(name, tmp_path, {"c": "category"}) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(DTYPES) - set(SAMPLE)))
def test_a_category_of_any_type_is_answered_alike_through_all_forms(
    name: str, tmp_path: Path
) -> None:
    assert check(name, tmp_path, {"c": "category"}) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DTYPES))
def test_a_column_of_any_type_is_answered_alike_through_all_forms(
    name: str, tmp_path: Path
) -> None:
    """As it is detected: numbers, dates and booleans as features."""
    assert check(name, tmp_path, {}) >= 10


CLASSES: dict[str, tuple[list[Any], list[Any]]] = {
    "whole numbers": ([0, 1], [0, 1]),
    "whole numbers as text": (["0", "1"], [0, 1]),
    "floats": ([1.0, 0.0], [0, 1]),
    "halves": ([0.5, 1.0], [0.5, 1.0]),
    "booleans": ([True, False], [False, True]),
    "texts": (["b", "a"], ["a", "b"]),
    "codes": (["01", "1"], ["01", "1"]),
    "versions": (["1.1", "1.10"], ["1.1", "1.10"]),
    "ids": ([BIG + 1, BIG + 2], [BIG + 1, BIG + 2]),
    "uint64": ([2**64 - 1, 2**64 - 2], [2**64 - 2, 2**64 - 1]),
}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_labels_answer_in_the_targets_own_type(name: str, tmp_path: Path) -> None:
    cells, classes = CLASSES[name]
    frame = pd.DataFrame(
        {"n": np.linspace(0, 1, ROWS) + np.arange(ROWS) % 2, "y": pd.Series(repeat(cells))}
    )
    for form in FORMS:
        dataset = read(frame, form, tmp_path, {"y": "category"})
        assert dataset is not None
        found = train(dataset).predict(frame)
        assert found.labels is not None
        assert sorted(set(found.labels.tolist())) == classes
        assert {type(label) for label in found.labels.tolist()} == {type(each) for each in classes}
        again = json.loads(json.dumps(found.records()))
        assert [row["label"] for row in again] == found.labels.tolist()
        assert set(again[0]["probability"]) == {str(each) for each in dataset.target.classes}


def test_texts_that_are_one_number_are_one_class_and_told(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"n": np.linspace(0, 1, ROWS), "y": pd.Series(repeat(["1", "1.0", "2"]), dtype="str")}
    )
    dataset = from_frame(frame, Data(source="frame", target="y"), "classification")
    assert dataset.target.classes == ("1", "2")
    assert (
        "'y': its classes are numbers, whichever way they are written ('1' and '1.0' are one)."
        in dataset.notes
    )


NAMES = st.text(string.ascii_letters + " _/.:é\n\"'0", min_size=1, max_size=8).filter(
    str.strip
) | st.sampled_from(
    [
        "label",
        "probability",
        "value",
        "input_value",
        "numbers",
        "categories",
        "rows",
        "/gather_1",
        "constant_1",
        "n",
    ]
)


@settings(deadline=None, max_examples=15)
@given(st.lists(NAMES, min_size=2, max_size=4, unique_by=str.strip))
def test_no_name_of_a_column_meets_another(names: list[str]) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.random(ROWS) for name in names})
    frame[names[-1]] = pd.Series(repeat(["a", "b", "c"]))
    target = frame[names[0]] > 0.5
    frame["the target"] = target.map({True: "p", False: "q"})
    dataset = from_frame(frame, Data(source="frame", target="the target"), None)
    predictor = train(dataset)
    answers = predictor.predict(frame)
    assert np.mean(np.asarray(answers.labels) == frame["the target"].to_numpy()) > 0.9
    np.testing.assert_array_equal(
        predictor.predict(records(frame)).probabilities, answers.probabilities
    )


def test_a_missing_token_that_is_a_number_is_missing_in_every_form(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"n": repeat([-9.0, 1.0, 2.0]), "c": repeat([-9, 5, 6, 7]), "y": repeat(["p", "q", "q"])}
    )
    data = {"target": "y", "missing": ("", "-9"), "types": {"c": "category"}}
    for form in FORMS:
        path = write(frame, form, tmp_path) if form != "frame" else None
        dataset = (
            from_frame(frame, Data(source="frame", **data), None)
            if path is None
            else load(Data(source=path.name, **data), None, tmp_path)
        )
        assert np.isnan(dataset.table.columns["n"].values).sum() == ROWS // 3 + 1
        assert (dataset.table.columns["c"].values < 0).sum() == ROWS // 4
