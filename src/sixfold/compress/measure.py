"""What a model costs: bytes, latency and memory of its ONNX file in onnxruntime on one thread."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from sixfold.bundle.image_inputs import ImageEncoder, image_inputs
from sixfold.bundle.texts import encoder_of, text_inputs
from sixfold.core.errors import SystemFault
from sixfold.parts.image_column import contents
from sixfold.parts.table import Column, Table
from sixfold.recipe.receipt import Cost
from sixfold.recipe.signature import CATEGORIES, NUMBERS

BATCHES = (1, 64)
RUNS = 400  # of each model and batch, in turn with the other model
LEAST_RUNS = 6
WARM_RUNS = 20
MOST_S = 2.0  # a batch of a slow model ends earlier
Feeds = dict[str, Any]
PROBE = Path(__file__).with_name("memory_probe.py")


def feeds(model: bytes, table: Table, rows: int) -> Feeds:
    """The inputs that `model` asks for, from the first rows of `table` (repeated when there are fewer)."""
    some = table.take(np.arange(rows) % table.rows).columns
    wanted = described(model)
    arrays: Feeds = {}
    if NUMBERS in wanted:
        arrays[NUMBERS] = np.stack([some[name].values for name in wanted[NUMBERS]], axis=1)
    if CATEGORIES in wanted:
        texts = [np.array(some[name].strings(), dtype=object) for name in wanted[CATEGORIES]]
        arrays[CATEGORIES] = np.stack(texts, axis=1)
    for name, encoder in encoders(model).items():
        arrays[name] = encoder.encode(_raw(some[wanted[name][0]]))
    return arrays


def _raw(column: Column) -> list[Any]:
    """Texts, or the bytes of images."""
    return contents(column) if column.kind == "image" else column.strings()


def encoders(model: bytes) -> dict[str, Any]:
    """What makes the inputs of the graph that are of columns of text or images."""
    props = {prop.key: prop.value for prop in onnx.load_from_string(model).metadata_props}
    texts: dict[str, Any] = {each.name: encoder_of(each) for each in text_inputs(props)}
    return texts | {each.name: ImageEncoder(each) for each in image_inputs(props)}


def described(model: bytes) -> dict[str, list[str]]:
    """Of each input of the graph, the raw columns that it holds."""
    props = {prop.key: prop.value for prop in onnx.load_from_string(model).metadata_props}
    made = {each.name: [each.column] for each in text_inputs(props)}
    made |= {each.name: [each.column] for each in image_inputs(props)}
    return {**{key: json.loads(value) for key, value in props.items() if key not in made}, **made}


def compare(before: bytes, after: bytes, table: Table, most_s: float = math.inf) -> tuple[Cost, Cost]:
    """The costs of two models, timed in turn for about `most_s`; of the same one, its own twice. `table`: raw rows to ask
    with.
    """
    if before == after:
        return (own := cost(before, table, most_s)), own
    first, second = _costs((before, after), table, most_s)
    return first, second


def cost(model: bytes, table: Table, most_s: float = math.inf) -> Cost:
    """The costs of one model."""
    return _costs((model,), table, most_s)[0]


def _costs(models: Sequence[bytes], table: Table, most_s: float) -> list[Cost]:
    times = {batch: _interleaved(models, table, batch, most_s / len(BATCHES)) for batch in BATCHES}
    costs = []
    for number, model in enumerate(models):
        columns = len({column for columns in described(model).values() for column in columns})
        p50, p99 = ({batch: float(np.percentile(times[batch][number], q)) * 1e3 for batch in BATCHES} for q in (50, 99))
        costs.append(
            Cost(
                file_bytes=len(model),
                parameters=parameters(model),
                inputs=columns,
                p50_1_ms=p50[1],
                p99_1_ms=p99[1],
                p50_64_ms=p50[64],
                p99_64_ms=p99[64],
                peak_memory_bytes=peak_memory(model, table),
            )
        )
    return costs


def parameters(model: bytes) -> int:
    """Numbers stored in the graph: initializers, and the weights and thresholds of tree ensembles."""
    graph = onnx.load_from_string(model).graph
    stored = sum(
        int(np.prod(tensor.dims)) for tensor in graph.initializer if tensor.data_type != onnx.TensorProto.STRING
    )
    tensors = ("nodes_splits", "leaf_weights")
    return stored + sum(int(np.prod(a.t.dims)) for node in graph.node for a in node.attribute if a.name in tensors)


def median_ms(first: bytes, second: bytes, table: Table, batch: int, most_s: float = math.inf) -> tuple[float, float]:
    """p50 of both, timed in turn for about `most_s`, in milliseconds."""
    took = _interleaved((first, second), table, batch, most_s)
    return float(np.median(took[0])) * 1e3, float(np.median(took[1])) * 1e3


def _interleaved(models: Sequence[bytes], table: Table, batch: int, most_s: float) -> list[list[float]]:
    """Seconds of every run of each model; they take turns, for `most_s` or MOST_S, whichever is less; LEAST_RUNS in any case.

    Of two equal graphs the one whose session is made second came out 0.2 to 2% faster here, whoever's turn is first.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    work: list[tuple[Callable[[], Any], list[float]]] = []
    most_s, begun = min(MOST_S, most_s), time.perf_counter()
    for model in models:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        ask = _asking(session, model, table, batch)
        for warming in range(WARM_RUNS):
            ask()
            if warming and time.perf_counter() - begun >= most_s / 2:
                break
        work.append((ask, []))
    end = max(time.perf_counter(), min(time.perf_counter() + MOST_S, begun + most_s))
    for run in range(RUNS):
        if run >= LEAST_RUNS and time.perf_counter() >= end:
            break
        for ask, seen in work:
            started = time.perf_counter()
            ask()
            seen.append(time.perf_counter() - started)
    return [seen for _, seen in work]


def _asking(session: Any, model: bytes, table: Table, batch: int) -> Callable[[], Any]:
    """One batch from raw columns to answers: texts are read anew each time."""
    arrays, made = feeds(model, table, batch), encoders(model)
    if not made:
        return lambda: session.run(None, arrays)
    some, wanted = table.take(np.arange(batch) % table.rows).columns, described(model)
    texts = {name: _raw(some[wanted[name][0]]) for name in made}
    return lambda: session.run(None, {**arrays, **{name: made[name].encode_in_place(texts[name]) for name in made}})


def peak_memory(model: bytes, table: Table) -> int:
    """Peak resident bytes of a new process that imports onnxruntime, loads the model and asks it for 64 rows."""
    arrays = feeds(model, table, 64)
    made = encoders(model)  # features of texts are mostly 0: here all of them
    listed = {
        name: {"type": v.dtype.str, "shape": v.shape, "rows": None if name in made else _plain(v)}
        for name, v in arrays.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.onnx").write_bytes(model)
        (Path(folder) / "feeds.json").write_text(json.dumps(listed))
        done = subprocess.run(
            [sys.executable, "-I", str(PROBE), folder], capture_output=True, text=True, timeout=120, check=False
        )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemFault(
            "measuring memory", "a process that loads the model", last, "Look at the memory that is free."
        )
    return int(done.stdout)


def _plain(values: Any) -> list[Any]:
    return [None if isinstance(v, float) and np.isnan(v) else v for v in values.ravel().tolist()]
