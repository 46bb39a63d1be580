"""What a run leaves behind: the receipt, the report and the bundle. The holdout is touched here,
once.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import psutil

from sixfold.bundle.manifest import ONNX, Sealed
from sixfold.bundle.modality_reader import reader_of
from sixfold.bundle.parity import Parity, check_parity
from sixfold.bundle.predictor import Predictor
from sixfold.bundle.runtime import packed_by, runtime_plugin
from sixfold.compress.compress import NO_GAIN, Compressed
from sixfold.compress.measure import compare
from sixfold.core.seeds import derive
from sixfold.core.units import show_bytes
from sixfold.data.raw import text_rows
from sixfold.data.signature import inputs
from sixfold.evaluate import scoring
from sixfold.evaluate.model import Model
from sixfold.parts.fit import Decodes, Parametric, Wrapping
from sixfold.parts.modality import is_modality, modality_of
from sixfold.parts.packed import packed
from sixfold.parts.table import Dataset, FloatArray, Table
from sixfold.parts.transcripts import texts_of
from sixfold.plan.run_context import DataSplit
from sixfold.recipe.reading import ReadFile
from sixfold.recipe.receipt import Cost, Nested, OverHttp, Quality, Receipt
from sixfold.recipe.schema import Recipe
from sixfold.recipe.signature import Output, Signature
from sixfold.select.bagging import Bag
from sixfold.select.served_limits import SPENT
from sixfold.select.winner import Winner

Scores = Mapping[str, FloatArray]
Held = Mapping[str, float | None]

PARITY_ROWS = 1000
PARITY_CELLS = 200_000  # of more than 200 columns fewer rows are stored, 50 at least: a million cells took 15 s to store and ask
HEARD_ROWS = 64  # of recordings whose texts are stored
LEAST_MARGIN = (
    1e-3  # of ln of probabilities, between two texts: a hundred times what single precision moves
)
MEASURING = 0.25  # of the time that is left at the end, at most, for timing the model
ENGINES = ("sixfold", "numpy", "scikit-learn", "lightgbm", "torch", "onnx", "onnxruntime")
HOW = (
    "Validation folds: every fold's model, prepared and trained without the fold's rows, scored on them; every fold counts once.",
    "Holdout: rows put aside before anything was fitted, scored once, by the model as it is served.",
    "Bytes: the size of model.onnx, preparation included.",
    "Latency: onnxruntime on one thread from raw columns to predictions, warmed up, before and after in turn; p50 and p99.",
    "Memory: peak resident memory of a fresh process that loads the model and answers.",
    "Parity: the served graph against the trained pipeline on stored rows; a bundle that disagrees is not written.",
)
HOW_HTTP = "Over HTTP: one row a request, on one kept-alive connection to a server process of this bundle; p50 and p99."
HOW_DECODED = "Latency is that of the graph: what makes texts of its numbers comes on top, and is in the latency over HTTP."
HOW_NESTED = "Nested: every outer fold's training rows alone choose and train; its validation rows score that, once."


def stored_rows(table: Table, seed: int) -> Table:
    """At least PARITY_ROWS rows (fewer of a wide table) that try a graph hard: real rows first,
    then rows mixed from all columns' values.

    Mixed: every column goes through the same random order of the rows from a start of its own, and
    from another one when it is through; so a table's values are met in the order of the real rows
    again, which packs well. In these rows one value in twenty is missing, and one category in
    twenty is a value that was never seen.
    """
    rng = np.random.default_rng(derive(seed, "parity"))
    order = rng.permutation(table.rows)
    wanted = _wanted(table)
    real = table.take(order[: wanted // 2])
    mixed = wanted + 24 - real.rows
    starts = _starts(rng, len(table.columns), table.rows, -(-mixed // table.rows))
    step = np.arange(min(table.rows, mixed))
    columns = {}
    for (name, column), own in zip(table.columns.items(), starts, strict=True):
        values = column.at(order[((own[:, None] + step) % table.rows).ravel()[:mixed]])
        strange = rng.random(mixed) if _may_be_missing(column.kind) else np.full(mixed, 0.5)
        values[strange < 0.05] = np.nan if values.dtype.kind == "f" else -1
        levels = column.levels
        if unseen := _unseen(column.kind):
            levels = (*levels, unseen)
            values[strange > 0.95] = len(levels) - 1
        columns[name] = replace(
            column, values=np.concatenate([real.columns[name].values, values]), levels=levels
        )
    return Table(columns, real.rows + mixed)


def _wanted(table: Table) -> int:
    return min(PARITY_ROWS, max(50, PARITY_CELLS // max(1, len(table.columns))))


def _may_be_missing(kind: str) -> bool:
    return not is_modality(kind) or reader_of(kind).missing is not None


def _unseen(kind: str) -> str:
    """A value that no training row has; '' where there is none."""
    if is_modality(kind):
        return modality_of(kind).unseen
    return "never seen before" if kind == "category" else ""


def _starts(rng: np.random.Generator, columns: int, rows: int, laps: int) -> npt.NDArray[np.int64]:
    """[columns, laps] rows to start at; in a lap no two columns start at the same one, as long as
    there are enough.
    """
    orders = [
        np.concatenate([rng.permutation(rows) for _ in range(-(-columns // rows))])
        for _ in range(laps)
    ]
    return np.stack([order[:columns] for order in orders], axis=1)


def signature_of(
    model: Model, training: Dataset, missing: Sequence[str], read: ReadFile | None = None
) -> Signature:
    """What the bundle takes and gives."""
    outputs = [Output(name="value", columns=model.values)]
    if model.task == "classification":
        label = Output(name="label", columns=model.target_names)
        outputs = [label, Output(name=model.output, columns=model.classes)]
    elif model.task == "transcription":
        outputs = [Output(name="text", columns=model.target_names)]
    return Signature(
        task=model.task,
        target=model.target_names,
        classes=model.classes,
        class_type=training.target.class_type,
        outputs=tuple(outputs),
        missing=tuple(missing),
        fields=training.fields,
        quantiles=model.quantiles,
        inputs=inputs(training.table, model.preparer.inputs, read),
    )


def expected_answers(model: Model, rows: Table) -> dict[str, npt.NDArray[Any]]:
    """The trained pipeline's own answers, by output of the graph."""
    scores = model.predict(rows)
    if model.task == "transcription":
        return {"text": np.array(texts_of(scores), dtype=object)}
    if model.task != "classification":
        return {"value": scores}
    return {
        "label": np.array(model.classes, dtype=object)[model.decide(scores)],
        model.output: scores,
    }


def parity_of(model: Model, training: Table, read: ReadFile | None, seed: int) -> Parity:
    """Stored rows with the trained pipeline's answers. Of texts fewer, as hearing takes long and few would be
    kept; without those of which another text is as good: rounding decides there, and not the model.
    """
    rows, real = stored_rows(training, seed), min(training.rows, _wanted(training) // 2)
    if isinstance(model.fitted, Decodes):
        chosen = np.linspace(0, rows.rows - 1, min(rows.rows, HEARD_ROWS)).astype(np.int64)
        margins = model.fitted.margins(model.preparer.transform(rows.take(chosen)))
        sure = chosen[margins > LEAST_MARGIN]
        chosen = sure if len(sure) else chosen
        rows, real = rows.take(chosen), int((chosen < real).sum())
    texts = text_rows(rows, model.preparer.inputs, read)
    return Parity(texts, expected_answers(model, rows), real).fitting()


class ModelScores(NamedTuple):
    """Of one model: those of its folds, and on the rows held out."""

    folds: Scores
    held_out: Held


def qualities(
    metrics: Sequence[str],
    baseline: Mapping[str, FloatArray],
    before: ModelScores,
    after: ModelScores,
) -> tuple[Quality, ...]:
    """One line a metric, before and after compression."""
    return tuple(
        Quality(
            metric=name,
            greater_is_better=scoring.greater_is_better(name),
            folds_before=_finite(before.folds, name),
            folds_after=_finite(after.folds, name),
            holdout_before=before.held_out.get(name),
            holdout_after=after.held_out.get(name),
            baseline=float(np.mean(baseline[name])) if name in baseline else None,
        )
        for name in metrics
    )


def machine() -> dict[str, str | int | float]:
    """What the figures were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions(engines: Sequence[str] = ENGINES) -> dict[str, str]:
    """Sixfold and its engines."""
    return {name: version(name) for name in engines}


def verdict(receipt: Receipt, runner_up: str | None) -> tuple[str, ...]:
    """The result in sentences."""
    first, baseline = receipt.quality[0], receipt.baseline_is
    before, after = (
        float(np.mean(scores))
        for scores in (first.folds_before, first.folds_after or first.folds_before)
    )
    chance = f", where {baseline} gives {first.baseline:.4g}" if first.baseline is not None else ""
    served = f"; {after:.4g} after compression" if f"{after:.4g}" != f"{before:.4g}" else ""
    sentences = [
        f"{receipt.candidate} was chosen: {first.metric} {before:.4g} over {len(first.folds_before)} folds{chance}{served}."
    ]
    if first.holdout_after is not None:
        sentences.append(
            f"On {receipt.rows_holdout:,} rows that nothing had seen, {first.metric} is {first.holdout_after:.4g}."
        )
    if receipt.nested is not None:
        sentences += receipt.nested.sentences()[:2]
    if runner_up:
        sentences.append(runner_up)
    size = _cost_words(receipt.after, "one row in ")
    if receipt.http is not None and receipt.http.p50_ms is not None:
        size += f", {receipt.http.p50_ms:.2f} ms over HTTP"
    larger = _cost_words(receipt.before, "")
    sentences.append(
        f"The served model: {size}" + (f" ({larger} before compression)." if receipt.steps else ".")
    )
    if first.baseline is not None and not _beats(first, after):
        sentences.append(f"It is no better than {baseline}: do not use it.")
    return tuple(sentences)


def _cost_words(cost: Cost, one_row: str) -> str:
    """`1.2 MB, one row in 0.05 ms`; of a language model its tokens a second, where they are known."""
    size, joint = show_bytes(cost.file_bytes), ", " if one_row else " and "
    if cost.p50_1_ms is not None:
        return f"{size}{joint}{one_row}{cost.p50_1_ms:.2f} ms"
    return (
        size if cost.tokens_per_s_1 is None else f"{size}{joint}{cost.tokens_per_s_1:,.0f} tokens/s"
    )


def _beats(first: Quality, folds: float) -> bool:
    gain = folds - (first.baseline or 0.0)
    return gain > 0 if first.greater_is_better else gain < 0


def _finite(scores: Scores, name: str) -> tuple[float, ...]:
    values = scores.get(name, np.empty(0))
    return tuple(float(v) for v in values) if np.isfinite(values).all() else ()


@dataclass(frozen=True)
class Measured:
    """The served model with everything that was measured on it."""

    model: bytes
    signature: Signature
    receipt: Receipt
    parity: Parity


@dataclass(frozen=True)
class RunClock:
    """`started`, and `end` (or None): time.monotonic() seconds of the run."""

    started: float
    end: float | None = None

    def spent_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    def left_s(self) -> float:
        """Seconds left; infinite without an end."""
        return float("inf") if self.end is None else self.end - time.monotonic()


def measure(
    recipe: Recipe,
    data: DataSplit,
    winner: Winner,
    compressed: Compressed,
    seed: int,
    clock: RunClock,
) -> Measured:
    """Export, check parity, score the holdout, time."""
    training, held_out, evaluation, before = (
        data.training,
        data.held_out,
        winner.evaluation,
        winner.model,
    )
    metrics, baseline = winner.plan.metrics, winner.plan.baseline
    duration_s = clock.spent_s()
    after = compressed.model
    old, new = packed(before.export()), packed(after.export())
    signature = signature_of(after, training, recipe.data.missing, recipe.data.read)
    parity, runtime = parity_of(after, training.table, recipe.data.read, seed), recipe.runtime
    worst = check_parity(predictor_of(new, signature, runtime), parity)
    first, second = compare(old, new, training.table, MEASURING * clock.left_s())
    cost_before = counted(_sized(first, old, runtime), before)
    cost_after = counted(_sized(second, new, runtime), after)
    scored_before = ModelScores(evaluation.scores, before.scores(held_out, metrics))
    scored_after = ModelScores(compressed.scores, after.scores(held_out, metrics))
    receipt = Receipt(
        name=recipe.name,
        candidate=evaluation.name,
        rows_trained=training.table.rows,
        rows_holdout=held_out.table.rows,
        metric=metrics[0],
        quality=qualities(metrics, baseline, scored_before, scored_after),
        before=cost_before,
        after=cost_after,
        steps=compressed.steps,
        parity_rows=len(parity.rows),
        parity_worst=worst,
        verdict=outcome(compressed),
        machine=machine(),
        versions=versions(),
        duration_s=round(duration_s, 2),
        how=_how(recipe.data.test, runtime, isinstance(after.fitted, Decodes)),
    )
    if after.task == "transcription":
        receipt = receipt.model_copy(update={"baseline_is": "saying nothing"})
    return Measured(new, signature, receipt, parity)


def predictor_of(graph: bytes, signature: Signature, runtime: str) -> Predictor:
    """As the bundle will answer."""
    sealed = Sealed(Path("bundle"), runtime, packed_by(runtime, graph))
    return Predictor(runtime_plugin(runtime).open(sealed, signature), signature, "the model")


def _sized(cost: Cost, graph: bytes, runtime: str) -> Cost:
    """With the bytes of the runtime's own files."""
    return cost.model_copy(update={"file_bytes": sum(map(len, packed_by(runtime, graph).values()))})


def _how(test: str | None, runtime: str, decoded: bool = False) -> tuple[str, ...]:
    """How everything was measured; `test`: the file of the held-out rows, where they have one;
    `runtime`: what will answer; `decoded`: texts are made of what the graph gives.
    """
    file = f"Holdout: all rows of {test} (data.test), scored once, by the model as it is served."
    how = tuple(file if test is not None and text.startswith("Holdout:") else text for text in HOW)
    how = (*how, HOW_DECODED) if decoded else how
    if runtime == ONNX:
        return how
    size = f"Bytes: the size of the files of the runtime {runtime}, preparation included."
    engine = f"The bundle answers by the runtime {runtime}; latency (but over HTTP) and memory are those of onnxruntime."
    return (*(size if text.startswith("Bytes:") else text for text in how), engine)


class TrainedFold(NamedTuple):
    """The fold whose model it is, and how many rows that was trained on."""

    number: int
    rows: int


def of_fold(receipt: Receipt, trained: TrainedFold | None) -> Receipt:
    """The receipt of a model of one fold; None for a model of all rows."""
    if trained is None:
        return receipt
    number, rows = trained
    all_rows = f"{receipt.rows_trained:,}"
    how = f"The model is that of fold {number + 1}, of {rows:,} rows: the budget did not allow a training on all {all_rows}."
    return receipt.model_copy(update={"rows_trained": rows, "how": (*receipt.how, how)})


def with_left_out(receipt: Receipt, names: Sequence[str]) -> Receipt:
    """The receipt of an ensemble that left members out; of any other as it is."""
    if not names:
        return receipt
    how = (
        f"The ensemble leaves out {', '.join(names)}: with them its members take more than {SPENT:.0%} of budget.bundle or "
        "budget.latency, as measured on a fold's models."
    )
    return receipt.model_copy(update={"how": (*receipt.how, how)})


def with_bag(receipt: Receipt, bag: Bag | None) -> Receipt:
    """The receipt of a mean of fold models; of any other as it is."""
    if bag is None:
        return receipt
    how = f"The model is the mean of {bag.models} fold models, none of which has seen all rows. {bag.describe()}"
    if bag.models < bag.folds:
        how += (
            f" {bag.folds - bag.models} of {bag.folds} are left out: with them it takes more than {SPENT:.0%} of "
            "budget.bundle or budget.latency, as measured on a fold's models."
        )
    return receipt.model_copy(update={"how": (*receipt.how, how)})


def with_nested(receipt: Receipt, nested: Nested | None) -> Receipt:
    """The receipt with what nested cross-validation found, and how."""
    if nested is None:
        return receipt
    return receipt.model_copy(update={"nested": nested, "how": (*receipt.how, HOW_NESTED)})


def with_http(receipt: Receipt, http: OverHttp) -> Receipt:
    """The receipt with the latency over HTTP, or with why there is none."""
    how = receipt.how if http.why else (*receipt.how, HOW_HTTP)
    return receipt.model_copy(update={"http": http, "how": how})


def counted(cost: Cost, model: Model) -> Cost:
    """With the parameters θ of the model itself, where it has real ones: preparation's constants do
    not count.
    """
    fitted = model.fitted.inner if isinstance(model.fitted, Wrapping) else model.fitted
    if not isinstance(fitted, Parametric):
        return cost
    return cost.model_copy(
        update={"parameters": sum(array.size for array in fitted.parameters().values())}
    )


def outcome(compressed: Compressed) -> Any:
    """The receipt's word for what compression came to."""
    if not compressed.steps:
        return "not asked for"
    if any(step.accepted for step in compressed.steps):
        return "compressed"
    return (
        NO_GAIN
        if all(step.why.startswith(NO_GAIN) for step in compressed.steps)
        else "not compressed"
    )
