"""`report.html`: one file, no script, nothing loaded from anywhere; opens offline, prints, light
and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sixfold.bundle.page import START
from sixfold.core.units import show_bytes, show_seconds
from sixfold.package import charts
from sixfold.package.data_uris import DataUris
from sixfold.recipe.report import (
    Curve,
    Explained,
    Figure,
    LanguageReport,
    Line,
    Report,
    Reproduction,
    Row,
    WrittenText,
)

FIGURES = {
    "roc": ("Receiver operating characteristic", "false positive rate", "true positive rate"),
    "pr": ("Precision and recall", "recall", "precision"),
    "calibration": ("Calibration", "predicted probability", "observed share"),
    "quantiles": ("Calibration of the quantiles", "quantile", "share of rows not above it"),
}
FOLDS_DRAWN = 20  # of a candidate's learning curves, behind their mean
MAX_CURVES = 6  # candidates drawn; the leaderboard's order decides


def render(
    report: Report,
    reproduction: Reproduction,
    thumbnails: DataUris | None = None,
    explained: DataUris | None = None,
) -> str:
    """The report as one HTML page (UTF-8, under 2 MB for any run: every chart is bounded where its
    data is made).

    `thumbnails`: data URIs of images and recordings that its examples show; `explained`: of images
    among stored rows whose answers are explained.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters.update(bytes=show_bytes, seconds=show_seconds, figure=_number)
    metric = report.receipt.metric
    return environment.get_template("report.html.jinja").render(
        start=START,
        report=report,
        receipt=report.receipt,
        metric=metric,
        reproduction=reproduction,
        strips=_strips(report.leaderboard, metric),
        curves=_curve_charts(report),
        by_step=_by_step(report.language),
        written=_by_prompt(report.language),
        figures=[_figure(figure) for figure in report.figures],
        importances=charts.bar_chart(report.importances[:25], "importance of columns")
        if report.importances
        else "",
        dependences=_dependences(report.explained),
        mean=lambda values: float(np.mean(values)),
        spread=_spread,
        cells=_cells,
        examples={
            kind: [each for each in report.examples if each.kind == kind]
            for kind in ("wrong", "unsure", "cell")
        },
        linked={(each.truth, each.predicted) for each in report.examples if each.kind == "cell"},
        thumbnails=thumbnails or {},
        explained=explained or {},
        shade=_shade,
    )


def _shade(change: float, widest: float) -> str:
    """The color of a piece: blue where it adds to the answer, red where it takes from it."""
    color = "200, 50, 40" if change < 0 else "40, 110, 220"
    return f"rgba({color}, {0.8 * abs(change) / (widest or 1.0):.3f})"


def _dependences(explained: Explained | None) -> list[tuple[str, Markup]]:
    """Of numbers a chart over their values; of other columns over the places of their names."""
    charted = []
    for each in () if explained is None else explained.dependences:
        x = each.x or tuple(map(float, range(len(each.names))))
        mean, thin = (
            Line(name="mean", x=x, y=each.mean),
            [Line(name="", x=x, y=y) for y in each.lines],
        )
        heights = [*each.mean, *(value for line in each.lines for value in line)]
        axes = charts.Axes(each.column, each.output, charts.padded(x), charts.padded(heights))
        names = f" ({', '.join(f'{at}: {name}' for at, name in enumerate(each.names))})"
        title = each.column + (names[:200] if each.names else "")
        charted.append((title, charts.line_chart([mean], axes, title, behind=[thin])))
    return charted


def _cells(row: Row, metric: str, count: int) -> list[float | None]:
    """The score of each of the first `count` folds; None where the candidate was not tried, or
    cannot be scored.
    """
    scores = row.scores.get(metric, ())
    known = dict(zip(row.folds or range(len(scores)), scores, strict=False))
    return [known.get(number) for number in range(count)]


def _strips(rows: Sequence[Row], metric: str) -> list[Markup]:
    everything = [score for row in rows for score in row.scores.get(metric, ())]
    return [
        charts.fold_strip(row.scores[metric], charts.padded(everything))
        if row.scores.get(metric)
        else Markup("")
        for row in rows
    ]


def _curve_charts(report: Report) -> list[tuple[str, Markup]]:
    """Per candidate: the loss of every fold and the mean, and the watched loss where there is
    one.
    """
    drawn: list[tuple[str, Markup]] = []
    for row in report.leaderboard:
        curves = [curve for curve in report.curves if curve.candidate == row.name]
        if curves and len(drawn) < MAX_CURVES:
            lines, folds = _mean_lines(curves), _fold_lines(curves[:FOLDS_DRAWN])
            everything = [*lines, *(line for kind in folds for line in kind)]
            x_range = charts.padded([x for line in everything for x in line.x])
            y_range = charts.padded([y for line in everything for y in line.y])
            axes = charts.Axes("epoch", "loss", x_range, y_range)
            drawn.append(
                (row.name, charts.line_chart(lines, axes, f"loss of {row.name}", behind=folds))
            )
    return drawn


def _by_step(language: LanguageReport | None) -> Markup:
    """The loss of a language model by step."""
    if language is None or not language.losses:
        return Markup("")
    x_range = charts.padded([x for line in language.losses for x in line.x])
    y_range = charts.padded([y for line in language.losses for y in line.y])
    axes = charts.Axes("step", "loss", x_range, y_range)
    return charts.line_chart(language.losses, axes, "loss by step")


def _by_prompt(language: LanguageReport | None) -> list[tuple[str, list[WrittenText]]]:
    """What a language model wrote, prompt by prompt, as it learned."""
    found: dict[str, list[WrittenText]] = {}
    for one in language.written if language is not None else ():
        found.setdefault(one.prompt, []).append(one)
    return list(found.items())


def _fold_lines(curves: Sequence[Curve]) -> list[list[Line]]:
    """Every fold's loss of training rows, and of watched rows; none where there is one fold, which
    is its own mean.
    """
    if len(curves) < 2:
        return []
    training, watched = [], []
    for curve in curves:
        x, name = tuple(map(float, curve.epochs)), f"fold {curve.fold + 1}"
        training.append(Line(name=name, x=x, y=curve.loss))
        if curve.validation:
            watched.append(Line(name=name, x=x, y=curve.validation))
    return [training, watched]


def _mean_lines(curves: Sequence[Curve]) -> list[Line]:
    """Folds may end at different epochs: the mean is over those that are still training."""
    by_epoch: dict[int, list[tuple[float, float]]] = {}
    for curve in curves:
        watched = curve.validation or (float("nan"),) * len(curve.loss)
        for epoch, loss, validation in zip(curve.epochs, curve.loss, watched, strict=True):
            by_epoch.setdefault(epoch, []).append((loss, validation))
    epochs = sorted(by_epoch)
    values = np.array([np.mean(by_epoch[epoch], axis=0) for epoch in epochs])
    x = tuple(float(epoch) for epoch in epochs)
    lines = [Line(name="training rows", x=x, y=tuple(values[:, 0].tolist()))]
    if np.isfinite(values[:, 1]).all():
        lines.append(Line(name="watched rows", x=x, y=tuple(values[:, 1].tolist())))
    return lines


def _figure(figure: Figure) -> tuple[str, Markup, str]:
    if figure.kind == "residuals":
        points = figure.lines[0]
        axes = charts.Axes(
            "predicted value", "residual", charts.padded(points.x), charts.padded([*points.y, 0.0])
        )
        return "Residuals", charts.scatter_chart(points, axes, "residuals", zero=True), figure.words
    title, x_label, y_label = FIGURES[figure.kind]
    axes = charts.unit_axes(x_label, y_label)
    return (
        title,
        charts.line_chart(figure.lines, axes, title, diagonal=figure.kind != "pr"),
        figure.words,
    )


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.1f}"
