"""Search beyond a grid: Optuna proposes (TPE; Bergstra et al., 2011), the folds score, a pruner ends what is behind.

A trial is one candidate. It is scored fold by fold; after each, the mean so far is compared with what earlier trials had after
as many folds (Akiba et al., 2019). Everything is in memory and follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from sixfold.build import grid
from sixfold.core.errors import RecipeError
from sixfold.core.seeds import derive
from sixfold.evaluate.selecting import order
from sixfold.recipe.schema import Options
from sixfold.recipe.space import Range, Search, is_range, unfit

Candidate = TypeVar("Candidate")
MEDIAN_OF = 5  # finished trials that a median is taken of (Optuna's own default)


class Trial(Protocol):
    """What proposes values: an `optuna.Trial`."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number in [low, high]."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number in [low, high]."""

    def suggest_categorical(self, name: str, choices: list[int]) -> int:
        """One of `choices`."""


class Fields(NamedTuple):
    """What must be known of options by their names (`outer.inner` inside a mapping): which are lists, which whole numbers."""

    is_list: Callable[[str], bool]
    is_whole: Callable[[str], bool]


# ---- one candidate -----------------------------------------------------------------------------------------------


def suggest(trial: Trial, options: Options, fields: Fields, prefix: str = "") -> Options:
    """`options` with a value in the place of every range and of every list that is a grid; mappings are looked into.

    What is chosen is known to `trial` by `prefix` and the option's name, and the number of a list's item, so that options of
    alternatives do not meet: `optimizer: [{name: sgd, momentum: {low: 0, high: 0.9}}, adam]`. Raises RecipeError for a range
    that is none.
    """
    return {key: _suggested(trial, value, key, fields, f"{prefix}{key}") for key, value in options.items()}


def _suggested(trial: Trial, value: Any, key: str, fields: Fields, name: str) -> Any:
    if is_range(value):
        return _within(trial, value, fields.is_whole(key), name)
    if isinstance(value, dict):
        inner = Fields(partial(_inner, fields.is_list, key), partial(_inner, fields.is_whole, key))
        return suggest(trial, value, inner, f"{name}.")
    tried = grid.values(value, fields.is_list(key))
    at = trial.suggest_categorical(name, list(range(len(tried)))) if len(tried) > 1 else 0
    return _suggested(trial, tried[at], key, fields, f"{name}.{at}") if isinstance(tried[at], dict) else tried[at]


def _inner(of: Callable[[str], bool], outer: str, key: str) -> bool:
    return of(f"{outer}.{key}")


def _within(trial: Trial, value: dict[str, Any], whole: bool, name: str) -> float | int:
    if problem := unfit(value):
        raise RecipeError(name, f"a range ({problem})", str(value), "Write {low: 0.001, high: 10, log: true}.")
    chosen = Range.model_validate(value)
    if not whole:
        return trial.suggest_float(name, chosen.low, chosen.high, step=chosen.step, log=chosen.log)
    numbers = (chosen.low, chosen.high, chosen.step or 1.0)
    if any(number != int(number) for number in numbers):
        raise RecipeError(name, "a range of whole numbers", str(value), "Write whole numbers for low, high and step.")
    low, high, step = map(int, numbers)
    return trial.suggest_int(name, low, high, step=step, log=chosen.log)


# ---- all of them -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tried(Generic[Candidate]):
    """One trial. `scores`: fold → score, for the folds that were done. `reason`: why it ended early; '' if it did not."""

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
    """All trials in their order. `fits`: how many were trained; a candidate proposed again is not."""

    trials: tuple[Tried[Candidate], ...]
    fits: int

    @property
    def best(self) -> Tried[Candidate] | None:
        """The greatest mean over all folds, the first of equals; None when no trial was scored on all."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return max(complete, key=lambda trial: round(trial.mean, 12), default=None)


def search(
    propose: Callable[[Trial], Candidate], score: Callable[[Candidate, Sequence[int]], Sequence[float]], folds: int,
    settings: Search, seed: int = 0, enough: Callable[[], bool] = lambda: False,
) -> Searched[Candidate]:  # fmt: skip
    """Propose `settings.trials` candidates and score them on the folds; equal seeds and scores give equal trials.

    `score`: of a candidate on some folds, greater is better; NaN, where a fold cannot score, ends the trial. Folds come in one
    random order for all, as many at a time as the pruner wants to see. `enough()` is asked before every trial but the first:
    True ends the search (the budget). A proposal that was made before takes over its scores.
    """
    tried: list[Tried[Candidate]] = []
    known: dict[str, Tried[Candidate]] = {}
    fits, visited = 0, order(folds, seed)
    ends = list(accumulate(_blocks(settings, folds), initial=0))
    blocks = [visited[first:last] for first, last in pairwise(ends)]
    with _quiet():
        study = optuna.create_study(direction="maximize", sampler=_sampler(settings, seed), pruner=_pruner(settings))
        while len(tried) < settings.trials and not (tried and enough()):
            trial = study.ask()
            candidate = propose(trial)
            key = repr(sorted(trial.params.items()))
            if key in known:
                result = known[key]
            else:
                result = known[key] = _trial(trial, candidate, partial(score, candidate), blocks)
                fits += len(result.scores)
            _tell(study, trial, result)
            tried.append(result)
    return Searched(tuple(tried), fits)


def _trial(
    trial: optuna.Trial, candidate: Candidate, score: Callable[[Sequence[int]], Sequence[float]],
    blocks: Sequence[Sequence[int]],
) -> Tried[Candidate]:  # fmt: skip
    scores: dict[int, float] = {}
    folds = sum(map(len, blocks))
    for block in blocks:
        scores |= {fold: float(value) for fold, value in zip(block, score(block), strict=True)}
        if wrong := [fold for fold in block if not np.isfinite(scores[fold])]:
            return Tried(candidate, trial.params, scores, "failed", f"fold {wrong[0] + 1} cannot score it")
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
    return SuccessiveHalvingPruner(min_resource=1, reduction_factor=2) if settings.prune == "halving" else NopPruner()


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells every trial to the log; the run's events do that."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
