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
from sixfold.train import threads


@dataclass(frozen=True)
class Removal:
    """`target`: what goes, in the plural; `count(model)`: how many it has. Units go, which may be more
    than one of them: `units(model)`: how many it has; `left(model, share)`: how many stay where this
    share goes, all where no smaller number fits; `cut(model, windows, left)`: the model with so many.
    """

    target: str
    count: Callable[[LanguageModel], int]
    units: Callable[[LanguageModel], int]
    left: Callable[[LanguageModel, float], int]
    cut: Callable[[LanguageModel, WindowBatch, int], LanguageModel]


@dataclass(frozen=True)
class LanguagePruning:
    """`ratio`, `epochs`: as in the recipe."""

    removal: Removal
    ratio: Ratio
    epochs: int

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The largest ratio within `keep`."""
        fitted, target = subject.model.fitted, self.removal.target
        if not isinstance(fitted, LanguageModel):
            return None, f"{job.candidate.name} has no {target}, which a language model has"
        before, reasons = self.removal.count(fitted), list[str]()

        def attempt(share: float) -> Found:
            if self.removal.left(fitted, share) == self.removal.units(fitted):
                none = f"{share:.0%} of {before} {target} is less than can go"
                return None, reasons[-1] if reasons else none

            def change(model: Model, position: int) -> Model:
                cut = self._cut(model, subject.basis.rows(position), share)
                return self._trained(cut, model, subject.basis, position, context)

            found, why = tried(subject, job, keep, change)
            reasons.append(why)
            return found, why

        found, why = largest(self.ratio, attempt, context)
        if found is None or not isinstance(found.model.fitted, LanguageModel):
            return None, why
        return found, f"{why} of the {target}: {before} → {self.removal.count(found.model.fitted)}"

    def _cut(self, model: Model, training: Dataset, share: float) -> LanguageModel:
        fitted, windows = calibration_of(model, training)
        with threads.one_thread():
            return self.removal.cut(fitted, windows, self.removal.left(fitted, share))

    def _trained(
        self, network: LanguageModel, model: Model, basis: Basis, position: int, context: Context
    ) -> Model:
        """θ ← θ - α∇J(θ) on the same training texts, from the network that was cut, which asks the
        one before.
        """
        if not self.epochs:
            return replace(model, fitted=network)
        training = basis.rows(position)
        part = context.within(self.removal.target, position, fold=position)
        train = basis.candidate.train.model_copy(update={"epochs": self.epochs})
        candidate = replace(basis.candidate, train=train)
        kept = prepare_rows(candidate, training, part).rows
        x = model.preparer.transform(training.table.take(kept))
        prepared = Prepared(model.preparer, x, kept)
        again = fit_prepared(candidate, prepared, training.target, part, network, model.fitted)
        return replace(model, fitted=again.fitted)
