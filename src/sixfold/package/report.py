"""From the results of a run to the content of its report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from sixfold.core.values import show_day
from sixfold.evaluate import curves, out_of_fold
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold import Fold
from sixfold.explain.permutation import ColumnImportance as Shuffled
from sixfold.package.examples import examples
from sixfold.package.output_scores import output_scores
from sixfold.package.receipt import verdict
from sixfold.parts.modality import Summarized, is_modality, modality_of
from sixfold.parts.table import Column, Dataset, FloatArray, IntArray, Table, Target
from sixfold.recipe.plan import PlanLine
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.report import (
    Cohorts,
    ColumnSummary,
    Confusion,
    Curve,
    Explained,
    Figure,
    Importance,
    Layer,
    Line,
    Report,
    Row,
)
from sixfold.select import leaderboard, significance
from sixfold.select.winner import Winner

CURVE_POINTS = 200
MOST_RESIDUALS = 8  # targets whose residuals are drawn
MOST_POINTS = 100_000  # of all learning curves, those of the best candidates first: a reader of a bundle bounds report.json
MOST_SCORES = 100_000  # of folds on the leaderboard, the best candidates first
UNDRAWN: Final = frozenset(
    {"generation", "recommendation", "transcription"}
)  # tasks whose predictions are no values
DRAWN_DIGITS = 6  # of a chart's points: a chart is some hundred pixels wide


class Epoch(NamedTuple):
    """Of one fit: the mean loss of its rows, and what was watched."""

    number: int
    loss: float
    validation: float | None


class Told(NamedTuple):
    """As in `Report`."""

    explained: Explained | None = None
    cohorts: Cohorts | None = None


@dataclass(frozen=True)
class Findings:
    """What else a report tells of: importances of raw columns, the events of the run, and the
    fitted model (for its layers). `examples`: rows that each list may show; `plan`: as
    `Report.plan`; `told`: what explains the model.
    """

    importances: Sequence[Shuffled]
    events: Iterable[dict[str, Any]]
    fitted: Any
    examples: int = 0
    plan: tuple[PlanLine, ...] = ()
    told: Told = field(default_factory=Told)


def report(receipt: Receipt, training: Dataset, compared: Winner, found: Findings) -> Report:
    """`compared`: the winner, and what it was compared with."""
    evaluations, folds, baseline = compared.evaluations, compared.plan.folds, compared.plan.baseline
    ranked = _listed([evaluations[i] for i in leaderboard.order(evaluations, receipt.metric)])
    left_out = len(evaluations) - len(ranked)
    short = (
        (f"The {len(ranked):,} best of {len(evaluations):,} candidates are listed.",)
        if left_out
        else ()
    )
    everything = list(found.events)
    history = [
        event for event in everything if "outer" not in event
    ]  # their candidates and epochs are their own
    winner = ranked[0]
    return Report(
        verdict=verdict(receipt, _runner_up(ranked, training, receipt.metric, folds)),
        notes=(*texts([event for event in history if "fold" not in event], "note"), *short),
        warnings=texts(everything, "warning"),
        columns=columns(training.table),
        baseline={
            name: float(np.mean(values))
            for name, values in baseline.items()
            if np.isfinite(values).all()
        },
        leaderboard=tuple(
            _row(each, history, _against(winner, each, receipt.metric, folds)) for each in ranked
        ),
        curves=_drawn(learning_curves(history), [each.name for each in ranked]),
        confusion=_confusion(training.target, winner, folds),
        figures=figures(training.target, winner),
        outputs=output_scores(training.target, winner, folds),
        examples=examples(
            training, winner, folds, _by_importance(found.importances), found.examples
        ),
        importances=tuple(
            Importance(column=i.column, mean=i.mean, spread=i.spread) for i in found.importances
        ),
        explained=found.told.explained,
        cohorts=found.told.cohorts,
        receipt=receipt,
        plan=found.plan,
        layers=tuple(
            Layer(name=n, shape=" × ".join(map(str, s)), parameters=p)
            for n, s, p in layers(found.fitted)
        ),
    )


def _by_importance(found: Sequence[Shuffled]) -> list[str]:
    return [each.column for each in sorted(found, key=lambda each: -each.mean)]


def _listed(ranked: Sequence[Evaluation]) -> list[Evaluation]:
    """The first ones: as many as have MOST_SCORES scores in all, and the winner always."""
    kept: list[Evaluation] = []
    scores = 0
    for each in ranked:
        scores += sum(map(len, each.scores.values()))
        if kept and scores > MOST_SCORES:
            break
        kept.append(each)
    return kept


def _drawn(found: Sequence[Curve], names: Sequence[str]) -> tuple[Curve, ...]:
    """Curves of `names`, which are in the order of the leaderboard: those that have MOST_POINTS
    points in all.
    """
    places = {name: place for place, name in enumerate(names)}
    best = sorted(
        (c for c in found if c.candidate in places), key=lambda curve: places[curve.candidate]
    )
    points = np.cumsum([len(curve.epochs) for curve in best])
    kept = {id(curve) for curve, so_far in zip(best, points, strict=True) if so_far <= MOST_POINTS}
    return tuple(curve for curve in found if id(curve) in kept)


def texts(events: Iterable[dict[str, Any]], kind: str) -> tuple[str, ...]:
    """What was said, or warned of, each once."""
    notes = [event for event in events if event["event"] == kind]
    prefixes = [f"Outer fold {event['outer'] + 1}: " if "outer" in event else "" for event in notes]
    return tuple(
        dict.fromkeys(prefix + event["text"] for prefix, event in zip(prefixes, notes, strict=True))
    )


def layers(fitted: Any) -> list[tuple[str, tuple[int, int], int]]:
    """Layers of a network; nothing for other families."""
    return fitted.layers() if hasattr(fitted, "layers") else []


def columns(table: Table) -> tuple[ColumnSummary, ...]:
    """What the raw columns hold."""
    return tuple(_column(name, column) for name, column in table.columns.items())


def learning_curves(events: Iterable[dict[str, Any]]) -> tuple[Curve, ...]:
    """Losses of every fold's network, from the stream of events; epochs trained again replace their
    first attempt.
    """
    found: dict[tuple[str, int], list[Epoch]] = {}
    for event in events:
        if event["event"] == "epoch" and "candidate" in event and "fold" in event:
            series, told = (
                found.setdefault((event["candidate"], event["fold"]), []),
                epochs_of(event),
            )
            while series and told and told[0].number <= series[-1].number:
                series.pop()
            series += told
    return tuple(_curve(candidate, fold, series) for (candidate, fold), series in found.items())


def figures(target: Target, evaluation: Evaluation) -> tuple[Figure, ...]:
    """Charts of the winner's out-of-fold predictions."""
    predictions = evaluation.predictions
    if len(curves.seen(predictions)) == 0 or target.task in UNDRAWN:
        return ()
    if target.quantiles:
        found = _line(curves.quantiles(target, predictions))
        return (Figure(kind="quantiles", lines=(found,)),)
    if target.task != "classification":
        each = list(enumerate(target.each))[:MOST_RESIDUALS]
        return tuple(
            _residuals(one, predictions[:, at:] if at else predictions) for at, one in each
        )
    drawn = [
        ("roc", curves.roc(target, predictions)),
        ("pr", curves.precision_recall(target, predictions)),
    ]
    if evaluation.output == "probability":
        drawn.append(("calibration", curves.calibration(target, predictions)))
    return tuple(
        Figure(kind=kind, lines=tuple(map(_line, lines))) for kind, lines in drawn if lines
    )


def _residuals(target: Target, predictions: FloatArray) -> Figure:
    words = curves.residuals_in_words(target, predictions)
    line = _line(curves.residuals(target, predictions))
    return Figure(kind="residuals", lines=(line,), words=words)


def epochs_of(event: dict[str, Any]) -> list[Epoch]:
    """Those that an `epoch` event tells of; a loss that is no finite number cannot be drawn."""
    losses, watched = event["losses"], event["validations"] or [None] * len(event["losses"])
    first = event["epoch"] + 1 - len(losses)
    pairs = enumerate(zip(losses, watched, strict=True), start=first)
    return [Epoch(number, loss, value) for number, (loss, value) in pairs if loss is not None]


def _curve(candidate: str, fold: int, series: Sequence[Epoch]) -> Curve:
    some = [
        series[i]
        for i in np.unique(
            np.linspace(0, len(series) - 1, min(CURVE_POINTS, len(series))).astype(int)
        )
    ]
    watched = [each.validation for each in some if each.validation is not None]
    return Curve(
        candidate=candidate,
        fold=fold,
        epochs=tuple(each.number for each in some),
        loss=tuple(each.loss for each in some),
        validation=tuple(watched) if len(watched) == len(some) else (),
    )


def _row(evaluation: Evaluation, events: Iterable[dict[str, Any]], compared: str) -> Row:
    whys = (
        e.get("why", "")
        for e in events
        if e["event"] == "candidate_planned" and e["candidate"] == evaluation.name
    )
    done = list(evaluation.numbers)
    scores = {
        n: tuple(map(float, v[done]))
        for n, v in evaluation.scores.items()
        if np.isfinite(v[done]).all()
    }
    dropped = (
        f"Dropped after {len(done)} folds: {evaluation.dropped}." if evaluation.dropped else ""
    )
    return Row(
        name=evaluation.name,
        family=evaluation.family,
        scores=scores,
        fit_s=evaluation.fit_s,
        why=next(whys, ""),
        compared=compared,
        dropped=dropped,
        folds=evaluation.numbers,
    )


def _against(winner: Evaluation, other: Evaluation, metric: str, folds: Sequence[Fold]) -> str:
    """How a candidate stands to the winner: a sentence with an interval; '' for the winner, and for
    who was dropped.
    """
    if other.name == winner.name or other.dropped or not np.isfinite(other.scores[metric]).all():
        return ""
    first = significance.ScoredFolds("The winner", winner.scores[metric])
    second = significance.ScoredFolds("it", other.scores[metric])
    share = significance.validation_share(folds)
    return str(significance.by_folds(first, second, metric, share))


def _confusion(target: Target, evaluation: Evaluation, folds: Sequence[Fold]) -> Confusion | None:
    if target.task != "classification":
        return None
    counts = curves.confusion(target, out_of_fold.labels(evaluation, folds))
    return (
        None
        if counts is None
        else Confusion(classes=target.classes, counts=tuple(map(tuple, counts.tolist())))
    )


def _line(curve: curves.Points) -> Line:
    """Points of a drawing, with the digits of one."""
    return Line(name=curve.name, x=tuple(map(_short, curve.x)), y=tuple(map(_short, curve.y)))


def _short(value: float) -> float:
    return float(format(value, f".{DRAWN_DIGITS}g"))


def _runner_up(
    ranked: Sequence[Evaluation], training: Dataset, metric: str, folds: Sequence[Fold]
) -> str | None:
    """The difference of the two best by folds, and by rows of their out-of-fold predictions."""
    if len(ranked) < 2 or not np.isfinite(ranked[1].scores[metric]).all():
        return None
    mean, compared = (
        float(np.mean(ranked[1].scores[metric])),
        _against(ranked[0], ranked[1], metric, folds),
    )
    notes = f"Next best was {ranked[1].name} with {mean:.4g}. {compared}"
    if any(threshold is not None for each in ranked[:2] for threshold in each.models.thresholds):
        return notes  # rows are decided by a threshold of their fold's own, which predictions alone do not tell
    first = significance.Predicted("The winner", ranked[0].predictions, ranked[0].output)
    second = significance.Predicted("it", ranked[1].predictions, ranked[1].output)
    return f"{notes} By rows: {significance.by_rows(first, second, training.target, metric, _drawn_together(training))}"


def _drawn_together(training: Dataset) -> IntArray | None:
    """[rows] equal numbers for rows that are drawn as one: of a group, of interactions those of a user."""
    if training.target.task == "recommendation":
        return training.target.values[:, 0].astype(np.int64)
    return training.groups


def _column(name: str, column: Column) -> ColumnSummary:
    values = column.values
    present = values[~column.missing()]
    missing = 1 - len(present) / max(1, len(values))
    if is_modality(
        column.kind
    ):  # which identify their rows, and people: examples show them, or nothing does
        modality: object = modality_of(column.kind)
        detail = modality.summary(column) if isinstance(modality, Summarized) else ""
        return ColumnSummary(
            name=name,
            type=column.kind,
            missing=missing,
            distinct=len(np.unique(present)),
            detail=detail,
        )
    if values.dtype.kind != "f":
        codes, counts = np.unique(present, return_counts=True)
        top = [column.levels[codes[i]] for i in np.argsort(-counts, kind="stable")[:5]]
        return ColumnSummary(
            name=name,
            type=column.kind,
            missing=missing,
            distinct=len(codes),
            detail=", ".join(top)[:200],
        )
    distinct = len(np.unique(present))
    detail = ""
    if len(present):
        text = show_day if column.kind == "date" else "{:.6g}".format
        detail = (
            f"{text(present.min())} to {text(present.max())}, median {text(np.median(present))}"
        )
    return ColumnSummary(
        name=name, type=column.kind, missing=missing, distinct=distinct, detail=detail
    )
