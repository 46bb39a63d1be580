"""Tensors of the Open Inference Protocol, version 2: JSON data, or bytes after the JSON (binary tensors)."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.frontend import shorten, shown
from sixfold.bundle.predictions import Predictions, label_dtype
from sixfold.recipe.signature import Signature
from sixfold.serve.errors import bad_request

NUMBERS: Final[dict[str, str]] = {
    "BOOL": "?", "FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4", "INT16": "<i2", "INT8": "i1",
    "UINT64": "<u8", "UINT32": "<u4", "UINT16": "<u2", "UINT8": "u1",
}  # fmt: skip
LABELS: Final = {"O": "BYTES", "i": "INT64", "f": "FP64", "b": "BOOL"}  # NumPy's kind → datatype
DATATYPES: Final = (*NUMBERS, "BYTES")
REMEDY: Final = "See the Open Inference Protocol, version 2."


class Wanted(NamedTuple):
    """An output that a client asked for, and whether its values come as bytes."""

    name: str
    binary: bool


def columns_of(head: Mapping[str, Any], tail: bytes) -> dict[str, Sequence[Any]]:
    """Raw column → values, from the `inputs` of a request. Raises Refusal 400."""
    inputs = head.get("inputs")
    if not isinstance(inputs, list):
        raise bad_request("inputs", "a list of tensors", shown(inputs), REMEDY)
    columns: dict[str, Sequence[Any]] = {}
    start = 0
    for tensor in inputs:
        name, rows, datatype = _head_of(tensor)
        if name in columns:
            raise bad_request(f"input '{shorten(name)}'", "each input once", "the same again", REMEDY)
        size = _binary_size(tensor, name)
        values: Sequence[Any]
        if size is None:
            values = _json_values(tensor.get("data"), name)
        else:
            values = _binary_values(tail[start : start + size], size, datatype, name)
            start += size
        if len(values) != rows:
            raise bad_request(f"input '{shorten(name)}'", f"{rows} values, as its shape says", str(len(values)), REMEDY)
        columns[name] = values
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
            raise bad_request("outputs", f"names out of {', '.join(names)}", shown(name), "GET the model's metadata.")
        own = output.get("parameters")
        binary = own.get("binary_data", all_binary) if isinstance(own, dict) else all_binary
        found.append(Wanted(str(name), binary is True))
    return found


def answer(
    predictions: Predictions, outputs: Sequence[Wanted], model: str, request_id: Any
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON part when bytes follow it."""
    tensors: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name, binary in outputs:
        array = predictions.labels if name == "label" else predictions.outputs[name]
        assert array is not None
        shape = [len(array), 1] if name == "label" else list(array.shape)
        tensor: dict[str, Any] = {"name": name, "datatype": LABELS[array.dtype.kind], "shape": shape}
        if binary:
            tail.append(_bytes_of(array))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = [value if value == value else None for value in array.reshape(-1).tolist()]
        tensors.append(tensor)
    facts = {"model_name": model, "model_version": "1", "outputs": tensors}
    if isinstance(request_id, str):
        facts["id"] = request_id
    head = json.dumps(facts, separators=(",", ":")).encode()
    return b"".join([head, *tail]), len(head) if tail else None


def metadata(signature: Signature, model: str) -> dict[str, Any]:
    """The model's metadata: tensors are [rows, columns]; -1 is any number of rows."""
    types = {"category": "BYTES", "boolean": "BOOL", "date": "BYTES", "number": "FP64"}
    return {
        "name": model, "versions": ["1"], "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": column.name, "datatype": types[column.type], "shape": [-1, 1]}
            for column in signature.inputs
        ],
        "outputs": [
            {
                "name": output.name,
                "datatype": LABELS[label_dtype(signature).kind] if output.name == "label" else "FP64",
                "shape": [-1, 1 if output.name == "label" else len(output.columns)],
            }
            for output in signature.outputs
        ],
    }  # fmt: skip


def _head_of(tensor: Any) -> tuple[str, int, str]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise bad_request("inputs", "tensors with a name", shown(tensor), REMEDY)
    where = f"input '{shorten(tensor['name'])}'"
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    if datatype not in DATATYPES:
        raise bad_request(where, f"a datatype out of {', '.join(DATATYPES)}", shown(datatype), REMEDY)
    if not isinstance(shape, list) or not _is_column(shape):
        raise bad_request(where, "the shape [rows] or [rows, 1]", shown(shape), REMEDY)
    return tensor["name"], shape[0], datatype


def _is_column(shape: list[Any]) -> bool:
    whole = all(type(n) is int and n >= 0 for n in shape)
    return whole and len(shape) in (1, 2) and shape[1:] in ([], [1])


def _binary_size(tensor: Mapping[str, Any], name: str) -> int | None:
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and (type(size) is not int or size < 0 or "data" in tensor):
        raise bad_request(f"input '{shorten(name)}'", "data, or binary_data_size as a number", shown(size), REMEDY)
    return size


def _json_values(data: Any, name: str) -> list[Any]:
    if not isinstance(data, list):
        raise bad_request(f"input '{shorten(name)}'", "data as a list", shown(data), REMEDY)
    if data and all(isinstance(item, list) and len(item) == 1 for item in data):
        return [item[0] for item in data]
    return data


def _binary_values(content: bytes, size: int, datatype: str, name: str) -> Sequence[Any]:
    where = f"input '{shorten(name)}'"
    if len(content) != size:
        raise bad_request(where, f"{size} bytes after the JSON", f"{len(content)} bytes", REMEDY)
    if datatype == "BYTES":
        return _strings(content, where)
    dtype = np.dtype(NUMBERS[datatype])
    if size % dtype.itemsize:
        raise bad_request(where, f"a multiple of {dtype.itemsize} bytes", f"{size} bytes", REMEDY)
    values: list[Any] = np.frombuffer(content, dtype).tolist()
    return values


def _strings(content: bytes, where: str) -> list[str]:
    """Each string after its length in four bytes, the lowest first."""
    strings: list[str] = []
    position = 0
    while position < len(content):
        end = position + 4
        length = struct.unpack_from("<I", content, position)[0] if end <= len(content) else len(content)
        if end + length > len(content):
            raise bad_request(where, "strings after their lengths", "bytes that end too early", REMEDY)
        try:
            strings.append(content[end : end + length].decode())
        except UnicodeDecodeError:
            raise bad_request(where, "strings in UTF-8", "other bytes", REMEDY) from None
        position = end + length
    return strings


def _bytes_of(array: npt.NDArray[Any]) -> bytes:
    if array.dtype != object:
        return np.ascontiguousarray(array, dtype=NUMBERS[LABELS[array.dtype.kind]]).tobytes()
    encoded = [str(value).encode() for value in array.reshape(-1)]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
