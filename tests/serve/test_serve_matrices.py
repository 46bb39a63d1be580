"""Tensors that hold all columns of a type: the same answers as a tensor a column, in JSON and as
bytes.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
import tiny_bundle

from sixfold.recipe.signature import Input, Signature
from sixfold.serve.errors import Refusal
from sixfold.serve.tensors import Inputs

SIZES = [[1.5, 2.0], [-8.0, 0.25]]
COLOURS = [["red"], ["café"]]


def tensor(name: str, rows: list[list[Any]], datatype: str, nested: bool = False) -> dict[str, Any]:
    data = rows if nested else [value for row in rows for value in row]
    return {"name": name, "shape": [len(rows), len(rows[0])], "datatype": datatype, "data": data}


@pytest.mark.parametrize("nested", [False, True])
def test_a_tensor_of_all_columns_of_a_type_is_those_columns(nested: bool) -> None:
    inputs = [
        tensor("numbers", SIZES, "FP64", nested),
        tensor("categories", COLOURS, "BYTES", nested),
    ]
    found = Inputs(tiny_bundle.signature()).columns({"inputs": inputs}, b"")
    assert found == {"size": [1.5, -8.0], "label": [2.0, 0.25], "colour": ["red", "café"]}


def test_their_values_may_come_as_bytes() -> None:
    numbers = np.array(SIZES, dtype="<f8").tobytes()
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"red", "café".encode()))
    inputs = [
        {"name": name, "shape": shape, "datatype": kind, "parameters": {"binary_data_size": size}}
        for name, shape, kind, size in (
            ("numbers", [2, 2], "FP64", len(numbers)),
            ("categories", [2, 1], "BYTES", len(texts)),
        )
    ]
    found = Inputs(tiny_bundle.signature()).columns({"inputs": inputs}, numbers + texts)
    assert found == {"size": [1.5, -8.0], "label": [2.0, 0.25], "colour": ["red", "café"]}


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        (
            [tensor("numbers", [[1.0, 2.0, 3.0]], "FP64")],
            "input 'numbers': expected the shape [rows, 2]; found [1, 3].",
        ),
        (
            [tensor("numbers", SIZES, "FP64"), tensor("size", [[1.0], [2.0]], "FP64")],
            "input 'size': expected each input once; found the same again.",
        ),
        (
            [tensor("numbers", SIZES, "FP64") | {"data": [1.0]}],
            "input 'numbers': expected 4 values, as its shape says; found 1.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(inputs: list[Any], error: str) -> None:
    with pytest.raises(Refusal) as caught:
        Inputs(tiny_bundle.signature()).columns({"inputs": json.loads(json.dumps(inputs))}, b"")
    assert str(caught.value).startswith(error)


def test_a_column_of_that_name_is_the_column() -> None:
    columns = (Input(name="numbers", type="number"), Input(name="size", type="number"))
    signature = Signature(task="regression", target=("y",), inputs=columns, outputs=(), missing=())
    one = tensor("numbers", [[1.0], [2.0]], "FP64")
    assert Inputs(signature).columns({"inputs": [one]}, b"") == {"numbers": [1.0, 2.0]}


VALUES = {"size": 1.5, "label": None, "new": True, "since": "2026-11-23", "colour": "red"}
TENSORS = [{"name": n, "shape": [1], "datatype": "BYTES", "data": [v]} for n, v in VALUES.items()]


def test_the_quick_way_for_one_row_gives_what_the_other_gives() -> None:
    inputs = Inputs(tiny_bundle.signature())
    head = {"inputs": [*TENSORS[:-1], TENSORS[-1] | {"shape": [1, 1]}]}
    assert [inputs.plain_row(head)] == [
        {name: values[0] for name, values in inputs.columns(head, b"").items()}
    ]


@pytest.mark.parametrize(
    "tensor",
    [
        {"shape": [1, 2]},
        {"shape": 1},
        {"shape": [2], "data": ["red", "red"]},
        {"data": [["red"]]},
        {"data": "r"},
        {"data": []},
        {"datatype": "WHAT"},
        {"name": "unknown"},
        {"name": ["a"]},
        {"name": "size"},
        {"parameters": {"binary_data_size": 3}},
    ],
)
def test_it_leaves_all_else_to_the_other(tensor: dict[str, Any]) -> None:
    assert (
        Inputs(tiny_bundle.signature()).plain_row({"inputs": [*TENSORS[:-1], TENSORS[-1] | tensor]})
        is None
    )


@pytest.mark.parametrize("inputs", [None, [], 5, [5], "text", [[]]])
def test_it_leaves_what_is_no_tensor_to_the_other(inputs: Any) -> None:
    assert Inputs(tiny_bundle.signature()).plain_row({"inputs": inputs}) is None
