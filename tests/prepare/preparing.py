"""What the tests of preparation share: tables with gaps, and the graph's answer to a table or to a
block of values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import onnx_reference
from sixfold.parts import state
from sixfold.parts.fit import Matrix
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import Column, IntArray, Table, Target, Task
from sixfold.prepare.preparer import Preparer

NAN = float("nan")
Array = np.ndarray[Any, Any]
TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}


def category(strings: list[str], levels: tuple[str, ...] | None = None) -> Column:
    """'' is missing; `levels` may hold more than occurs, in any order."""
    known = tuple(dict.fromkeys(text for text in strings if text)) if levels is None else levels
    codes = [known.index(text) if text else -1 for text in strings]
    return Column("category", np.array(codes, dtype=np.int32), known)


def number(values: Any) -> Column:
    return Column("number", np.asarray(values, dtype=np.float64))


def mixed_columns(rows: int, seed: int = 0) -> dict[str, Column]:
    """Numbers (one skewed, one without gaps), a boolean, a date, two categories (one with rare
    levels), an identifier.
    """
    rng = np.random.default_rng(seed)

    def gaps(values: Any, share: float = 0.1) -> Array:
        return np.where(rng.random(rows) < share, NAN, values)

    base = rng.normal(size=rows)
    letters = [chr(ord("a") + int(i)) for i in np.minimum(rng.geometric(0.4, rows) - 1, 7)]
    towns = [("Bern", "Graz", "Riga", "")[i] for i in rng.integers(0, 4, rows)]
    return {
        "height": number(gaps(base)),
        "income": number(gaps(np.exp(base + rng.normal(size=rows)))),
        "letter": category(letters),
        "new": Column("boolean", gaps(rng.integers(0, 2, rows))),
        "since": Column("date", gaps(rng.integers(-(10**9), 2 * 10**9, rows))),
        "town": category(towns),
        "weight": number(base * 2 + rng.normal(size=rows)),
        "id": Column(
            "identifier", np.arange(rows, dtype=np.int32), tuple(f"r{i}" for i in range(rows))
        ),
    }


def mixed(rows: int = 160, seed: int = 0) -> Table:
    return Table(mixed_columns(rows, seed), rows)


def target(
    rows: int = 160, task: Task = "classification", seed: int = 1, classes: int = 2
) -> Target:
    rng = np.random.default_rng(seed)
    if task == "classification":
        return Target(
            task,
            rng.integers(0, classes, rows),
            ("y",),
            tuple(f"class {i}" for i in range(classes)),
        )
    if task == "regression":
        return Target(task, rng.normal(size=rows), ("y",))
    return Target(task, rng.normal(size=(rows, 3)), ("p", "q", "r"))


def at(table: Table, *rows: int) -> Table:
    return table.take(np.array(rows, dtype=np.int64))


def saved(thing: State, folder: Path) -> tuple[bytes, bytes]:
    """The bytes of a state on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    state.save(thing, folder)
    return (folder / "state.json").read_bytes(), (folder / "state.safetensors").read_bytes()


def ask_step(step: Any, x: Array) -> Array:
    """The graph of one step, on a block of values."""
    graph = Graph()
    result = step.export(graph, graph.input("x", TYPES[x.dtype.name], x.shape[1]))
    width = step.transform(x[:1]).shape[1]
    kind = "int64" if step.transform(x[:1]).dtype.kind == "i" else "float64"
    graph.output("y", result, TYPES[kind], ["rows", width])
    return np.asarray(session(graph, {"x": x}).run(None, {"x": x})[0])


def ask(preparer: Preparer, table: Table) -> Matrix:
    """The preparer's graph, on raw columns."""
    graph = Graph()
    graph.output(
        "y",
        exported(preparer, graph),
        TYPES[preparer.precision],
        ["rows", len(preparer.feature_names)],
    )
    feeds = feed(preparer, table)
    return np.asarray(session(graph, feeds).run(None, feeds)[0])


def exported(preparer: Preparer, graph: Graph) -> str:
    return preparer.export(graph, RawInputs(graph, preparer.inputs, preparer.categories))


def feed(preparer: Preparer, table: Table) -> dict[str, Array]:
    found: dict[str, list[Any]] = {}
    for name in preparer.inputs:
        column = table.columns[name]
        text = column.kind == "category"
        held: Any = np.array(column.strings(), dtype=object) if text else column.values
        found.setdefault("categories" if text else "numbers", []).append(held)
    return {name: np.stack(columns, axis=1) for name, columns in found.items()}


def nodes(preparer: Preparer) -> int:
    graph = Graph()
    graph.output(
        "y",
        exported(preparer, graph),
        TYPES[preparer.precision],
        ["rows", len(preparer.feature_names)],
    )
    return len(graph.model().graph.node)


def session(graph: Graph, feeds: dict[str, Any]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    few = {name: values[:3] for name, values in feeds.items()}
    return onnxruntime.InferenceSession(onnx_reference.checked(graph.model(), few), options)


def codes(rows: int, levels: int, seed: int = 0, missing: bool = True) -> IntArray:
    """Skewed codes: the later, the rarer; -1 is missing."""
    drawn = np.minimum(np.random.default_rng(seed).geometric(0.35, (rows, 2)) - 1, levels - 1)
    drawn[:levels, 0] = np.arange(levels)
    if missing:
        drawn[-3:, 1] = -1
    return drawn.astype(np.int64)
