"""Preparation and fitted family as one: what a candidate became on some rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from sixfold.core.errors import FitError
from sixfold.core.seeds import derive
from sixfold.evaluate import scoring
from sixfold.parts.fit import Features, Fit, Fitted, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import Dataset, FloatArray, IntArray, Table, Target, Task
from sixfold.prepare import preparer
from sixfold.prepare.preparer import Preparer
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate
from sixfold.train.fitting import fit_many
from sixfold.train.stopping import Watch

AT_ONCE = 65_536  # rows predicted in one piece; more go in parts, so that their features need not fit into memory


@dataclass(frozen=True)
class Model(State):
    """From raw columns to predictions."""

    preparer: Preparer
    fitted: Fitted
    task: Task
    target_names: tuple[str, ...]
    classes: tuple[str, ...]

    def predict(self, table: Table) -> FloatArray:
        """[rows, classes] probabilities or decision values, or [rows, outputs] values."""
        if table.rows <= AT_ONCE:
            return self.fitted.predict(self.preparer.transform(table))
        return np.concatenate([self.fitted.predict(x) for _, x in self.preparer.batches(table)])

    def labels(self, table: Table) -> npt.NDArray[Any]:
        """[rows] predicted classes as strings."""
        return np.asarray(np.array(self.classes, dtype=object)[self.predict(table).argmax(axis=1)])

    def export(self) -> onnx.ModelProto:
        """One graph from raw columns to `label` [rows, 1] and `probability` or `decision`, or to `value`.

        Raises FitError when the model asks for no column.
        """
        if not self.preparer.inputs:
            raise FitError("prepare", "a model that asks for at least one raw column", "none", "Look at data.drop.")
        graph = Graph()
        scores = graph.cast(self.fitted.export(graph, self.preparer.export(graph)), TensorProto.DOUBLE)
        if self.task != "classification":
            graph.output("value", scores, TensorProto.DOUBLE, ["rows", len(self.target_names)])
            return graph.model()
        best = graph.op("ArgMax", scores, axis=1, keepdims=1)
        names = graph.constant(np.array(self.classes, dtype=object))
        graph.output("label", graph.op("Gather", names, best), TensorProto.STRING, ["rows", 1])
        graph.output(self.fitted.output, scores, TensorProto.DOUBLE, ["rows", len(self.classes)])
        return graph.model()


@dataclass(frozen=True)
class Prepared:
    """Training rows as features: the fitted preparer, the features of the rows that denoising kept, and which those are."""

    preparer: Preparer
    x: Features
    rows: IntArray


def prepare_rows(candidate: Candidate, training: Dataset, context: Context) -> Prepared:
    """Step 1 on training rows only."""
    needs = candidate.family.needs
    return Prepared(
        *preparer.fit(training.table, training.target, candidate.prepare, needs, derive(context.seed, "prepare"))
    )


def fit_prepared(
    candidate: Candidate, prepared: Prepared, target: Target, context: Context, start: Fitted | None = None
) -> Model:
    """Steps 2 to 4: `target` is that of all training rows; `start` is what training continues from."""
    kept = target.take(prepared.rows)
    fit = Fit(prepared.x, kept.values, kept.task, kept.outputs, derive(context.seed, "fit"), start)
    fitted = next(iter(fit_many([candidate], [fit], context, _watch(candidate, target))))
    return Model(prepared.preparer, fitted, target.task, target.names, target.classes)


def fit_model(candidate: Candidate, training: Dataset, context: Context) -> Model:
    """Steps 1 to 4 on one set of training rows."""
    return fit_prepared(candidate, prepare_rows(candidate, training, context), training.target, context)


def _watch(candidate: Candidate, target: Target) -> Watch | None:
    """The metric that `train.stop.metric` names, None for the loss. Raises RecipeError for one of another task."""
    name = candidate.train.stop.metric
    if name == "loss":
        return None
    scoring.check([name], target.task, "train.stop.metric")

    def score(y: FloatArray | IntArray, predicted: FloatArray) -> float:
        kind: OutputKind = "probability" if target.task == "classification" else "value"
        found = scoring.score_all([name], replace(target, values=y), predicted, kind)[name]
        if found is None:
            raise FitError(
                "train.stop.metric", f"rows to watch that define {name}", f"{len(predicted)} rows that do not",
                "Raise train.stop.validation, or watch the loss.",
            )  # fmt: skip
        return found

    return Watch(name, scoring.greater_is_better(name), score)
