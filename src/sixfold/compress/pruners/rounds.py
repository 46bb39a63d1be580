"""Rounds of boosting: the sum ends earlier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from sixfold.compress.keep import Keep
from sixfold.compress.subject import Job, Subject
from sixfold.evaluate.model import Model
from sixfold.parts.fit import Rounds
from sixfold.recipe.section import Section
from sixfold.runs.context import Context


class Settings(Section):
    """Keep the fewest boosting rounds whose mean score on the validation folds is within `keep`. Nothing is retrained."""

    tries: int = Field(20, ge=2, le=200, description="Numbers of rounds that are tried, evenly spaced.")

    def prune(self, subject: Subject, job: Job, keep: Keep, context: Context) -> tuple[Subject | None, str]:
        """The fewest rounds within `keep`."""
        if not isinstance(subject.model.fitted, Rounds):
            return None, f"{job.candidate.name} has no rounds"
        rounds = subject.model.fitted.rounds
        for share in np.linspace(1 / self.tries, 1.0, self.tries)[:-1]:
            if context.left_s() <= 0:
                return None, "no time was left in the budget"

            def shorter(model: Model, position: int, share: float = float(share)) -> Model:
                fitted = model.fitted
                if not isinstance(fitted, Rounds):
                    return model
                return replace(model, fitted=fitted.first_rounds(max(1, round(fitted.rounds * share))))

            if not keep.broken(subject.twins_changed(job, shorter).scores):
                found = subject.changed(job, shorter)
                return found, f"{rounds} → {found.model.fitted.rounds} rounds"  # type: ignore[attr-defined]
        return None, f"no smaller number than {rounds} rounds is within keep"
