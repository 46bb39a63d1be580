"""One row of plain numbers takes a shorter way to the same answers; every other row, and every bad
one, the long one.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.bundle.frontend import FrontEnd
from sixfold.bundle.predictor import Predictor
from sixfold.bundle.runtimes.onnx import onnx_predictor
from sixfold.core.errors import RowError
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.raw_inputs import RawInputs
from sixfold.recipe.signature import Input, Output, Signature

NAMES = ("a", "label", "c d")  # one of them is the name of an output


def predictor(
    kinds: tuple[Any, ...] = ("number",) * 3, names: tuple[str, ...] = NAMES
) -> Predictor:
    """Σ number · its position, with NaN as 0.5; a label, a probability."""
    graph = Graph()
    x = RawInputs(graph, names, ()).take(names)
    x = graph.op("Where", graph.op("IsNaN", x), graph.constant(np.array(0.5)), x)
    total = graph.op("MatMul", x, graph.constant(np.arange(1.0, len(names) + 1)[:, None]))
    p = graph.op("Sigmoid", total)
    both = graph.concat([graph.op("Sub", graph.constant(np.array(1.0)), p), p])
    classes = graph.constant(np.array(["low", "high, é"], dtype=object))
    label = graph.op("Gather", classes, graph.op("ArgMax", both, axis=1, keepdims=1))
    graph.output("label", label, TensorProto.STRING, ["rows", 1])
    graph.output("probability", both, TensorProto.DOUBLE, ["rows", 2])
    signature = Signature(
        task="classification",
        target=("y",),
        classes=("low", "high, é"),
        missing=("", "-1"),
        inputs=tuple(Input(name=name, type=kind) for name, kind in zip(names, kinds, strict=True)),
        outputs=(
            Output(name="label", columns=("y",)),
            Output(name="probability", columns=("low", "high, é")),
        ),
    )
    return onnx_predictor(graph.model().SerializeToString(), signature)


def slow(one: Predictor, rows: Any) -> Any:
    """The twin: cell by cell, and `session.run`."""
    columns = {name: [row[name] for row in rows] for name in NAMES}
    return one.run(one.front_end.from_columns(columns, "ignore")).outputs


def row(*values: Any) -> dict[str, Any]:
    return dict(zip(NAMES, values, strict=True))


PLAIN_ROWS = [
    row(1.5, -2.0, 0.25),
    row(3, 0, -7),
    row(float("nan"), 1, None),
    row(-0.0, 1e308, -1e308),
    row(2**70, 5e-324, 1),
    row(9_007_199_254_740_993, -1, 0.1),
]
OTHER_ROWS = [row("1.5", 2.0, 3.0), row(np.float32(0.1), 1, 1), row("", "-1", " 7 ")]


@pytest.mark.parametrize("asked", PLAIN_ROWS)
def test_a_plain_row_gets_the_answers_of_the_long_way_bit_by_bit(asked: dict[str, Any]) -> None:
    one = predictor()
    assert one.front_end.plain_row([asked]) is not None
    for expected in (slow(one, [asked]), one.run(one.front_end.feeds([asked])).outputs):
        for name, found in one.predict([asked]).outputs.items():
            assert (found.dtype, found.shape) == (expected[name].dtype, expected[name].shape)
            np.testing.assert_array_equal(found, expected[name])


@pytest.mark.parametrize("asked", OTHER_ROWS)
def test_any_other_row_takes_the_long_way(asked: dict[str, Any]) -> None:
    one = predictor()
    assert one.front_end.plain_row([asked]) is None
    for name, found in one.predict([asked]).outputs.items():
        np.testing.assert_array_equal(found, slow(one, [asked])[name])


def test_many_rows_of_numbers_are_the_rows_cell_by_cell() -> None:
    one = predictor()
    for rows in (PLAIN_ROWS, [*PLAIN_ROWS, *OTHER_ROWS], PLAIN_ROWS[:2]):
        for name, found in one.predict(rows).outputs.items():
            np.testing.assert_array_equal(found, slow(one, rows)[name])


def test_earlier_answers_are_not_written_over() -> None:
    one = predictor()
    first = one.predict([row(50.0, 0.0, 0.0)])
    kept = {name: array.copy() for name, array in first.outputs.items()}
    second = one.predict([row(-50.0, 0.0, 0.0)])
    assert (first.labels[0], second.labels[0]) == ("high, é", "low")  # type: ignore[index]
    for name, array in first.outputs.items():
        np.testing.assert_array_equal(array, kept[name])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (row(float("inf"), 1.0, 1.0), ("row 1, column 'a'", "a finite number")),
        (row(1.0, -float("inf"), 1.0), ("row 1, column 'label'", "a finite number")),
        (row(1.0, 1.0, 10**400), ("row 1, column 'c d'", "a number")),
        (row(True, 1.0, 1.0), ("row 1, column 'a'", "a number")),
        ({"a": 1.0, "label": 2.0}, ("row 1, column 'c d'", "the column 'c d'")),
        ([1.0, 2.0, 3.0], ("row 1", "a mapping of column to value")),
    ],
)
def test_a_bad_row_is_told_as_ever(asked: Any, expected: tuple[str, str]) -> None:
    with pytest.raises(RowError) as caught:
        predictor().predict([asked])
    assert (caught.value.where, caught.value.expected) == expected


def test_other_columns_are_passed_over_or_refused() -> None:
    one, asked = predictor(), {**row(1.0, 2.0, 3.0), "id": "x", "y": "low"}
    np.testing.assert_array_equal(
        one.predict([asked]).probabilities, slow(one, [asked])["probability"]
    )
    with pytest.raises(RowError, match="the unknown column 'id'"):
        one.predict([asked], extra="refuse")
    del asked["id"]  # the target may stand there
    assert one.front_end.plain_row([asked], "refuse") is None
    assert len(one.predict([asked], extra="refuse")) == 1


def test_columns_that_are_no_numbers_are_never_read_as_numbers() -> None:
    one = predictor(("number", "boolean", "date"))
    assert one.front_end.plain_row([row(1.0, 1.0, 5.0)]) is None
    with pytest.raises(RowError) as caught:
        one.predict([row(1.0, 2, 5.0)])
    assert caught.value.where == "row 1, column 'label'"


def test_a_single_column() -> None:
    one = predictor(("number",), ("a",))
    expected = one.run(one.front_end.from_columns({"a": [0.75]}, "ignore")).outputs["probability"]
    np.testing.assert_array_equal(one.predict([{"a": 0.75}]).probabilities, expected)


def test_threads_do_not_see_each_others_rows() -> None:
    one, wrong = predictor(), []
    rows = [row(0.01 * number, -0.02 * number, 0.5) for number in range(40)]
    expected = [slow(one, [each])["probability"] for each in rows]

    def ask(start: int) -> None:
        for turn in range(400):
            at = (start * 7 + turn) % len(rows)
            if not np.array_equal(one.predict([rows[at]]).outputs["probability"], expected[at]):
                wrong.append(at)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


KINDS = {
    "n": "number",
    "value": "number",
    "c": "category",
    "probability": "category",
    "b": "boolean",
}
NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.none(),
    st.sampled_from(["1.5", "", "x", True, 10**400, -(2**63), "-1"]),
)
ODD_TEXTS = [
    "red",
    " red\t",
    "",
    "-1",
    " -1 ",
    "café",
    "\ud800",
    "a\x00b",
    None,
    3,
    2.5,
    True,
    b"x",
]
TEXTS = st.one_of(st.text(max_size=3), st.sampled_from(ODD_TEXTS))
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "number": NUMBERS,
    "category": TEXTS,
    "boolean": st.sampled_from([0, 1.0, "yes"]),
}


def told(read: Any) -> Any:
    """What was read, or what was said instead."""
    try:
        return {
            name: (array.dtype, array.shape, repr(array.tolist())) for name, array in read().items()
        }
    except RowError as error:
        return str(error)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({name: CELLS[kind] for name, kind in KINDS.items()}),
        min_size=1,
        max_size=4,
    )
)
def test_rows_are_read_as_their_columns_cell_by_cell(rows: list[dict[str, Any]]) -> None:
    inputs: Any = tuple(Input(name=name, type=kind) for name, kind in KINDS.items())
    outputs = (Output(name="value", columns=("y",)),)
    front_end = FrontEnd(
        Signature(
            task="regression", target=("y",), inputs=inputs, outputs=outputs, missing=("", "-1")
        )
    )
    columns = {name: [each[name] for each in rows] for name in KINDS}
    assert told(lambda: front_end.feeds(rows)) == told(
        lambda: front_end.from_columns(columns, "ignore")
    )
