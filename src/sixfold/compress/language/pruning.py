"""What the pruners of a language model share: a cut of every fold's model and of the model, each by
its own training texts, then training by the answers of the model before the cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sixfold.compress.amount import Found, Ratio, largest
from sixfold.compress.keep import Keep
from sixfold.compress.language.calibration import calibration_of
from sixfold.compress.pruner import tried
from sixfold.compress.subject import Basis, CompressionState, Job
from sixfold.evaluate.model import Model, Prepared, fit_prepared, prepare_rows
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.table import Dataset
from sixfold.parts.token_windows import WindowBatch
from sixfold.runs.context import Context

Cut = Callable[[LanguageModel, WindowBatch, float], LanguageModel]


@dataclass(frozen=True)
class LanguagePruning:
    """`target`: what goes, in the plural; `count`: how many a model has; `cut(model, windows, share)`:
    without this share of them, or the very model where no such number fits. `ratio`, `epochs`: as in
    the recipe.
    """

    target: str
    count: Callable[[LanguageModel], int]
    cut: Cut
    ratio: Ratio
    epochs: int

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The largest ratio within `keep`."""
        fitted = subject.model.fitted
        if not isinstance(fitted, LanguageModel):
            return None, f"{job.candidate.name} has no {self.target}, which a language model has"
        before = self.count(fitted)

        def attempt(share: float) -> Found:
            def change(model: Model, position: int) -> Model:
                cut = self._cut(model, subject.basis.rows(position), share)
                return self._trained(cut, model, subject.basis, position, context)

            if self.count(self._cut(subject.model, subject.basis.rows(-1), share)) == before:
                return None, f"{share:.0%} of {before} {self.target} is less than can go"
            return tried(subject, job, keep, change)

        found, why = largest(self.ratio, attempt, context)
        if found is None or not isinstance(found.model.fitted, LanguageModel):
            return None, why
        return found, f"{why} of the {self.target}: {before} → {self.count(found.model.fitted)}"

    def _cut(self, model: Model, training: Dataset, share: float) -> LanguageModel:
        fitted, windows = calibration_of(model, training)
        return self.cut(fitted, windows, share)

    def _trained(
        self, network: LanguageModel, model: Model, basis: Basis, position: int, context: Context
    ) -> Model:
        """θ ← θ - α∇J(θ) on the same training texts, from the network that was cut, which asks the
        one before.
        """
        if not self.epochs:
            return replace(model, fitted=network)
        training = basis.rows(position)
        part = context.within(self.target, position, fold=position)
        train = basis.candidate.train.model_copy(update={"epochs": self.epochs})
        candidate = replace(basis.candidate, train=train)
        kept = prepare_rows(candidate, training, part).rows
        x = model.preparer.transform(training.table.take(kept))
        prepared = Prepared(model.preparer, x, kept)
        again = fit_prepared(candidate, prepared, training.target, part, network, model.fitted)
        return replace(model, fitted=again.fitted)
