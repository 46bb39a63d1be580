"""Train what is left again, θ ← θ - α∇J(θ, F_t): every fold's twin and the model, as step 5 did."""

from __future__ import annotations

from sixfold.compress.amount import Found, in_time
from sixfold.compress.keep import Keep
from sixfold.compress.subject import Basis, Job, Subject, rows_found
from sixfold.core.errors import DataError, FitError, RecipeError
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.model import fit_model
from sixfold.runs.context import Context


def retrained(basis: Basis, job: Job, keep: Keep, context: Context) -> Found:
    """The subject trained anew from `basis`; or None and why: `keep` broke, it cannot be trained, or the time is over.

    The twins come first: the model is trained only when they keep the promise.
    """

    def attempt() -> Found:
        try:
            result = cross_validate(basis.candidate, basis.dataset, basis.folds(job), job.watched, context)
            found = rows_found(job, result)
            if broken := keep.broken(result.scores, found):
                return None, broken
            model = fit_model(basis.candidate, basis.rows(-1), context)
        except (DataError, FitError, RecipeError) as error:
            return None, f"what is left cannot be trained ({error})"
        return Subject(model, result.models, result.scores, found, basis), ""

    return in_time(attempt, context)
