"""Tensors of the Open Inference Protocol, version 2: JSON data, or bytes after the JSON (binary
tensors).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt

from sixfold.bundle.frontend import most_columns, shorten, shown
from sixfold.bundle.predictions import Predictions, label_dtype
from sixfold.recipe.signature import NAMED, Output, Signature
from sixfold.serve.errors import Refusal, bad_request, to_json

NUMBERS: Final[dict[str, str]] = {
    "BOOL": "?",
    "FP64": "<f8",
    "FP32": "<f4",
    "INT64": "<i8",
    "INT32": "<i4",
    "INT16": "<i2",
    "INT8": "i1",
    "UINT64": "<u8",
    "UINT32": "<u4",
    "UINT16": "<u2",
    "UINT8": "u1",
}
LABELS: Final = {"O": "BYTES", "i": "INT64", "f": "FP64", "b": "BOOL"}  # NumPy's kind → datatype
DATATYPES: Final = (*NUMBERS, "BYTES")
MATRICES: Final[dict[str, str]] = {"numbers": "number", "categories": "category"}
ONE: Final = ([1, 1], [1])  # shapes of one value
REMEDY: Final = "See the Open Inference Protocol, version 2."


class Wanted(NamedTuple):
    """An output that a client asked for, and whether its values come as bytes."""

    name: str
    binary: bool


class Inputs:
    """Which raw columns a tensor of a request holds: one, or all of a type, in the signature's
    order.

    `matrices`: `numbers` and `categories`, unless a column has that name. `max_rows`: that a shape
    may have.
    """

    def __init__(self, signature: Signature, max_rows: int | None = None) -> None:
        self.max_rows, self.max_tensors = max_rows, most_columns(signature)
        self.names = frozenset(column.name for column in signature.inputs)
        columns = {
            kind: tuple(c.name for c in signature.inputs if c.type == kind)
            for kind in MATRICES.values()
        }
        self.matrices = {
            name: columns[kind]
            for name, kind in MATRICES.items()
            if columns[kind] and name not in self.names
        }

    def plain_row(self, head: Mapping[str, Any]) -> dict[str, Any] | None:
        """One row that comes as one plain value a column; None where `columns` has to look. Nothing
        is refused here.
        """
        row: dict[str, Any] = {}
        inputs = head.get("inputs")
        try:
            for tensor in inputs or ():
                name, data = tensor["name"], tensor["data"]
                if (
                    name not in self.names
                    or tensor["shape"] not in ONE
                    or tensor["datatype"] not in DATATYPES
                    or "parameters" in tensor
                ):
                    return None
                if type(data) is not list or len(data) != 1 or isinstance(data[0], list):
                    return None
                row[name] = data[0]
        except (KeyError, TypeError):
            return None
        return row if row and len(row) == len(head["inputs"]) else None

    def columns(
        self, head: Mapping[str, Any], tail: bytes | memoryview
    ) -> dict[str, Sequence[Any]]:
        """Raw column → values, from the `inputs` of a request. Raises Refusal 400."""
        inputs = head.get("inputs")
        if not isinstance(inputs, list):
            raise bad_request("inputs", "a list of tensors", shown(inputs), REMEDY)
        if len(inputs) > self.max_tensors:
            raise bad_request(
                "inputs", f"at most {self.max_tensors} tensors", f"{len(inputs):,}", REMEDY
            )
        columns: dict[str, Sequence[Any]] = {}
        tail = memoryview(tail)
        start = 0
        for tensor in inputs:
            name, datatype = _head_of(tensor)
            names = self.matrices.get(name) or (name,)
            rows = _rows(tensor, name, len(names), self.max_rows)
            values, size = _values(
                tensor, tail[start:], TensorHead(name, datatype, rows, len(names))
            )
            start += size
            for at, column in enumerate(names):
                if column in columns:
                    raise bad_request(_input(name), "each input once", "the same again", REMEDY)
                columns[column] = values[at :: len(names)] if len(names) > 1 else values
        if start != len(tail):
            raise bad_request("the body", f"{start} bytes after the JSON", str(len(tail)), REMEDY)
        return columns


def wanted(head: Mapping[str, Any], signature: Signature) -> list[Wanted]:
    """The outputs that the request names, or all. Raises Refusal 400."""
    parameters = head.get("parameters")
    all_binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    names = [str(output.name) for output in signature.outputs]
    asked = head.get("outputs") or [{"name": name} for name in names]
    if not isinstance(asked, list):
        raise bad_request("outputs", "a list", shown(asked), REMEDY)
    found: list[Wanted] = []
    for output in asked:
        name = output.get("name") if isinstance(output, dict) else None
        if name not in names:
            raise bad_request(
                "outputs",
                f"names out of {', '.join(names)}",
                shown(name),
                "GET the model's metadata.",
            )
        own = output.get("parameters")
        binary = own.get("binary_data", all_binary) if isinstance(own, dict) else all_binary
        found.append(Wanted(str(name), binary is True))
    return found


def answer(
    predictions: Predictions, outputs: Sequence[Wanted], model: str, request_id: Any
) -> tuple[str, list[bytes]]:
    """The JSON of an answer, and the bytes that follow it."""
    tensors: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name, binary in outputs:
        array = predictions.labels if name == "label" else predictions.outputs[name]
        assert array is not None
        shape = [len(array), 1] if name in NAMED else list(array.shape)
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": LABELS[array.dtype.kind],
            "shape": shape,
        }
        if binary:
            tail.append(_bytes_of(array))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = array.reshape(-1).tolist()
        tensors.append(tensor)
    facts = {"model_name": model, "model_version": "1", "outputs": tensors}
    if isinstance(request_id, str):
        facts["id"] = request_id
    return to_json(facts), tail


def _datatype(output: Output, signature: Signature) -> str:
    """Labels are of the target's own type, other names are texts."""
    if output.name == "label":
        return LABELS[label_dtype(signature).kind]
    return "BYTES" if output.name in NAMED else "FP64"


def metadata(signature: Signature, model: str) -> dict[str, Any]:
    """The model's metadata: tensors are [rows, columns]; -1 is any number of rows."""
    types = {
        "boolean": "BOOL",
        "number": "FP64",
    }
    return {
        "name": model,
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": column.name, "datatype": types.get(column.type, "BYTES"), "shape": [-1, 1]}
            for column in signature.inputs
        ],
        "outputs": [
            {
                "name": output.name,
                "datatype": _datatype(output, signature),
                "shape": [-1, 1 if output.name in NAMED else len(output.columns)],
            }
            for output in signature.outputs
        ],
    }


@dataclass(frozen=True)
class TensorHead:
    """What a tensor says of itself; `width`: columns."""

    name: str
    datatype: str
    rows: int
    width: int

    @property
    def count(self) -> int:
        """Values that it must have."""
        return self.rows * self.width


def _input(name: str) -> str:
    return f"input '{shorten(name)}'"


def _head_of(tensor: Any) -> tuple[str, str]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise bad_request("inputs", "tensors with a name", shown(tensor), REMEDY)
    datatype = tensor.get("datatype")
    if datatype not in DATATYPES:
        expected = f"a datatype out of {', '.join(DATATYPES)}"
        raise bad_request(_input(tensor["name"]), expected, shown(datatype), REMEDY)
    return tensor["name"], datatype


def _rows(tensor: Mapping[str, Any], name: str, width: int, most: int | None) -> int:
    """The number of rows by the shape. Raises Refusal 400 or 413."""
    shape = tensor.get("shape")
    if not _fits(shape, width):
        expected = "the shape [rows] or [rows, 1]" if width == 1 else f"the shape [rows, {width}]"
        raise bad_request(_input(name), expected, shown(shape), REMEDY)
    if most is not None and shape[0] > most:
        raise Refusal(
            413,
            _input(name),
            f"at most {most:,} rows",
            f"{shape[0]:,}",
            "Send them in several requests.",
        )
    return shape[0]


def _values(
    tensor: Mapping[str, Any], tail: memoryview, head: TensorHead
) -> tuple[Sequence[Any], int]:
    """The values of a tensor, row by row; and the bytes they took of `tail`."""
    size = _binary_size(tensor, head.name)
    if size is None:
        values: Sequence[Any] = _json_values(tensor.get("data"), head.name, head.width)
    else:
        values = _bytes_values(tail[:size], size, head)
    if len(values) != head.count:
        raise bad_request(
            _input(head.name), f"{head.count} values, as its shape says", str(len(values)), REMEDY
        )
    return values, size or 0


def _fits(shape: Any, width: int) -> TypeGuard[list[int]]:
    if not isinstance(shape, list) or any(type(size) is not int for size in shape):
        return False
    return (
        shape[1:] == [width] and shape[0] >= 0
        if len(shape) == 2
        else len(shape) == width == 1 and shape[0] >= 0
    )


def _binary_size(tensor: Mapping[str, Any], name: str) -> int | None:
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and (type(size) is not int or size < 0 or "data" in tensor):
        raise bad_request(
            _input(name), "data, or binary_data_size as a number", shown(size), REMEDY
        )
    return size


def _json_values(data: Any, name: str, width: int) -> list[Any]:
    """Flat, or a list a row."""
    if not isinstance(data, list):
        raise bad_request(_input(name), "data as a list", shown(data), REMEDY)
    if (
        data
        and isinstance(data[0], list)
        and all(isinstance(item, list) and len(item) == width for item in data)
    ):
        return [value for item in data for value in item]
    return data


def _bytes_values(content: memoryview, size: int, head: TensorHead) -> Sequence[Any]:
    """`size`: of the bytes that there should be."""
    where, count, datatype = _input(head.name), head.count, head.datatype
    if len(content) != size:
        raise bad_request(where, f"{size} bytes after the JSON", f"{len(content)} bytes", REMEDY)
    if datatype == "BYTES":
        return _strings(content, where, count)
    dtype = np.dtype(NUMBERS[datatype])
    if size % dtype.itemsize:
        raise bad_request(where, f"a multiple of {dtype.itemsize} bytes", f"{size} bytes", REMEDY)
    if size != count * dtype.itemsize:
        raise bad_request(
            where, f"{count} values, as its shape says", f"{size // dtype.itemsize}", REMEDY
        )
    values: list[Any] = np.frombuffer(content, dtype).tolist()
    return values


def _strings(content: memoryview, where: str, most: int) -> list[str]:
    """Each string after its length in four bytes, the lowest first; one more than `most` is too
    many already.
    """
    strings: list[str] = []
    position = 0
    while position < len(content) and len(strings) <= most:
        end = position + 4
        length = (
            struct.unpack_from("<I", content, position)[0] if end <= len(content) else len(content)
        )
        if end + length > len(content):
            raise bad_request(
                where, "strings after their lengths", "bytes that end too early", REMEDY
            )
        try:
            strings.append(str(content[end : end + length], "utf-8"))
        except UnicodeDecodeError:
            raise bad_request(where, "strings in UTF-8", "other bytes", REMEDY) from None
        position = end + length
    return strings


def _bytes_of(array: npt.NDArray[Any]) -> bytes:
    if array.dtype != object:
        return np.ascontiguousarray(array, dtype=NUMBERS[LABELS[array.dtype.kind]]).tobytes()
    encoded = [str(value).encode() for value in array.reshape(-1)]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
