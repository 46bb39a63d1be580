"""How a race of candidates may end: what all K folds may say, drawn from what t of them said.

The residuals of the scores (without each candidate's mean, then without each fold's) give S [n, n],
the candidates' covariance from fold to fold, with t - 1 degrees of freedom: of two or three folds
next to nothing. It is moved, with the weight of PRIOR degrees of freedom, toward what the rows say
(as Smyth, 2004, moves variances toward a trend):

    Σ = ((t - 1)·S + PRIOR·φ·((1 - OWN)·C + OWN·c̄·I)) / ν,   ν = t - 1 + PRIOR,

C: the covariance of fold scores if only the rows made them differ, from the scores of the pieces of
a fold; c̄: the mean of its diagonal; φ ≥ 1: how many times that the folds really vary (training
rows, groups, time), the mean of S_ii / C_ii over the candidates. Without pieces φ·C is c̄·I with
the mean of S_ii. No variance is taken below the candidate's own S_ii. Folds in random order are a
sample of t out of K, so the means on all K are, with a flat prior,

    D ~ x̄ + √(1/t - 1/K) · multivariate Student's t(ν, Σ),

all candidates at once: settings that err on the same rows share their luck, which tests one by one
cannot use.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sixfold.parts.table import FloatArray

PRIOR = 6.0  # simulated: see docs/explanation/racing-and-halving.md
OWN = 0.1  # of the rows' covariance: equal on the rows seen is not equal on all
DRAWS = 4000  # the least that a look is given, with 10 folds and 5%, is 0.14%: 5 of them
MOST_VALUES = (
    8_000_000  # 64 MB: of more than 2000 candidates there are fewer draws, and fewer may go
)
ROUNDING = 1e-12  # a spread below this share of the scores is none
DIGITS = 12  # means that agree so far are equal, as in the choice of the winner


class Endings(NamedTuple):
    """`means`: [candidates, draws] on all folds. `error`: the standard error of the difference of
    two candidates' means.
    """

    means: FloatArray
    error: float


class _Prior(NamedTuple):
    """A covariance of fold scores: `root` [candidates, any] times its transpose, and `own`
    [candidates] on the diagonal.
    """

    root: FloatArray
    own: FloatArray


def draw(scores: FloatArray, folds_total: int, pieces: FloatArray | None) -> Endings | None:
    """None where nothing varies, and nothing can be said. The numbers drawn are always the same.

    `scores`: [candidates, folds done]. `pieces`: [candidates, folds done, pieces], the same of
    parts of each fold's rows.
    """
    done = scores.shape[1]
    between = _centered(scores[:, :, None])
    seen = (between**2).sum(axis=1) / (done - 1)
    prior = _without_rows(seen) if pieces is None else _of_rows(pieces, seen)
    freedom = done - 1 + PRIOR
    root = np.concatenate([between, np.sqrt(PRIOR) * prior.root], axis=1) / np.sqrt(freedom)
    own = PRIOR / freedom * prior.own
    variance = (root**2).sum(axis=1) + own
    if not variance.max() > (ROUNDING * np.abs(scores).max()) ** 2:
        return None
    raised = np.sqrt(np.maximum(1.0, seen / np.where(variance > 0, variance, np.inf)))
    rng, half = np.random.default_rng(0), min(DRAWS, max(2, MOST_VALUES // len(scores))) // 2
    # einsum, no BLAS: the same sums whatever the number of threads
    drawn = np.einsum("cr,rd->cd", root, rng.standard_normal((root.shape[1], half)))
    drawn += np.sqrt(own)[:, None] * rng.standard_normal(drawn.shape)
    drawn *= (
        np.sqrt((1 / done - 1 / folds_total) * freedom / rng.chisquare(freedom, half))
        * raised[:, None]
    )
    means = np.round(scores.mean(axis=1), DIGITS)[:, None]
    error = np.sqrt(2 * np.median(variance[variance > 0]) / folds_total)
    return Endings(np.concatenate([means + drawn, means - drawn], axis=1), float(error))


def _centered(scores: FloatArray) -> FloatArray:
    """[candidates, folds × pieces] residuals within each fold; of one piece a fold, within all
    folds.
    """
    own = scores - scores.mean(axis=1 if scores.shape[2] == 1 else 2, keepdims=True)
    return np.asarray((own - own.mean(axis=0)).reshape(len(scores), -1))


def _without_rows(seen: FloatArray) -> _Prior:
    """The mean variance, equal for all and independent. `seen`: [candidates] S_ii."""
    return _Prior(np.zeros((len(seen), 0)), np.full(len(seen), seen.mean()))


def _of_rows(pieces: FloatArray, seen: FloatArray) -> _Prior:
    _, done, count = pieces.shape
    root = _centered(pieces) / np.sqrt(done * (count - 1) * count)
    expected = (root**2).sum(axis=1)
    known = expected > 0
    times = max(1.0, float((seen[known] / expected[known]).mean())) if known.any() else 1.0
    return _Prior(
        np.sqrt((1 - OWN) * times) * root, np.full(len(seen), OWN * times * expected.mean())
    )
