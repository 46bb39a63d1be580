"""Cross-validation: J̄ = (1/K) Σ J(θ_k), every fold prepared, trained and scored on its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sixfold.build.apart import fit_all
from sixfold.build.candidate import Candidate, fits_of
from sixfold.core.errors import BudgetError
from sixfold.core.units import show_seconds
from sixfold.evaluate import scoring
from sixfold.evaluate.expected import expected_s
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.fold_cache import FoldCache, FoldKey
from sixfold.evaluate.fold_models import (
    FileWriter,
    FoldModel,
    FoldModels,
    MemoryWriter,
    ModelStore,
    link,
)
from sixfold.evaluate.model import (
    Model,
    Prepared,
    calibrate,
    fit_of,
    needs_inner_folds,
    own_part,
    prepare_rows,
    watch_of,
    weighed,
)
from sixfold.parts import state
from sixfold.parts.fit import Fitted, OutputKind
from sixfold.parts.sparse import held_bytes
from sixfold.parts.state import State
from sixfold.parts.table import Dataset, FloatArray
from sixfold.parts.transcripts import widened
from sixfold.runs.context import Context
from sixfold.runs.disk import DiskLimit

MANY = 1 << 30


@dataclass(frozen=True)
class FoldScores(State):
    """One candidate on some of the folds, `numbers`. `models`, `predictions` (of the rows that a
    fold validates, [rows, outputs]) and `scores` (metric → float64, NaN where the family cannot be
    scored by it) have one entry a fold. Of stored models it has the places alone.
    """

    name: str
    family: str
    numbers: tuple[int, ...]
    models: FoldModels
    predictions: tuple[FloatArray, ...]
    scores: dict[str, FloatArray]
    fit_s: float


@dataclass(frozen=True)
class FoldScoresOfAll(State):
    """Of candidates that are alike, all on the same folds."""

    parts: tuple[FoldScores, ...]

    def save(self, folder: Path, disk: DiskLimit | None = None) -> None:
        """Into the folder that has the files of the models, too. Raises BudgetError where `disk`
        has no room.
        """
        named = FoldScoresOfAll(
            tuple(replace(part, models=part.models.named()) for part in self.parts)
        )
        if disk is not None and disk.most is not None:
            disk.room(state.file_bytes(named), keep=(folder,))
        state.save(named, folder)

    @classmethod
    def load(cls, folder: Path) -> FoldScoresOfAll:
        """What `save` wrote; no model is read. Raises BundleError where the file is damaged."""
        found = state.load(folder, FoldScoresOfAll)
        return cls(tuple(replace(part, models=part.models.within(folder)) for part in found.parts))


@dataclass(frozen=True)
class Evaluation(State):
    """One candidate on all folds; or, where it was `dropped` (why, or ''), on those that were done,
    `numbers`.

    `scores`: metric → float64 [folds], NaN where the family cannot be scored by it, or the fold was
    not done. `predictions`: out-of-fold, float64 [rows, outputs], NaN for rows that no fold
    validates, the mean where several do (of texts the last one). `models`: of `numbers`. `fit_s`: seconds of preparing and
    training; what one candidate's work saves another (prepared folds, networks that train as one, a
    matrix that is factored once) is counted with the first. `shares`: what its model takes of
    `budget.bundle` and of `budget.latency`, 1 for all of it; of those that the recipe gives. `ahead`: it goes
    before those whose means are better (of an ensemble: `select.winner`).
    """

    name: str
    family: str
    output: OutputKind
    metrics: tuple[str, ...]
    scores: dict[str, FloatArray]
    predictions: FloatArray
    models: FoldModels
    fit_s: float
    numbers: tuple[int, ...]
    dropped: str = ""
    shares: tuple[float, ...] = ()
    ahead: bool = False

    def means(self) -> dict[str, float]:
        """Metric → mean over the folds, J̄ = (1/K) Σ J(θ_k); without the metrics that some fold
        cannot be scored by.
        """
        return {
            name: float(np.mean(values))
            for name, values in self.scores.items()
            if np.isfinite(values).all()
        }


class PreparedFold(NamedTuple):
    """A fold's number, and its training rows as features."""

    number: int
    prepared: Prepared


def cross_validate(
    candidate: Candidate,
    dataset: Dataset,
    folds: Sequence[Fold],
    metrics: Sequence[str],
    context: Context,
    cache: FoldCache | None = None,
) -> Evaluation:
    """Train `candidate` on each fold's training rows and score it on the validation rows. As
    `evaluate_folds`.
    """
    group = Group((candidate,), dataset, folds, context, cache or FoldCache(0))
    return join(evaluate_folds(group, range(len(folds)), metrics), dataset, folds)


def evaluate_folds(
    group: Group, numbers: Sequence[int], metrics: Sequence[str]
) -> list[FoldScores]:
    """Train the candidates of a group on the folds `numbers`, as one piece of work where they can.

    Time left is divided among the folds. Emits `fold_scored`. Raises BudgetError when time runs out
    before the last fold, FitError, RecipeError. The features of as many folds are alive as the
    family works on at once, besides those in `cache`; a model is alive until it is scored and
    stored (`Group.store`).
    """
    group.cache.belong_to(group.dataset, group.folds)
    tallies = {
        candidate.name: Tally(candidate.name, candidate.family_name, metrics)
        for candidate in group.candidates
    }
    left, pace = list(numbers), FoldPace(group.candidates[0], group.context, group.expected_s)
    while left:
        done_before = group.saved(left[0])
        if done_before is not None:
            parts = group.adopted(done_before)
            pace.saw(sum(part.fit_s for part in parts.parts))
        else:
            batch = group.batch(left, min(group.beside, pace.most()))
            scoring_of = BatchScoring(
                group, metrics, pace, _part(group.context, len(batch), len(left))
            )
            fitted = group.fit(batch, scoring_of.context)
            while batch:
                with group.store.writer(
                    f"models-{batch[0].number}"
                ) as writer:  # a file a fold: batches depend on cores
                    for candidate in group.candidates:
                        scoring_of.add(batch[0], candidate, next(fitted), writer)
                del batch[0]  # its features
            del fitted  # it holds the features of all these folds
            parts = scoring_of.parts()
        left = [number for number in left if number not in parts.parts[0].numbers]
        for part in parts.parts:
            tallies[part.name].add(part)
        if done_before is None and (left or group.part):
            group.save(parts)
        if done_before is None and left:
            group.check_next()
    return [tally.part() for tally in tallies.values()]


class BatchScoring:
    """Scores the models of some folds as they are fitted. `context`: the part of the time that
    these folds have.
    """

    def __init__(
        self, group: Group, metrics: Sequence[str], pace: FoldPace, context: Context
    ) -> None:
        self.group, self.pace, self.context = group, pace, context
        self.tallies = {
            each.name: Tally(each.name, each.family_name, metrics) for each in group.candidates
        }
        self.started = time.monotonic()

    def add(
        self,
        fold: PreparedFold,
        candidate: Candidate,
        fitted: Fitted,
        writer: MemoryWriter | FileWriter,
    ) -> None:
        """Score the fold's model on the rows that it did not see, and store it."""
        group, tally = self.group, self.tallies[candidate.name]
        validation = group.dataset.take(group.folds[fold.number].validation)
        model = group.model(fold, candidate, fitted, self.context)
        took_s = time.monotonic() - self.started
        tally.score(fold.number, model, validation, took_s)
        tally.models.append(writer.add(model))
        facts = {"candidate": candidate.name} if len(group.candidates) > 1 else {}
        group.context.emit(
            "fold_scored", fold=fold.number, folds=len(group.folds), scores=tally.found(), **facts
        )
        self.pace.saw(took_s)
        self.started = time.monotonic()

    def parts(self) -> FoldScoresOfAll:
        """What was scored."""
        return FoldScoresOfAll(tuple(tally.part() for tally in self.tallies.values()))


def join(
    parts: Sequence[FoldScores], dataset: Dataset, folds: Sequence[Fold], dropped: str = ""
) -> Evaluation:
    """What one candidate did, fold after fold."""
    scores = {name: np.full(len(folds), np.nan) for name in parts[0].scores}
    said = dataset.target.task == "transcription"
    found_in = [predicted.shape[1] for part in parts for predicted in part.predictions]
    total, times_seen = (
        np.zeros((dataset.table.rows, max(dataset.target.outputs, *found_in))),
        np.zeros(dataset.table.rows),
    )
    models: dict[int, FoldModel] = {}
    for part in parts:
        for at, number in enumerate(part.numbers):
            models[number] = part.models.places[at]
            rows, predicted = folds[number].validation, part.predictions[at]
            if said:  # texts have no mean: of several the last one
                total[rows], times_seen[rows] = widened(predicted, total.shape[1]), 1
            else:
                total[rows] += predicted
                times_seen[rows] += 1
            for name, found in part.scores.items():
                scores[name][number] = found[at]
    with np.errstate(invalid="ignore"):
        predictions = total / times_seen[:, None]
    numbers = tuple(sorted(models))
    return Evaluation(
        parts[0].name,
        parts[0].family,
        models[numbers[0]].output,
        tuple(scores),
        scores,
        predictions,
        FoldModels(tuple(models[number] for number in numbers)),
        sum(part.fit_s for part in parts),
        numbers,
        dropped,
    )


@dataclass(frozen=True)
class Group:
    """Candidates that are alike (`Candidate.batch_key`), on one dataset's folds.

    `expected_s`: seconds that a fold is expected to take, where that is known. `beside`: folds at
    once, at most. `first_only`: the first folds that are worked on at once are all that is done.
    `store`: where the models go. `part`: of a stage, which finds in the saved state what was done.
    """

    candidates: Sequence[Candidate]
    dataset: Dataset
    folds: Sequence[Fold]
    context: Context
    cache: FoldCache
    expected_s: float | None = None
    beside: int = MANY
    first_only: bool = False
    store: ModelStore = field(default_factory=ModelStore)
    part: bool = False

    def done(self, numbers: Sequence[int]) -> list[FoldScoresOfAll]:
        """What was saved of the folds `numbers` by a stage that did not end."""
        found: list[FoldScoresOfAll] = []
        left = list(numbers)
        while left:
            saved = self.saved(left[0])
            gone = [left[0]] if saved is None else saved.parts[0].numbers
            found += [] if saved is None else [saved]
            left = [number for number in left if number not in gone]
        return found

    def check_next(self) -> None:
        """Raises BudgetError after the first folds, where no more are wanted."""
        if self.first_only:
            raise BudgetError(
                "budget.time", "time for all folds", "time for the first", "Raise budget.time."
            )

    def saved(self, number: int) -> FoldScoresOfAll | None:
        """What an earlier command did of fold `number` and those that were worked on with it."""
        saves = self.context.saves
        folder = None if saves is None else saves.piece(f"folds-{number}")
        return None if folder is None else FoldScoresOfAll.load(folder)

    def adopted(self, parts: FoldScoresOfAll) -> FoldScoresOfAll:
        """What was saved, with its models in this stage's own folder."""
        return FoldScoresOfAll(
            tuple(replace(part, models=self.store.adopted(part.models)) for part in parts.parts)
        )

    def save(self, parts: FoldScoresOfAll) -> None:
        """These folds need not be done again, should the stage be killed before its end."""
        if self.context.saves is None:
            return
        files = {file for part in parts.parts for file in part.models.files}

        def write(folder: Path) -> None:
            for file in files:
                link(file, folder / file.name)
            parts.save(folder)

        size = state.file_bytes(parts) + sum(file.stat().st_size for file in files)
        self.context.saves.keep(f"folds-{parts.parts[0].numbers[0]}", write, size)

    def batch(self, numbers: Sequence[int], most: int) -> list[PreparedFold]:
        """The folds that are worked on next, as many as the family works on at once, and `most` at
        most.
        """
        batch: list[PreparedFold] = []
        for number in numbers:
            self.context.check_time(
                f"fitting fold {number + 1} of {len(self.folds)} of {self.candidates[0].name}"
            )
            batch.append(PreparedFold(number, self._prepared(number)))
            size = held_bytes(batch[-1].prepared.x)  # of the next one, too, as good as
            if len(batch) >= min(most, self.candidates[0].family.folds_at_once(size)):
                break
        return batch

    def fit(self, batch: Sequence[PreparedFold], context: Context) -> Iterator[Fitted]:
        """Fold by fold, candidate by candidate; each is trained when it is asked for."""
        first, target = self.candidates[0], self.dataset.target
        fits = [
            fit_of(
                one,
                weighed(first, target.take(self.folds[number].train)),
                self._of(number),
                {"fold": number},
            )
            for number, one in batch
        ]
        if context.saves is not None:
            context = replace(
                context, saves=context.saves.within(f"training-folds-{batch[0].number}")
            )
        work = fits_of(self.candidates, fits, watch_of(first, target))
        return fit_all(first.family, work, own_part(first, context))

    def model(
        self, fold: PreparedFold, candidate: Candidate, fitted: Fitted, context: Context
    ) -> Model:
        """What was fitted on a fold, with its preparation and what is fitted on inner folds."""
        number, target = fold.number, self.dataset.target
        model = Model.of(fold.prepared.preparer, fitted, target)
        if not needs_inner_folds(candidate):
            return model
        part = replace(
            self._of(number), deadline=context.deadline, saves=None
        )  # inner fits are short
        return calibrate(candidate, model, self.dataset.take(self.folds[number].train), part)

    def expected(self, number: int) -> float | None:
        """Seconds that fold `number` is expected to take: what its preparation took, and what fits
        on some of its rows say.
        """
        started = time.monotonic()
        prepared = self._prepared(number)
        prepared_s, target = (
            time.monotonic() - started,
            self.dataset.target.take(self.folds[number].train),
        )
        fit_s = expected_s(self.candidates, prepared, target, self._of(number))
        return None if fit_s is None else prepared_s + fit_s

    def _of(self, number: int) -> Context:
        return self.context.within("fold", number, fold=number)

    def _prepared(self, number: int) -> Prepared:
        """A fold's features. They depend on the recipe, the family's needs, the seed, and the
        fold.
        """
        first = self.candidates[0]
        key = FoldKey(
            repr((first.prepare.model_dump_json(), first.family.needs, self.context.seed)), number
        )
        prepared = self.cache.get(key)
        if prepared is None:
            prepared = prepare_rows(
                first, self.dataset.take(self.folds[number].train), self._of(number)
            )
            self.cache.put(key, prepared)
        return prepared


@dataclass(frozen=True)
class FoldInputs:
    """What the stages of a comparison read: all training rows, the folds over them, and the
    metrics. `disk`: the room for results; None asks for none. Stages that are done one after the
    other share `cache`.
    """

    dataset: Dataset
    folds: Sequence[Fold]
    metrics: Sequence[str]
    disk: DiskLimit | None = None
    cache: FoldCache = field(default_factory=FoldCache)

    def save(self, folder: Path) -> None:
        """For processes that do such stages."""
        state.save(StoredInputs(self.dataset, tuple(self.folds), tuple(self.metrics)), folder)


@dataclass(frozen=True)
class StoredInputs(State):
    """`FoldInputs` in a folder."""

    dataset: Dataset
    folds: tuple[Fold, ...]
    metrics: tuple[str, ...]

    def opened(self, disk: DiskLimit | None) -> FoldInputs:
        """As stages read them."""
        return FoldInputs(self.dataset, self.folds, self.metrics, disk)


@dataclass(frozen=True)
class EvaluateFolds(State):
    """A stage's action: candidates that are alike, on the folds `numbers`. The others as in
    `Group`.
    """

    candidates: tuple[Candidate, ...]
    numbers: tuple[int, ...]
    expected_s: float | None = None
    beside: int = MANY
    first_only: bool = False
    part: bool = False

    def perform(self, inputs: FoldInputs, context: Context, folder: Path) -> None:
        """Write `FoldScoresOfAll` into `folder`. Raises as `evaluate_folds`; BudgetError where the
        disk has no room.
        """
        group = Group(
            self.candidates,
            inputs.dataset,
            inputs.folds,
            context,
            inputs.cache,
            self.expected_s,
            self.beside,
            self.first_only,
            ModelStore(folder, inputs.disk),
            self.part,
        )
        found = FoldScoresOfAll(tuple(evaluate_folds(group, self.numbers, inputs.metrics)))
        found.save(folder, inputs.disk)

    def parts(self, count: int) -> list[EvaluateFolds]:
        """Neighboring folds each, as many as of the others, or one more."""
        if self.first_only:
            return []
        shares = np.array_split(self.numbers, min(count, len(self.numbers)))
        return [replace(self, numbers=tuple(share.tolist()), part=True) for share in shares]

    def save(self, folder: Path) -> None:
        """For a process that does this stage."""
        state.save(self, folder)


class Tally:
    """What one candidate did so far."""

    def __init__(self, name: str, family: str, metrics: Sequence[str]) -> None:
        self.name, self.family, self.metrics = name, family, metrics
        self.numbers: list[int] = []
        self.models: list[FoldModel] = []
        self.predictions: list[FloatArray] = []
        self.scores: dict[str, list[float]] = {name: [] for name in metrics}
        self.fit_s = 0.0

    def score(self, number: int, model: Model, validation: Dataset, fit_s: float) -> None:
        """One fold's model on the rows that it did not see. Where it is to be found is appended to
        `models` by the caller.
        """
        predicted = model.predict(validation.table)
        scored = scoring.score_all(
            self.metrics, validation.target, predicted, model.output, model.threshold
        )
        for name, score in scored.items():
            self.scores[name].append(np.nan if score is None else score)
        self.numbers.append(number)
        self.predictions.append(predicted)
        self.fit_s += fit_s

    def add(self, part: FoldScores) -> None:
        """What was done of some more folds."""
        self.numbers += part.numbers
        self.models += part.models.places
        self.predictions += part.predictions
        for name, found in part.scores.items():
            self.scores[name] += found.tolist()
        self.fit_s += part.fit_s

    def found(self) -> dict[str, float]:
        """The scores of the last fold that it can be scored by."""
        return {
            name: float(each[-1]) for name, each in self.scores.items() if np.isfinite(each[-1])
        }

    def part(self) -> FoldScores:
        """As it is kept."""
        scores = {name: np.array(each) for name, each in self.scores.items()}
        return FoldScores(
            self.name,
            self.family,
            tuple(self.numbers),
            FoldModels(tuple(self.models)),
            tuple(self.predictions),
            scores,
            self.fit_s,
        )


def _part(context: Context, folds: int, left: int) -> Context:
    if context.deadline is None:
        return context
    return replace(context, deadline=time.monotonic() + context.left_s() * folds / left)


class FoldPace:
    """Whether there is time for another batch of folds. `expected_s`: of one fold, where it is
    known; then what was seen counts.

    Most solvers cannot be interrupted: what will not end in time is not begun.
    """

    def __init__(self, candidate: Candidate, context: Context, expected_s: float | None) -> None:
        self.name, self.context = candidate.name, context
        self.needs_inner_folds = not candidate.family.ends_in_time
        self.expected_s = expected_s
        self.longest = 0.0

    def saw(self, took_s: float) -> None:
        """What a fold took, and those that were worked on with it."""
        self.longest = max(self.longest, took_s)

    def most(self) -> int:
        """How many folds at once there is time for. Raises BudgetError where there is time, but not
        enough for one.
        """
        left_s = self.context.left_s()
        if not self.needs_inner_folds or left_s <= 0 or left_s == float("inf"):
            return MANY
        if self.longest > 0:
            needed_s, known = self.longest, f"which took {show_seconds(self.longest)} before"
        elif self.expected_s is not None:
            needed_s, known = (
                self.expected_s,
                f"which is expected to take {show_seconds(self.expected_s)}",
            )
        else:
            return MANY
        if left_s < needed_s:
            raise BudgetError(
                "budget.time",
                f"time for another fit of {self.name}, {known}",
                f"{show_seconds(left_s)} left",
                "Raise budget.time, or use fewer folds or rows.",
            )
        return (
            MANY if self.longest > 0 else max(1, int(left_s / max(needed_s, 1e-9)))
        )  # side by side each may take longer
