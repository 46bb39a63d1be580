"""What a model costs: bytes, latency and memory of its ONNX file in onnxruntime on one thread."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import onnx
import onnxruntime

from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.modality_reader import InputEncoder, input_names, reader_of
from sixfold.core.errors import SystemFault
from sixfold.parts.modality import is_modality, modality_of
from sixfold.parts.packed import packed
from sixfold.parts.table import Column, Table
from sixfold.recipe.ctc_decoder import DECODER
from sixfold.recipe.receipt import Cost
from sixfold.recipe.signature import CATEGORIES, NUMBERS

BATCHES = (1, 64)
# For a row, beyond which nobody waits for 64 of them: a second of one core (measured: 9e9 products of Whisper).
MOST_PRODUCTS: Final = 1 << 33
RUNS = 400  # of each model and batch, in turn with the other model
LEAST_RUNS = 6
WARM_RUNS = 20
MOST_S = 2.0  # a batch of a slow model ends earlier
Feeds = dict[str, Any]
PROBE = Path(__file__).with_name("memory_probe.py")


def feeds(model: bytes, table: Table, rows: int) -> Feeds:
    """The inputs that `model` asks for, from the first rows of `table` (repeated when there are
    fewer).
    """
    some = table.take(np.arange(rows) % table.rows).columns
    wanted = GraphInputs.of(model, table)
    arrays: Feeds = {}
    if NUMBERS in wanted.columns:
        arrays[NUMBERS] = np.stack([some[name].values for name in wanted.columns[NUMBERS]], axis=1)
    if CATEGORIES in wanted.columns:
        texts = [
            np.array(some[name].strings(), dtype=object) for name in wanted.columns[CATEGORIES]
        ]
        arrays[CATEGORIES] = np.stack(texts, axis=1)
    for name, encoder in wanted.encoders.items():
        arrays[name] = encoder.encode(_raw(some[encoder.column]))
    return arrays


def _raw(column: Column) -> list[Any]:
    """As an encoder takes them."""
    return list(modality_of(column.kind).values(column))


@dataclass(frozen=True)
class GraphInputs:
    """What a model asks for. `columns`: of each input the raw columns that it holds; `encoders`: of
    the inputs that are made of a column of a modality.
    """

    columns: Mapping[str, list[str]]
    encoders: Mapping[str, InputEncoder]

    @classmethod
    def of(cls, model: bytes, table: Table) -> Self:
        """By the model's metadata; `table` holds its columns."""
        props = {prop.key: prop.value for prop in onnx.load_from_string(model).metadata_props}
        modalities = sorted(
            {column.kind for column in table.columns.values() if is_modality(column.kind)}
        )
        encoders = {
            name: reader_of(modality).encoder(name, props[name].encode(), "model.onnx")
            for modality in modalities
            for name in input_names(props, modality)
        }
        plain = {
            name: json.loads(text)
            for name, text in props.items()
            if name not in encoders and name != DECODER
        }
        return cls({**plain, **{name: [each.column] for name, each in encoders.items()}}, encoders)


def compare(
    before: bytes, after: bytes, table: Table, most_s: float = math.inf
) -> tuple[Cost, Cost]:
    """The costs of two models, timed in turn for about `most_s`; of the same one, its own twice.
    `table`: raw rows to ask with.
    """
    if before == after:
        return (own := cost(before, table, most_s)), own
    first, second = _costs((before, after), table, most_s)
    return first, second


def cost(model: bytes, table: Table, most_s: float = math.inf) -> Cost:
    """The costs of one model."""
    return _costs((model,), table, most_s)[0]


def _costs(models: Sequence[bytes], table: Table, most_s: float) -> list[Cost]:
    batches = _batches(models)
    times = {batch: _interleaved(models, table, batch, most_s / len(batches)) for batch in batches}
    costs = []
    for number, model in enumerate(models):
        columns = len(
            {
                column
                for columns in GraphInputs.of(model, table).columns.values()
                for column in columns
            }
        )
        p50, p99 = (
            {batch: float(np.percentile(times[batch][number], q)) * 1e3 for batch in batches}
            for q in (50, 99)
        )
        costs.append(
            Cost(
                file_bytes=len(model),
                parameters=parameters(model),
                inputs=columns,
                p50_1_ms=p50[1],
                p99_1_ms=p99[1],
                p50_64_ms=p50.get(64),
                p99_64_ms=p99.get(64),
                peak_memory_bytes=peak_memory(model, table, batches[-1]),
            )
        )
    return costs


def _batches(models: Sequence[bytes]) -> tuple[int, ...]:
    """How many rows are asked at once."""
    read = (packed(onnx.load_from_string(model)) for model in models)
    most = max(CheckedModel.of(model, "model.onnx").row_products for model in read)
    return BATCHES if most <= MOST_PRODUCTS else BATCHES[:1]


def parameters(model: bytes) -> int:
    """Numbers stored in the graph: initializers, and the weights and thresholds of tree
    ensembles.
    """
    graph = onnx.load_from_string(model).graph
    stored = sum(
        int(np.prod(tensor.dims))
        for tensor in graph.initializer
        if tensor.data_type != onnx.TensorProto.STRING
    )
    tensors = ("nodes_splits", "leaf_weights")
    return stored + sum(
        int(np.prod(a.t.dims)) for node in graph.node for a in node.attribute if a.name in tensors
    )


def median_ms(
    first: bytes, second: bytes, table: Table, batch: int, most_s: float = math.inf
) -> tuple[float, float]:
    """p50 of both, timed in turn for about `most_s`, in milliseconds."""
    took = _interleaved((first, second), table, batch, most_s)
    return float(np.median(took[0])) * 1e3, float(np.median(took[1])) * 1e3


def one_row_ms(model: bytes, table: Table, most_s: float) -> float:
    """p50 of one row, timed for about `most_s`, in milliseconds."""
    return float(np.median(_interleaved((model,), table, 1, most_s)[0])) * 1e3


def _interleaved(
    models: Sequence[bytes], table: Table, batch: int, most_s: float
) -> list[list[float]]:
    """Seconds of every run of each model; they take turns, for `most_s` or MOST_S, whichever is
    less; LEAST_RUNS in any case.

    Of two equal graphs the one whose session is made second came out 0.2 to 2% faster here,
    whoever's turn is first.
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
    arrays, made = feeds(model, table, batch), GraphInputs.of(model, table).encoders
    if not made:
        return lambda: session.run(None, arrays)
    some = table.take(np.arange(batch) % table.rows).columns
    texts = {name: _raw(some[encoder.column]) for name, encoder in made.items()}
    return lambda: session.run(
        None, {**arrays, **{name: made[name].encode_in_place(texts[name]) for name in made}}
    )


def peak_memory(model: bytes, table: Table, rows: int = BATCHES[-1]) -> int:
    """Peak resident bytes of a new process that imports onnxruntime, loads the model and asks it
    for so many rows.
    """
    arrays = feeds(model, table, rows)
    made = GraphInputs.of(model, table).encoders  # features of texts are mostly 0: here all of them
    listed = {
        name: {"type": v.dtype.str, "shape": v.shape, "rows": None if name in made else _plain(v)}
        for name, v in arrays.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.onnx").write_bytes(model)
        (Path(folder) / "feeds.json").write_text(json.dumps(listed))
        done = subprocess.run(
            [sys.executable, "-I", str(PROBE), folder],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemFault(
            "measuring memory",
            "a process that loads the model",
            last,
            "Look at the memory that is free.",
        )
    return int(done.stdout)


def _plain(values: Any) -> list[Any]:
    return [None if isinstance(v, float) and np.isnan(v) else v for v in values.ravel().tolist()]
