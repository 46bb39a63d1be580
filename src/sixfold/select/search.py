"""Search beyond a grid: Optuna proposes (TPE; Bergstra et al., 2011), the folds score, a pruner
ends what is behind.

A trial is one candidate. It is scored fold by fold; after each, the mean so far is compared with
what earlier trials had after as many folds (Akiba et al., 2019). Everything is in memory and
follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from sixfold.core.seeds import derive
from sixfold.plan.suggest import Trial
from sixfold.recipe.space import Search
from sixfold.select.selecting import order

Candidate = TypeVar("Candidate")
Answer = TypeVar("Answer")
MEDIAN_OF = 5  # finished trials that a median is taken of (Optuna's own default)


@dataclass(frozen=True)
class Tried(Generic[Candidate]):
    """One trial. `scores`: fold → score, for the folds that were done. `reason`: why it ended
    early; '' if it did not.
    """

    candidate: Candidate
    params: dict[str, Any]
    scores: dict[int, float]
    state: Literal["complete", "pruned", "failed"]
    reason: str = ""

    @property
    def mean(self) -> float:
        """Over the folds done."""
        return float(np.mean(list(self.scores.values()))) if self.scores else float("nan")


@dataclass(frozen=True)
class Searched(Generic[Candidate]):
    """All trials in their order. `fits`: how many were trained; a candidate proposed again is
    not.
    """

    trials: tuple[Tried[Candidate], ...]
    fits: int

    @property
    def best(self) -> Tried[Candidate] | None:
        """The greatest mean over all folds, the first of equals; None when no trial was scored on
        all.
        """
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return max(complete, key=lambda trial: round(trial.mean, 12), default=None)


@dataclass(frozen=True)
class Request(Generic[Candidate]):
    """Asks for the scores of a candidate on the folds `numbers`: greater is better; NaN, where a
    fold cannot score.
    """

    candidate: Candidate
    numbers: tuple[int, ...]


Asking: TypeAlias = Generator[Request[Candidate], Sequence[float], Answer]


def search(
    propose: Callable[[Trial], Candidate],
    folds: int,
    settings: Search,
    seed: int = 0,
    enough: Callable[[], bool] = lambda: False,
) -> Asking[Candidate, Searched[Candidate]]:
    """Propose `settings.trials` candidates and ask for their scores; equal seeds and scores give
    equal trials.

    Folds come in one random order for all, as many at a time as the pruner wants to see. `enough()`
    is asked before every trial but the first: True ends the search (the budget). A proposal that
    was made before takes over its scores.
    """
    tried: list[Tried[Candidate]] = []
    known: dict[str, Tried[Candidate]] = {}
    fits, visited = 0, order(folds, seed)
    ends = list(accumulate(_blocks(settings, folds), initial=0))
    blocks = [visited[first:last] for first, last in pairwise(ends)]
    with _quiet():
        study = optuna.create_study(
            direction="maximize", sampler=_sampler(settings, seed), pruner=_pruner(settings)
        )
    while len(tried) < settings.trials and not (tried and enough()):
        with _quiet():
            trial = study.ask()
        candidate = propose(trial)
        key = repr(sorted(trial.params.items()))
        if key in known:
            result = known[key]
        else:
            result = known[key] = yield from _trial(trial, candidate, blocks)
            fits += len(result.scores)
        with _quiet():
            _tell(study, trial, result)
        tried.append(result)
    return Searched(tuple(tried), fits)


def _trial(
    trial: optuna.Trial, candidate: Candidate, blocks: Sequence[Sequence[int]]
) -> Asking[Candidate, Tried[Candidate]]:
    scores: dict[int, float] = {}
    folds = sum(map(len, blocks))
    for block in blocks:
        answer = yield Request(candidate, tuple(block))
        scores |= {fold: float(value) for fold, value in zip(block, answer, strict=True)}
        if wrong := [fold for fold in block if not np.isfinite(scores[fold])]:
            return Tried(
                candidate, trial.params, scores, "failed", f"fold {wrong[0] + 1} cannot score it"
            )
        mean = float(np.mean(list(scores.values())))
        trial.report(mean, len(scores))
        if len(scores) < folds and trial.should_prune():
            reason = f"mean {mean:.4g} on {len(scores)} of {folds} folds, behind what earlier trials had then"
            return Tried(candidate, trial.params, scores, "pruned", reason)
    return Tried(candidate, trial.params, scores, "complete")


def _blocks(settings: Search, folds: int) -> list[int]:
    """Folds between two looks of the pruner: networks of a block train as one."""
    if settings.prune == "none":
        return [folds]
    if settings.prune == "median":
        return [1] * folds
    rungs = [0, *(2**n for n in range(folds.bit_length()) if 2**n < folds), folds]
    return [high - low for low, high in pairwise(rungs)]


def _tell(study: optuna.Study, trial: optuna.Trial, result: Tried[Candidate]) -> None:
    if result.state == "failed":
        study.tell(trial, state=TrialState.FAIL)
    elif result.state == "pruned":
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, result.mean)


def _sampler(settings: Search, seed: int) -> TPESampler:
    return TPESampler(seed=derive(seed, "search"), n_startup_trials=settings.first_trials)


def _pruner(settings: Search) -> BasePruner:
    if settings.prune == "median":
        return MedianPruner(n_startup_trials=MEDIAN_OF)
    return (
        SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
        if settings.prune == "halving"
        else NopPruner()
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells every trial to the log; the run's events do that."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
