"""What a fold's fit will take, from fits on few of its rows: for a budget of time, where nothing
was measured yet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sixfold.build.apart import fit_all
from sixfold.build.candidate import Candidate, fits_of
from sixfold.core.errors import FitError
from sixfold.evaluate.model import Prepared, fit_of, needs_inner_folds, watch_of, weighed
from sixfold.parts.fit import Fit, Matrix
from sixfold.parts.sparse import dense
from sixfold.parts.stored import StoredFeatures
from sixfold.parts.table import IntArray, Target
from sixfold.parts.weights import taken
from sixfold.runs.context import Context, silent

FEW_ROWS = 200  # of the first fit
SMALL_SHARE = 0.03  # of the time left, that one of these fits may take: guessed
SMALL_S = 0.5  # that one of them may take, however little time is left: the first one imports, and starts threads
SURE_SHARE = 0.1  # of the time left: what is expected to take less needs no closer look
INNER = 2  # fits on inner folds take twice the time of the fit itself, 3 · 2/3 (evaluate.cross_fit)


def expected_s(
    candidates: Sequence[Candidate], prepared: Prepared, target: Target, context: Context
) -> float | None:
    """Seconds that all candidates, trained as one piece of work on the prepared rows, will take;
    None where a few rows cannot be trained on. `target`: that of all rows.

    A straight line in `Family.work` through fits on some of the rows, the first of which is made
    twice: it takes more (imports, threads). They take little of the time left, or little, and end where even
    a longer time would fit.
    """
    small_s = max(SMALL_S, SMALL_SHARE * context.left_s())
    whole = fit_of(prepared, weighed(candidates[0], target), context)
    most, count = max(1, whole.rows // 4), min(max(1, whole.rows // 4), FEW_ROWS)
    watch = watch_of(candidates[0], target)
    quiet = replace(context, emit_to=silent, saves=None, deadline=None)

    def took_s(count: int) -> float:
        started, fit = time.monotonic(), _some(whole, count)
        for fitted in fit_all(candidates[0].family, fits_of(candidates, [fit], watch), quiet):
            fitted.predict(_of_rows(fit.x, np.arange(max(1, fit.rows // 4))))
        return (time.monotonic() - started) * (1 + INNER if needs_inner_folds(candidates[0]) else 1)

    try:
        tried = [(count, took_s(count))]
        if tried[0][1] < small_s:
            tried = [(count, took_s(count))]
        while (
            count < most
            and extended_s(candidates[0], tried, whole.rows) > SURE_SHARE * context.left_s()
        ):
            if tried[-1][1] > small_s:
                break
            count = min(most, 4 * count)
            tried.append((count, took_s(count)))
    except FitError:  # what a few rows cannot show, all will say
        return None
    return extended_s(candidates[0], tried, whole.rows)


def work_of(candidate: Candidate, rows: int) -> float:
    """What the time of a fit on `rows` rows is proportional to."""
    return candidate.family.work(rows)


def extended_s(candidate: Candidate, tried: Sequence[tuple[int, float]], rows: int) -> float:
    """From (rows, seconds) of fits to those of `rows` rows: in proportion to the last one, or,
    where two were made, along their line, but half of the proportion at least.
    """
    (count, took_s), whole = tried[-1], work_of(candidate, rows)
    in_proportion = took_s * whole / work_of(candidate, count)
    if len(tried) < 2:
        return in_proportion
    before, before_s = tried[-2]
    slope = (took_s - before_s) / (work_of(candidate, count) - work_of(candidate, before) or 1.0)
    line = took_s + slope * (whole - work_of(candidate, count))
    return max(took_s, in_proportion / 2, min(in_proportion, line))


def _some(fit: Fit, count: int) -> Fit:
    """`count` rows, evenly spaced in the order of the target, so that classes have their shares."""
    order = np.argsort(fit.y.reshape(fit.rows, -1)[:, 0], kind="stable")
    rows = np.sort(order[np.linspace(0, fit.rows - 1, count).astype(np.int64)])
    x: Any = fit.x.take(rows) if isinstance(fit.x, StoredFeatures) else fit.x[rows]
    return replace(fit, x=x, y=fit.y[rows], weights=taken(fit.weights, rows))


def _of_rows(x: Any, rows: IntArray) -> Matrix:
    """Some of the rows, as a model is asked about them."""
    found: Any = x.take(rows) if isinstance(x, StoredFeatures) else dense(x[rows])
    return found  # type: ignore[no-any-return]
