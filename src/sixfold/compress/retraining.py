"""Train what is left again, θ ← θ - α∇J(θ, F_t): every fold's twin and the model, as step 5 did."""

from __future__ import annotations

from sixfold.compress.amount import Found, in_time
from sixfold.compress.keep import Keep
from sixfold.compress.subject import Basis, CompressionState, Job, rows_found
from sixfold.core.errors import BudgetError, DataError, FitError, RecipeError
from sixfold.core.units import show_seconds
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.model import fit_model
from sixfold.runs.context import Context


def retrained(basis: Basis, job: Job, keep: Keep, context: Context) -> Found:
    """The subject trained anew from `basis`; or None and why: `keep` broke, it cannot be trained,
    or the time is over.

    The twins come first: the model is trained only when they keep the promise.
    """

    def attempt() -> Found:
        try:
            _check_time(basis, job, context)
            result = cross_validate(
                basis.candidate, basis.dataset, basis.folds(job), job.watched, context
            )
            found = rows_found(job, result)
            if violation := keep.violation(result.scores, found):
                return None, violation
            model = fit_model(basis.candidate, basis.rows(-1), context)
        except (DataError, FitError, RecipeError) as error:
            return None, f"what is left cannot be trained ({error})"
        return CompressionState(model, tuple(result.models), result.scores, found, basis), ""

    return in_time(attempt, context)


def _check_time(basis: Basis, job: Job, context: Context) -> None:
    """Raises BudgetError where the folds and the model took longer before than is left: such a
    solver cannot be interrupted.
    """
    context.check_time("training what is left")
    columns = len(basis.dataset.table.columns) / max(1, len(job.dataset.table.columns))
    took_s = job.evaluation.fit_s * (1.0 + 1.0 / len(job.folds)) * columns
    if took_s > context.left_s() and not basis.candidate.family.ends_in_time:
        raise BudgetError(
            "budget.time",
            f"time to train again, {show_seconds(took_s)}",
            f"{show_seconds(context.left_s())} left",
            "Raise budget.time.",
        )
