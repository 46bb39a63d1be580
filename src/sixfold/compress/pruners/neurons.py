"""Neurons of a network: layers get narrower, then the network is trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from sixfold.build.mlp import Network
from sixfold.compress import importance
from sixfold.compress.keep import Keep
from sixfold.compress.pruner import largest_ratio
from sixfold.compress.subject import Job, Subject
from sixfold.compress.surgery import keep_units
from sixfold.core.seeds import derive
from sixfold.evaluate.model import Model
from sixfold.parts.fit import Fit
from sixfold.recipe.section import Section
from sixfold.runs.context import Context
from sixfold.train.fitting import fit_many


class Settings(Section):
    """Remove the least important neurons of every hidden layer, then train on.

    Importance: norm of incoming times norm of outgoing weights. Where `ratio` costs more than `keep` allows, half of it is
    tried, then a quarter, down to 5%.
    """

    ratio: float = Field(0.5, gt=0, lt=1, description="Share of each hidden layer's neurons that goes.")
    epochs: int = Field(10, ge=0, description="Epochs of training afterwards.")

    def prune(self, subject: Subject, job: Job, keep: Keep, context: Context) -> tuple[Subject | None, str]:
        """The largest ratio within `keep`."""
        if not isinstance(subject.model.fitted, Network) or not subject.model.fitted.hidden:
            return None, f"{job.candidate.name} has no hidden layers"
        before = subject.model.fitted.hidden

        def attempt(ratio: float) -> Subject:
            return subject.changed(job, lambda model, position: self._smaller(model, position, (ratio, job, context)))

        found, why = largest_ratio(self.ratio, keep, attempt, context)
        if found is None:
            return None, why
        return found, f"{why} of the neurons: {_widths(before)} → {_widths(found.model.fitted.hidden)}"  # type: ignore[attr-defined]

    def _smaller(self, model: Model, position: int, how: tuple[float, Job, Context]) -> Model:
        ratio, job, context = how
        network: Any = model.fitted
        kept = []
        for layer, units in enumerate(network.hidden):
            count = max(1, round(units * (1 - ratio)))
            ranked = np.argsort(-importance.of_neurons(network, layer), kind="stable")
            kept.append(np.sort(ranked[:count]))
        smaller = keep_units(network, kept)
        if self.epochs:
            smaller = self._trained(smaller, model, position, (job, context))
        return replace(model, fitted=smaller)

    def _trained(self, network: Network, model: Model, position: int, how: tuple[Job, Context]) -> Any:
        """θ ← θ - α∇J(θ) on the same training rows."""
        job, context = how
        rows = job.dataset.take(job.rows(position))
        target = rows.target
        seed = derive(context.seed, "neurons", position)
        fit = Fit(model.preparer.transform(rows.table), target.values, target.task, target.outputs, seed, network)
        section = job.candidate.train.model_copy(update={"epochs": self.epochs})
        candidate = replace(job.candidate, train=section)
        return next(iter(fit_many(candidate, [fit], context.within("neurons", position, fold=position))))


def _widths(hidden: tuple[int, ...]) -> str:
    return "-".join(map(str, hidden))
