"""What a bundle keeps so that its answers can be explained where nothing of training is installed,
and what the report says of attributions.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain import interaction, spoken
from sixfold.bundle.explain.dependence import answered, dependence
from sixfold.bundle.explain.distance import shown_value
from sixfold.bundle.explain.explainer import ExplainEffort, Explainer
from sixfold.bundle.explain.occlusion import (
    HOW,
    KINDS,
    Occlusions,
    faithful,
    not_occluded,
    occluded,
    taken,
)
from sixfold.bundle.explain.report_limits import (
    ANSWERS,
    DRAWN,
    EXACT_ROWS,
    MOST_S,
    PAIRED,
    PIECED_ROWS,
    SAMPLED_ROWS,
)
from sixfold.bundle.explain.stored import Stored, smallest
from sixfold.bundle.explain.told import is_explained
from sixfold.bundle.manifest import EXPLAIN, MODEL, PARITY
from sixfold.bundle.runtime import Transcribes
from sixfold.core.errors import BundleError, RowError
from sixfold.evaluate.model import Model
from sixfold.evaluate.shuffling import Effort
from sixfold.explain.cohorts import row_losses, worst_slices
from sixfold.package.receipt import Measured, predictor_of
from sixfold.package.surrogate import surrogate
from sixfold.parts.fit import Attributable, Differentiable, Wrapping
from sixfold.parts.table import Dataset, FloatArray, Table
from sixfold.prepare.preparer import Preparer
from sixfold.recipe.report import (
    Attribution,
    Cohort,
    Cohorts,
    Dependence,
    Explained,
    ExplainedPieces,
    ExplainedRow,
    PairStrength,
)
from sixfold.select.winner import Winner

MOST_COLUMNS: Final = 100
SHOWN_ROWS: Final = 4  # of texts, images or recordings that pieces were left out of
SHOWN_WORDS: Final = 120  # of a text, patches, or windows


def explanation(model: Model, training: Table, measured: Measured, runtime: str) -> bytes:
    """The content of `explain.safetensors`: of a sum of trees the training rows of every leaf, of a
    linear model its weights and the means of its features, where these add up to the answers; of
    any model how many of the stored rows are real.
    """
    whole, plain = _stored(model, training, measured), Stored(real=measured.parity.real)
    try:
        _explainer(whole.packed(), measured, runtime).check(measured.parity.rows)
    except BundleError:  # nothing that is explained is worth more than a bundle
        return plain.packed()
    return whole.packed()


def _explainer(kept: bytes, measured: Measured, runtime: str) -> Explainer:
    files = {MODEL: measured.model, PARITY: measured.parity.packed(), EXPLAIN: kept}
    predictor = predictor_of(measured.model, measured.signature, runtime)
    return Explainer(predictor, files, "the model")


def _stored(model: Model, training: Table, measured: Measured) -> Stored:
    real = measured.parity.real
    fitted = model.fitted.inner if isinstance(model.fitted, Wrapping) else model.fitted
    additive = fitted.additive() if isinstance(fitted, Attributable) else None
    if not isinstance(model.preparer, Preparer):
        return Stored(real=real)
    columns = {column.name: at for at, column in enumerate(measured.signature.inputs)}
    sources = [columns.get(name, -1) for name in model.preparer.feature_sources]
    arrays = {"source": np.array(sources, dtype=np.int32)}
    if isinstance(fitted, Differentiable):
        return _of_network(model, model.preparer, arrays["source"], real)
    if additive is None or model.quantiles:
        return Stored(real=real)
    if additive.kind == "linear":
        arrays |= additive.arrays | {"mean": _means(model.preparer, training)}
    else:
        arrays["cover"] = smallest(additive.arrays["cover"])
    return Stored(
        kind=additive.kind,
        link=additive.link,
        calibrated=model.calibrator is not None,
        value=model.features_name(),
        real=real,
        arrays=arrays,
    )


def _of_network(
    model: Model, preparer: Preparer, source: npt.NDArray[np.int32], real: int
) -> Stored:
    """Where the features of plain columns are, and whose."""
    plain = [name not in preparer.texts for name in preparer.feature_sources]
    place, codes = np.flatnonzero(plain), np.array(preparer.feature_levels) > 0
    if not len(place):
        return Stored(real=real)
    return Stored(
        kind="network",
        value=model.features_name(),
        real=real,
        single=preparer.precision == "float32",
        width=len(plain),
        arrays={
            "source": source[place],
            "place": place.astype(np.int32),
            "code": codes[place].astype(np.uint8),
        },
    )


def _means(preparer: Preparer, training: Table) -> FloatArray:
    """[features] over the training rows, in double precision."""
    total: npt.NDArray[np.float64] = np.zeros(len(preparer.feature_names))
    for _, x in preparer.batches(training):
        total += x.sum(axis=0, dtype=np.float64)
    return total / max(1, training.rows)


class ReportShare(NamedTuple):
    """Of the report: seconds that are left for it, and stored rows that it may show (`report.examples`)."""

    left_s: float
    shown: int


def explained(
    measured: Measured, kept: bytes, runtime: str, asked: ReportShare
) -> Explained | None:
    """What the report says of attributions of the served model, over stored training rows; None
    where they cannot be had, or not in the time that is left.
    """
    explainer = _explainer(kept, measured, runtime)
    seconds = min(MOST_S, asked.left_s)
    if not is_explained(explainer) or not measured.parity.real or seconds <= 0:
        return None
    answering, pieces = explainer.predictor.runtime, None
    if isinstance(answering, Transcribes):
        return _of_spoken(explainer, answering, measured, ReportShare(seconds, asked.shown))
    if not not_occluded(explainer):
        pieces = _of_pieces(explainer, measured, ReportShare(seconds / 2, asked.shown))
    if not explainer.is_possible or (pieces is not None and len(explainer.columns) == 1):
        return pieces
    columns = _of_columns(explainer, measured, seconds)
    if columns is None or pieces is None:
        return columns or pieces
    return columns.model_copy(update={"examples": pieces.examples})


def _of_columns(explainer: Explainer, measured: Measured, seconds: float) -> Explained | None:
    """What every column adds, over stored rows."""
    count = SAMPLED_ROWS if explainer.not_exact else EXACT_ROWS
    rows = list(measured.parity.rows[: min(count, measured.parity.real)])
    effort = ExplainEffort(seconds, ANSWERS)
    try:
        found = explainer.explain(rows, effort=effort)
        sentence = "" if explainer.not_sampled else explainer.faithful(found, effort).sentence()
    except (RowError, BundleError):  # it would take longer, or does not add up
        return None
    # of two classes both have the same size; of more, and of several values, the mean
    size = np.abs(found.contributions).mean(axis=(0, 2))
    order = np.argsort(-size, kind="stable").tolist()
    columns = tuple(
        Attribution(column=found.columns[at], mean=float(size[at])) for at in order[:MOST_COLUMNS]
    )
    drawn = [] if explainer.not_sampled else order[:DRAWN]
    return Explained(
        how=found.how,
        scale=found.scale,
        rows=len(rows),
        columns=columns,
        faithfulness=sentence,
        dependences=tuple(
            _dependence(explainer, at)
            for at in drawn
            if DRAWN * answered() * explainer.row_s <= seconds
        ),
        pairs=_pairs(explainer, order[:PAIRED], seconds),
        surrogate=None if explainer.not_sampled else surrogate(explainer),
    )


def _pairs(explainer: Explainer, columns: list[int], seconds: float) -> tuple[PairStrength, ...]:
    """Of the columns that add most; none where it would take longer."""
    asked = interaction.answered(len(columns))
    if explainer.not_sampled or len(columns) < 2 or asked * explainer.row_s > seconds:
        return ()
    names = explainer.columns
    return tuple(
        PairStrength(one=names[p.one], other=names[p.other], strength=p.strength, size=p.size)
        for p in interaction.pairs(explainer.players, columns)
    )


def _of_pieces(explainer: Explainer, measured: Measured, asked: ReportShare) -> Explained | None:
    """Of a model of texts, images or recordings: what some answers depend on; None of one that gives
    back what it was sent.
    """
    if explainer.predictor.signature.task == "reconstruction":
        return None
    rows = list(measured.parity.rows[: min(PIECED_ROWS, measured.parity.real)])
    effort = ExplainEffort(asked.left_s / 2, ANSWERS)
    try:
        found = occluded(explainer, rows, effort, plain=False)
        told = faithful(found, effort)
    except (RowError, BundleError):  # it would take longer, or there is nothing to leave out
        return None
    size = np.abs(found.prediction - found.base).mean()
    columns = [each.name for each in found.rows[0].cut]
    return Explained(
        how=HOW,
        scale=found.scale,
        rows=len(found),
        columns=(Attribution(column=columns[0], mean=float(size)),) if len(columns) == 1 else (),
        faithfulness=told.sentence(taken(found)),
        examples=tuple(
            _example(found, row) for row in range(min(SHOWN_ROWS, asked.shown, len(found)))
        ),
    )


def _of_spoken(
    explainer: Explainer, runtime: Transcribes, measured: Measured, asked: ReportShare
) -> Explained | None:
    """Of a model that writes down what is said: which windows of time some of its texts depend on."""
    rows, half_s = measured.parity.rows[: min(PIECED_ROWS, measured.parity.real)], asked.left_s / 2
    try:
        found = spoken.heard(explainer.predictor, runtime.transcriber(), rows, half_s)
    except RowError:  # it would take longer
        return None
    if not found:
        return None
    try:
        sentence = spoken.faithful(found.values(), half_s).sentence(KINDS["audio"])
    except RowError:
        sentence = ""
    size = float(np.mean([abs(each.logprob - each.silent) for each in found.values()]))
    column = next(iter(found.values())).column
    return Explained(
        how=spoken.HOW,
        scale="log-probability",
        rows=len(found),
        columns=(Attribution(column=column, mean=size),),
        faithfulness=sentence,
        examples=tuple(
            ExplainedRow(
                row=at,
                output=each.text,
                prediction=each.logprob,
                pieces=(
                    ExplainedPieces(
                        column=column, kind="audio", changes=_drawn(np.array(each.changes))
                    ),
                ),
            )
            for at, each in list(found.items())[: min(SHOWN_ROWS, asked.shown)]
        ),
    )


def _example(found: Occlusions, row: int) -> ExplainedRow:
    output = found.places(None)[row]
    pieces = []
    for name, each in found.pieces(row, output).items():
        texts = [word["text"] for word in each.get("words", ())]
        values = [word["change"] for word in each.get("words", ())] or each.get("changes", [])
        grid = values if each["kind"] == "image" else []
        pieces.append(
            ExplainedPieces(
                column=name,
                kind=each["kind"],
                texts=tuple(texts[:SHOWN_WORDS]),
                across=len(grid),
                height=each.get("height", 1),
                width=each.get("width", 1),
                changes=_drawn(np.ravel(values)[:SHOWN_WORDS]),
            )
        )
    return ExplainedRow(
        row=row,
        output=found.outputs[output],
        prediction=float(found.prediction[row, output]),
        pieces=tuple(pieces),
    )


def _dependence(explainer: Explainer, column: int) -> Dependence:
    """Of the output that the column moves most."""
    found, outputs = dependence(explainer.players, column), explainer.outputs
    output = int(np.ptp(found.mean, axis=0).argmax()) if len(outputs) != 2 else 1
    told = explainer.predictor.signature.inputs[column]
    is_number = told.type == "number"
    return Dependence(
        column=told.name,
        output=outputs[output],
        x=tuple(found.values) if is_number else (),
        names=() if is_number else tuple(str(shown_value(told, each)) for each in found.values),
        mean=_drawn(found.mean[:, output]),
        lines=tuple(_drawn(line[:, output]) for line in found.lines),
    )


def _drawn(values: FloatArray) -> tuple[float, ...]:
    """Six digits: a chart is some hundred pixels wide."""
    return tuple(float(f"{value:.6g}") for value in values.tolist())


def cohorts(training: Dataset, winner: Winner, effort: Effort) -> Cohorts | None:
    """Slices of the training rows where the winner's out-of-fold loss is far above that of all."""
    losses = row_losses(training, winner.evaluation, winner.plan.folds)
    found = worst_slices(training, losses, effort)
    if not found.tried:
        return None
    loss = "mean distance from the target"
    if training.target.task == "classification":
        loss = "share of wrong classes"
    elif training.target.task == "transcription":
        loss = "wrong characters of a text, as a share"
    elif training.target.quantiles:
        loss = "mean pinball loss"
    return Cohorts(
        loss=loss,
        overall=found.overall,
        tried=found.tried,
        worst=tuple(
            Cohort(text=each.text, rows=int(each.rows.sum()), loss=each.loss)
            for each in found.slices
        ),
    )
