"""Neurons of a network: layers get narrower, then the network is trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from sixfold.build.mlp import FittedPerceptron
from sixfold.compress import importance
from sixfold.compress.amount import Found, largest
from sixfold.compress.keep import Keep
from sixfold.compress.pruner import tried
from sixfold.compress.subject import Basis, CompressionState, Job
from sixfold.compress.surgery import keep_units
from sixfold.evaluate.model import Model, Prepared, fit_prepared, prepare_rows
from sixfold.parts.table import Dataset
from sixfold.recipe.section import Section
from sixfold.runs.context import Context

SAMPLE = 2000  # training rows that activations are looked at on


class Settings(Section):
    """Remove the least important neurons of every hidden layer, then train on.

    Importance by `activations`: standard deviation on training rows times norm of outgoing weights,
    and the next bias takes over a removed neuron's mean. By `weights`: norm of incoming times norm
    of outgoing weights. Where `ratio` costs more than `keep` allows, half of it is tried, then a
    quarter, down to 5%; `largest` searches by bisection.
    """

    ratio: Annotated[float, Field(gt=0, lt=1)] | Literal["largest"] = Field(
        0.5,
        description="Share of each hidden layer's neurons that goes, in (0, 1); or `largest` within keep.",
    )
    # Measured, mean accuracy over 6 seeds × 3 folds, half of the neurons gone, 10 epochs on: digits
    # 0.969 (by weights 0.966), breast cancer 0.968 (0.961); not trained on: 0.893 (0.723), 0.944
    # (0.926).
    importance: Literal["activations", "weights"] = Field(
        "activations", description="How neurons are ranked."
    )
    epochs: int = Field(10, ge=0, description="Epochs of training afterwards.")

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The largest ratio within `keep`."""
        fitted = subject.model.fitted
        if not isinstance(fitted, FittedPerceptron):
            return None, f"{job.candidate.name} is no mlp, the one family whose neurons are removed"
        if not fitted.hidden:
            return None, f"{job.candidate.name} has no hidden layers"

        def attempt(ratio: float) -> Found:
            if _widths(fitted, ratio) == fitted.hidden:
                return (
                    None,
                    f"{ratio:.0%} of {_shown(fitted.hidden)} neurons is less than one of any layer",
                )

            def change(model: Model, position: int) -> Model:
                network = self._cut(model, subject.basis.rows(position), ratio)
                return self._trained(network, model, subject.basis, position, context)

            return tried(subject, job, keep, change)

        found, why = largest(self.ratio, attempt, context)
        if found is None:
            return None, why
        network: Any = found.model.fitted
        basis = found.basis.with_family(hidden=network.hidden)
        return replace(
            found, basis=basis
        ), f"{why} of the neurons: {_shown(fitted.hidden)} → {_shown(network.hidden)}"

    def _cut(self, model: Model, training: Dataset, ratio: float) -> FittedPerceptron:
        network: Any = model.fitted
        layers = range(len(network.hidden))
        if self.importance == "weights":
            ranks, means = [importance.by_weights(network, layer) for layer in layers], None
        else:
            rows = np.linspace(0, training.table.rows - 1, min(SAMPLE, training.table.rows)).astype(
                np.int64
            )
            h = importance.activations(network, model.preparer.transform(training.table.take(rows)))
            ranks, means = (
                [importance.by_activations(network, n, h[n]) for n in layers],
                [a.mean(axis=0) for a in h],
            )
        counts = _widths(network, ratio)
        kept = [
            np.sort(np.argsort(-rank, kind="stable")[:count])
            for rank, count in zip(ranks, counts, strict=True)
        ]
        return keep_units(network, kept, means)

    def _trained(
        self, network: FittedPerceptron, model: Model, basis: Basis, position: int, context: Context
    ) -> Model:
        """θ ← θ - α∇J(θ) on the same training rows, from the network that was cut."""
        if not self.epochs:
            return replace(model, fitted=network)
        training = basis.rows(position)
        part = context.within("neurons", position, fold=position)
        train = basis.candidate.train.model_copy(update={"epochs": self.epochs})
        prepared = as_trained(model, basis, training, part)
        again = fit_prepared(
            replace(basis.candidate, train=train), prepared, training.target, part, network
        )
        return replace(model, fitted=again.fitted)  # calibrator and threshold stay


def as_trained(model: Model, basis: Basis, training: Dataset, context: Context) -> Prepared:
    """Training rows as the model's own training saw them: cross-fitted, without the rows that
    denoising dropped.

    Where chance prepares them otherwise than the model does (a random sample), all rows as the
    model sees them.
    """
    again = prepare_rows(basis.candidate, training, context)
    pairs = zip(
        model.preparer.batches(training.table), again.preparer.batches(training.table), strict=True
    )
    if all(np.array_equal(first, second, equal_nan=True) for (_, first), (_, second) in pairs):
        return replace(again, preparer=model.preparer)
    x, rows = model.preparer.transform(training.table), np.arange(training.table.rows)
    return Prepared(model.preparer, x, rows, training.units)


def _widths(network: FittedPerceptron, ratio: float) -> tuple[int, ...]:
    return tuple(max(1, round(units * (1 - ratio))) for units in network.hidden)


def _shown(hidden: tuple[int, ...]) -> str:
    return "-".join(map(str, hidden))
