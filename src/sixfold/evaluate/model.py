"""Preparation, fitted family, calibrator and threshold as one: what a candidate became on some
rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnx

from sixfold.build.apart import fit_all
from sixfold.build.candidate import Candidate, fits_of
from sixfold.core.errors import FitError, RecipeError
from sixfold.core.seeds import derive
from sixfold.evaluate import calibrators, cross_fit, scoring, thresholds
from sixfold.evaluate.averaged import Joined
from sixfold.evaluate.calibrators import Calibrator
from sixfold.evaluate.quantiles import OrderedQuantiles, conformal
from sixfold.parts.fit import (
    Decodes,
    Features,
    Fit,
    Fitted,
    IncrementalPredictor,
    Matrix,
    OutputKind,
    Watch,
)
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import (
    Dataset,
    FloatArray,
    IntArray,
    Table,
    Target,
    Task,
    quantile_name,
)
from sixfold.parts.weights import balanced
from sixfold.prepare import preparer
from sixfold.prepare.documents import DocumentPreparer
from sixfold.prepare.interactions import InteractionPreparer
from sixfold.prepare.preparer import Preparer
from sixfold.recipe.ctc_decoder import DECODER
from sixfold.recipe.kinds import FAMILY
from sixfold.runs.context import Context

AT_ONCE = 65_536  # rows predicted in one piece; more go in parts, so that their features need not fit into memory


@dataclass(frozen=True)
class Model(State):
    """From raw columns to predictions. `calibrator`: from the family's scores to probabilities, or from its
    quantiles to those that are in order. `threshold`: of two classes the second one's, where its
    score is above; None: the class with the largest score. `quantiles`: as in `Target`.
    """

    preparer: Preparer | DocumentPreparer | InteractionPreparer | Joined
    fitted: Fitted
    task: Task
    target_names: tuple[str, ...]
    classes: tuple[str, ...]
    calibrator: Calibrator | None = None
    threshold: float | None = None
    quantiles: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        prepared: Preparer | DocumentPreparer | InteractionPreparer | Joined,
        fitted: Fitted,
        target: Target,
    ) -> Self:
        """What was fitted to a target; quantiles are put in order."""
        order = OrderedQuantiles(np.zeros(len(target.quantiles))) if target.quantiles else None
        names = target.task, target.names, target.classes
        return cls(prepared, fitted, *names, calibrator=order, quantiles=target.quantiles)

    @property
    def output(self) -> OutputKind:
        """What `predict` returns: the family's own output, or the calibrator's probabilities."""
        calibrated = self.calibrator is not None and self.task == "classification"
        return "probability" if calibrated else self.fitted.output

    @property
    def values(self) -> tuple[str, ...]:
        """What the columns of `predict` are called where they are values."""
        return tuple(map(quantile_name, self.quantiles)) or self.target_names

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the columns and to the scores, in sentences."""
        notes = list(self.preparer.notes)
        if isinstance(self.calibrator, OrderedQuantiles):
            notes += self.calibrator.notes(self.quantiles)
        elif self.calibrator is not None:
            notes.append(
                f"Probabilities: calibrated ({type(self.calibrator).__name__}) on predictions of inner folds."
            )
        if self.threshold is not None:
            notes.append(
                f"Labels: {self.classes[1]} where its {self.output} is above {self.threshold:.4g}."
            )
        return tuple(notes)

    def predict(self, table: Table) -> FloatArray:
        """[rows, classes] probabilities or decision values, or [rows, outputs] values."""
        if table.rows <= self._at_once:
            return self._scores(self.preparer.transform(table))
        return np.concatenate([self._scores(x) for _, x in self.preparer.batches(table)])

    def near(self, table: Table) -> Callable[[Table], FloatArray]:
        """`predict`, bit for bit, for tables of which most columns are those of `table`, row by
        row.
        """
        if table.rows > self._at_once or not isinstance(self.fitted, IncrementalPredictor):
            return self.predict
        scores = self.fitted.near(self.preparer.transform(table))
        return lambda other: self._calibrated(scores(self.preparer.transform(other)))

    @property
    def _at_once(self) -> int:
        """Rows predicted in one piece."""
        return self.preparer.rows_at_once if self.preparer.texts else AT_ONCE

    def _scores(self, x: Matrix) -> FloatArray:
        return self._calibrated(self.fitted.predict(x))

    def _calibrated(self, scores: FloatArray) -> FloatArray:
        return scores if self.calibrator is None else self.calibrator.apply(scores)

    def decide(self, scores: FloatArray) -> IntArray:
        """[rows, classes] of `predict` → [rows] indices of classes."""
        return thresholds.decided(scores, self.threshold)

    def scores(self, rows: Dataset, metrics: Sequence[str]) -> dict[str, float | None]:
        """Metric → score on rows that the model has not seen, None where it cannot be scored by it;
        {} without rows.
        """
        if rows.table.rows == 0:
            return {}
        return scoring.score_all(
            metrics, rows.target, self.predict(rows.table), self.output, self.threshold
        )

    def labels(self, table: Table) -> npt.NDArray[Any]:
        """[rows] predicted classes as strings."""
        return np.asarray(np.array(self.classes, dtype=object)[self.decide(self.predict(table))])

    def export(self) -> onnx.ModelProto:
        """One graph from raw columns to `label` [rows, 1] and `probability` or `decision`, or to
        `value`; of texts that is what their decoder takes.

        Raises FitError when the model asks for no column.
        """
        if not self.preparer.inputs:
            raise FitError(
                "prepare",
                "a model that asks for at least one raw column",
                "none",
                "Look at data.drop.",
            )
        graph = Graph()
        scores = graph.cast(self.fitted.export(graph, self._features(graph)), TensorProto.DOUBLE)
        scores = scores if self.calibrator is None else self.calibrator.export(graph, scores)
        if isinstance(self.fitted, Decodes):
            decoder = self.fitted.decoder
            graph.describe_text(DECODER, decoder.model_dump_json())
            graph.output("value", scores, TensorProto.DOUBLE, ["rows", decoder.cells])
            return graph.model()
        if self.task != "classification":
            graph.output("value", scores, TensorProto.DOUBLE, ["rows", len(self.values)])
            return graph.model()
        names = graph.constant(np.array(self.classes, dtype=object))
        label = graph.op("Gather", names, self._export_decision(graph, scores))
        graph.output("label", label, TensorProto.STRING, ["rows", 1])
        graph.output(self.output, scores, TensorProto.DOUBLE, ["rows", len(self.classes)])
        return graph.model()

    def features_name(self) -> str:
        """What `export` calls the features: names are counted from the beginning of a graph."""
        return self._features(Graph())

    def _features(self, graph: Graph) -> str:
        named = [name for name in self.preparer.inputs if name not in self.preparer.texts]
        return self.preparer.export(graph, RawInputs(graph, named, self.preparer.categories))

    def _export_decision(self, graph: Graph, scores: str) -> str:
        if self.threshold is None:
            return graph.op("ArgMax", scores, axis=1, keepdims=1)
        above = graph.op(
            "Greater", graph.take_columns(scores, [1]), graph.constant(self.threshold, np.float64)
        )
        return graph.cast(above, TensorProto.INT64)


@dataclass(frozen=True)
class Prepared:
    """Training rows as features: the fitted preparer, the features of the rows that denoising kept,
    which those are, and what of them stays together (`Fit.groups`).
    """

    preparer: Preparer | DocumentPreparer | InteractionPreparer | Joined
    x: Features
    rows: IntArray
    groups: IntArray | None = None


def prepare_rows(candidate: Candidate, training: Dataset, context: Context) -> Prepared:
    """Step 1 on training rows only. Rows whose weight is 0 are no part of it, nor of what follows.
    Raises FitError where all are such.
    """
    counting = _counting(training.target)
    training = training if counting is None else training.take(counting)
    needs, seed, units = candidate.family.needs, derive(context.seed, "prepare"), training.units
    fitted, x, rows = preparer.fit(
        training.table, training.target, candidate.prepare, needs, seed, units
    )
    _check_read(candidate, fitted)
    groups = None if units is None else units[rows]
    return Prepared(fitted, x, rows if counting is None else counting[rows], groups)


def _counting(target: Target) -> IntArray | None:
    """The rows that count; None: all of them."""
    if target.weights is None or (target.weights > 0).all():
        return None
    rows = np.flatnonzero(target.weights)
    if not len(rows):
        raise FitError(
            "data.weight",
            "a row with a weight above 0 among the training rows of every fold",
            f"{len(target.weights):,} rows with the weight 0",
            "Leave rows out that are not to count, or use fewer folds.",
        )
    return rows


def _check_read(
    candidate: Candidate, fitted: Preparer | DocumentPreparer | InteractionPreparer
) -> None:
    """Raises RecipeError for features that the family can make nothing of."""
    for group in fitted.layout:
        if group.kind not in candidate.family.reads:
            fitting = [name for name in FAMILY.names() if group.kind in FAMILY.load(name).reads]
            columns = ", ".join(f"'{name}'" for name in group.columns[:3])
            raise RecipeError(
                f"build, {candidate.family_name}",
                f"{' and '.join(sorted(candidate.family.reads))}, and nothing else",
                f"{group.kind} (made of {columns})",
                f"Drop such columns (data.drop), prepare them otherwise (prepare.features), or use: {', '.join(fitting)}.",
            )


def fit_of(
    prepared: Prepared,
    target: Target,
    context: Context,
    facts: dict[str, Any] | None = None,
    start: Fitted | None = None,
) -> Fit:
    """The work of steps 2 to 4: `target` is that of all training rows; `facts` stand in its
    events.
    """
    kept = target.take(prepared.rows)
    levels = prepared.preparer.feature_levels if isinstance(prepared.preparer, Preparer) else ()
    seed = derive(context.seed, "fit")
    layout = prepared.preparer.layout if isinstance(prepared.preparer, Preparer) else ()
    columns = prepared.preparer.plain_columns if isinstance(prepared.preparer, Preparer) else ()
    made = Fit(
        prepared.x,
        kept.values,
        kept.task,
        kept.outputs,
        seed,
        start,
        facts or {},
        levels,
        prepared.groups,
    )
    found = replace(made, layout=layout, weights=kept.weights, columns=columns)
    return replace(found, quantiles=kept.quantiles)


def weighed(candidate: Candidate, target: Target) -> Target:
    """`target`, of training rows, as the candidate learns it: with the weights of `train.class_weight`,
    too. They count in the fit alone; whatever is scored counts rows by `data.weight`.
    """
    asked = candidate.train.class_weight
    if asked is None or target.task != "classification":
        return target
    codes = target.values.astype(np.int64)
    if isinstance(asked, dict):
        factor = np.array([asked.get(name, 1.0) for name in target.classes])
    else:
        factor = balanced(codes, len(target.classes), target.weights)
    weights = factor[codes]
    return replace(target, weights=weights if target.weights is None else weights * target.weights)


def fit_prepared(
    candidate: Candidate,
    prepared: Prepared,
    target: Target,
    context: Context,
    start: Fitted | None = None,
    teacher: Fitted | None = None,
) -> Model:
    """Steps 2 to 4: `target` is that of all training rows; `start` is what training continues from,
    `teacher` as in `Fit`.
    """
    own = weighed(candidate, target)
    work = replace(fit_of(prepared, own, context, start=start), teacher=teacher)
    fits = fits_of([candidate], [work], watch_of(candidate, target))
    fitted = next(fit_all(candidate.family, fits, context))
    return Model.of(prepared.preparer, fitted, target)


def fit_model(candidate: Candidate, training: Dataset, context: Context) -> Model:
    """Steps 1 to 4 on one set of training rows."""
    own = own_part(candidate, context)
    model = fit_prepared(candidate, prepare_rows(candidate, training, own), training.target, own)
    return calibrate(candidate, model, training, context)


def own_part(candidate: Candidate, context: Context) -> Context:
    """The part of the time left that a model's own fit may take, where fits on inner folds follow
    (`calibrate`).
    """
    if context.deadline is None or not needs_inner_folds(candidate):
        return context
    return replace(context, deadline=time.monotonic() + context.left_s() / cross_fit.FOLDS)


def calibrate(candidate: Candidate, model: Model, training: Dataset, context: Context) -> Model:
    """`model`, fitted on `training`, with what `evaluate.calibrate` and `evaluate.threshold` ask
    for, both fitted on predictions of inner folds of the same rows. Raises DataError, FitError,
    BudgetError.
    """
    asked = candidate.calibration
    if not needs_inner_folds(candidate):
        return (
            model if isinstance(asked.threshold, str) else replace(model, threshold=asked.threshold)
        )

    def fit(rows: Dataset, part: Context) -> Model:
        return fit_prepared(candidate, prepare_rows(candidate, rows, part), rows.target, part)

    found = cross_fit.cross_fit(training, fit, context.within("calibrate"))
    target, scores = training.target.take(found.rows), found.scores
    if asked.calibrate == "conformal":
        return replace(model, calibrator=conformal(scores, target))
    if asked.calibrate != "none":
        classes = target.values.astype(np.int64)
        calibrator = calibrators.fit(
            asked.calibrate,
            scores,
            calibrators.Truth(classes, found.seen, target.weights),
            model.fitted.output,
        )
        model, scores = replace(model, calibrator=calibrator), calibrator.apply(scores)
    threshold = thresholds.chosen(asked.threshold, target, scores, model.output)
    return replace(model, threshold=threshold)


def needs_inner_folds(candidate: Candidate) -> bool:
    """Whether fits on inner folds follow the model's own."""
    asked = candidate.calibration
    return asked.calibrate != "none" or asked.threshold_is_found


def watch_of(candidate: Candidate, target: Target) -> Watch | None:
    """The metric that `train.stop.metric` names, None for the loss. Raises RecipeError for one of
    another task.
    """
    name = candidate.train.stop.metric
    if name == "loss":
        return None
    scoring.check([name], target.task, "train.stop.metric", target.quantiles)

    def score(y: FloatArray | IntArray, predicted: FloatArray, weights: FloatArray | None) -> float:
        kind: OutputKind = "probability" if target.task == "classification" else "value"
        rows = replace(target, values=y, weights=weights)
        found = scoring.score_all([name], rows, predicted, kind)[name]
        if found is None:
            raise FitError(
                "train.stop.metric",
                f"rows to watch that define {name}",
                f"{len(predicted)} rows that do not",
                "Raise train.stop.validation, or watch the loss.",
            )
        return found

    return Watch(name, scoring.greater_is_better(name), score)
