"""Rounds of boosting: the sum ends earlier."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from sixfold.compress.amount import NO_TIME, Found
from sixfold.compress.keep import Keep
from sixfold.compress.pruner import tried
from sixfold.compress.subject import CompressionState, Job
from sixfold.evaluate.model import Model
from sixfold.parts.fit import Rounds
from sixfold.recipe.section import Section
from sixfold.runs.context import Context

REFINEMENTS = 5  # bisections between the last number that broke `keep` and the first that did not


class Settings(Section):
    """Keep the fewest boosting rounds whose mean score on the validation folds is within `keep`.
    Nothing is retrained.

    Evenly spaced numbers are tried from the fewest up; the first that holds is refined by
    bisection.
    """

    tries: int = Field(
        20, ge=2, le=200, description="Numbers of rounds that are tried, evenly spaced."
    )

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The fewest rounds within `keep`."""
        fitted = subject.model.fitted
        if not isinstance(fitted, Rounds):
            return None, f"{job.candidate.name} has no rounds"

        def attempt(share: float) -> Found:
            return tried(subject, job, keep, lambda model, position: _shorter(model, share))

        best, low, why = None, 0.0, ""
        for share in np.linspace(1 / self.tries, 1.0, self.tries)[:-1]:
            if context.left_s() <= 0:
                return None, NO_TIME
            (best, why), high = attempt(float(share)), float(share)
            if best is not None:
                break
            low = high
        if best is None:
            return (
                None,
                f"no smaller number than {fitted.rounds} rounds will do: with {high:.0%} of them {why}",
            )
        for _ in range(REFINEMENTS):
            found = attempt((low + high) / 2)[0] if context.left_s() > 0 else None
            low, high = (low, (low + high) / 2) if found is not None else ((low + high) / 2, high)
            best = found or best
        shorter: Any = best.model.fitted
        basis = best.basis.with_family(rounds=shorter.rounds, patience=None)
        return replace(best, basis=basis), f"{fitted.rounds} → {shorter.rounds} rounds"


def _shorter(model: Model, share: float) -> Model:
    """The model as it was after `share` of its own rounds: twins may have stopped earlier or
    later.
    """
    fitted: Any = model.fitted
    return replace(model, fitted=fitted.first_rounds(max(1, round(fitted.rounds * share))))
