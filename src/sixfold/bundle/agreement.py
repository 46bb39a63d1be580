"""Whether the files of a bundle tell of one model: the signature of itself; recipe, receipt and
report with it and each other.

Each rule yields where it is wrong, what is expected, and what was found. What is measured (seconds,
memory) or said in words cannot be checked again from the files alone, and is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sixfold.bundle.frontend import shorten
from sixfold.core import values
from sixfold.core.values import LevelType
from sixfold.recipe.grouping import grouping_alone
from sixfold.recipe.receipt import Cost, Receipt
from sixfold.recipe.report import Report
from sixfold.recipe.schema import Recipe
from sixfold.recipe.signature import Input, Signature

Finding = tuple[str, str, str]
Findings = Iterator[Finding]
# What models answer with that are no graph of rows.
WHOLE: Final = {"generation": "text", "recommendation": "items"}
SIGNATURE, RECIPE, RECEIPT, REPORT = "signature.json", "recipe.yaml", "receipt.json", "report.json"


def disagreement(
    signature: Signature, recipe: Recipe, receipt: Receipt, report: Report, model_bytes: int
) -> Finding | None:
    """The first thing in which the files differ; None where they agree."""
    rules = (
        _signature_itself(signature),
        _recipe(recipe, signature),
        _receipt(receipt, recipe),
        _costs(receipt),
        _model(receipt, signature, model_bytes),
        _report(report, receipt),
        _report_columns(report, signature),
        _report_charts(report, signature),
    )
    return next((finding for rule in rules for finding in rule), None)


def _signature_itself(signature: Signature) -> Findings:
    for what, names in (
        ("columns", [column.name for column in signature.inputs]),
        ("targets", signature.target),
        ("classes", signature.classes),
        ("fields", signature.fields),
    ):
        yield from _once(what, names)
    yield from _outputs(signature)
    if not _are_of(signature.class_type, signature.classes):
        yield (
            SIGNATURE,
            f"classes that are of class_type {signature.class_type}",
            _some(signature.classes),
        )
    if signature.fields and (
        other := {column.name for column in signature.inputs} - set(signature.fields)
    ):
        yield SIGNATURE, "columns that are among the fields", _some(other)
    for column in signature.inputs:
        yield from _input(column)


def _outputs(signature: Signature) -> Findings:
    """A label and scores of all classes in their order; or values of all targets in theirs."""
    found = {output.name: output.columns for output in signature.outputs}
    names, allowed = [output.name for output in signature.outputs], [["value"]]
    if signature.task in WHOLE:
        allowed = [[WHOLE[signature.task]]]
    if signature.task == "classification":
        allowed = [["label", "probability"], ["label", "decision"]]
    if signature.task == "transcription":
        allowed = [["text"]]
    if names not in allowed:
        yield (
            SIGNATURE,
            f"outputs {' or '.join(map(', '.join, allowed))} for {signature.task}",
            ", ".join(names),
        )
        return
    classes, quantiles = signature.classes, signature.quantiles
    yield from _quantiles(signature)
    expected = {
        "label": signature.target,
        "probability": classes,
        "decision": classes,
        "value": tuple(f"q{quantile}" for quantile in quantiles) or signature.target,
        "text": signature.target,
        "items": signature.target,
    }
    for name, columns in found.items():
        if columns != expected[name]:
            yield SIGNATURE, f"the columns of {name} to be {_some(expected[name])}", _some(columns)
    if (signature.task == "classification") != bool(classes):
        yield SIGNATURE, "classes for a classification, and for nothing else", f"{len(classes)}"


def _quantiles(signature: Signature) -> Findings:
    """Of the one target of a regression, rising."""
    quantiles = signature.quantiles
    if quantiles and (signature.task != "regression" or len(signature.target) != 1):
        yield SIGNATURE, "quantiles of a regression of one target only", _some(signature.target)
    if list(quantiles) != sorted(set(quantiles)):
        yield SIGNATURE, "quantiles that rise", _some(list(map(str, quantiles)))


def _input(column: Input) -> Findings:
    where = f"{SIGNATURE}, column '{shorten(column.name)}'"
    yield from _once(f"levels of '{shorten(column.name)}'", column.levels)
    if column.levels and column.type != "category":
        yield where, "levels of a category only", column.type
    if column.level_type != "text" and column.type != "category":
        yield where, "a level_type of a category only", column.type
    if not _are_of(column.level_type, column.levels):
        yield where, f"levels that are of level_type {column.level_type}", _some(column.levels)
    known = [
        value for value in (column.minimum, column.median, column.maximum) if value is not None
    ]
    if known != sorted(known):
        yield where, "minimum, median and maximum in this order", ", ".join(map(str, known))
    if known and column.type not in ("number", "date"):
        yield where, "a range of numbers and dates only", column.type


def _recipe(recipe: Recipe, signature: Signature) -> Findings:
    data = recipe.data
    if recipe.task_name not in (None, signature.task):
        yield RECIPE, f"the task of the signature, {signature.task}", str(recipe.task_name)
    yield from _recipe_targets(recipe, signature)
    if data.missing != signature.missing:
        yield (
            RECIPE,
            f"data.missing as in the signature, {_some(signature.missing)}",
            _some(data.missing),
        )
    if signature.fields and data.header:
        yield RECIPE, "data.header: false, as the signature has fields", "true"
    alone = grouping_alone(data.group, data.group_pattern)
    unused = {*data.drop, *filter(None, (*data.targets, alone, data.weight))}
    if signature.task == "recommendation":
        unused = set()  # whose columns have names of their own
    for column in signature.inputs:
        if column.name in unused:
            yield (
                SIGNATURE,
                "no column that the recipe drops, groups by, weighs by or predicts",
                shorten(column.name),
            )
        if data.types.get(column.name, column.type) != column.type:
            yield (
                SIGNATURE,
                f"'{shorten(column.name)}' as in data.types, {data.types[column.name]}",
                column.type,
            )
        if column.read != (data.read.marks_of(column.name) if column.type == "number" else None):
            yield SIGNATURE, f"marks of '{shorten(column.name)}' as in data.read", str(column.read)


def _recipe_targets(recipe: Recipe, signature: Signature) -> Findings:
    data = recipe.data
    if (data.target is None) != (signature.task in ("reconstruction", *WHOLE)):
        yield RECIPE, "a target for classes and values, and for nothing else", str(data.target)
    if data.target is not None and signature.target != data.targets:
        yield RECIPE, f"the target of the signature, {_some(signature.target)}", _some(data.targets)
    if recipe.quantiles != signature.quantiles:
        told = [_some(list(map(str, each))) for each in (signature.quantiles, recipe.quantiles)]
        yield RECIPE, f"the quantiles of the signature, {told[0]}", told[1]


def _receipt(receipt: Receipt, recipe: Recipe) -> Findings:
    metrics = [quality.metric for quality in receipt.quality]
    yield from _once("metrics", metrics, RECEIPT)
    if receipt.name != recipe.name:
        yield RECEIPT, f"the name of the recipe, {recipe.name}", shorten(receipt.name)
    if metrics[:1] != [receipt.metric]:
        yield (
            RECEIPT,
            f"its deciding metric, {shorten(receipt.metric)}, as the first one",
            _some(metrics),
        )
    if recipe.evaluate.metrics and list(recipe.evaluate.metrics) != metrics:
        yield (
            RECEIPT,
            f"the metrics of the recipe, {_some(recipe.evaluate.metrics)}",
            _some(metrics),
        )
    if (nested := receipt.nested) is not None and nested.metric != receipt.metric:
        yield RECEIPT, f"nested scores by {shorten(receipt.metric)}", shorten(nested.metric)
    yield from _compression(receipt, recipe)
    for quality in receipt.quality:
        if len({len(quality.folds_before), len(quality.folds_after)} - {0}) > 1:
            yield (
                RECEIPT,
                f"{quality.metric} of as many folds after as before",
                f"{len(quality.folds_after)}",
            )
        if receipt.rows_holdout == 0 and (quality.holdout_before, quality.holdout_after) != (
            None,
            None,
        ):
            yield RECEIPT, "no score of the holdout, which has no rows", shorten(quality.metric)


def _compression(receipt: Receipt, recipe: Recipe) -> Findings:
    if receipt.steps and recipe.compress is None:
        yield RECEIPT, "no steps, as the recipe compresses nothing", f"{len(receipt.steps)}"
    accepted = any(step.accepted for step in receipt.steps)
    if (receipt.verdict == "not asked for") == bool(receipt.steps) or (
        receipt.verdict == "compressed"
    ) != accepted:
        yield RECEIPT, f"a verdict on {len(receipt.steps)} steps", receipt.verdict


def _costs(receipt: Receipt) -> Findings:
    """Numbers that no measuring gives."""
    counts: dict[str, float] = {
        "rows_trained": receipt.rows_trained - 1,
        "rows_holdout": receipt.rows_holdout,
    }
    counts |= {"parity_worst": receipt.parity_worst, "duration_s": receipt.duration_s}
    for name, value in counts.items():
        if value < 0:
            yield RECEIPT, f"{name} that can be", f"{getattr(receipt, name)}"
    for cost in (receipt.before, receipt.after):
        yield from _cost(cost)
    if (http := receipt.http) is not None:
        if (http.p50_ms is None) != (http.p99_ms is None) or (http.p50_ms is None) == (
            http.requests > 0
        ):
            yield (
                RECEIPT,
                "a latency over HTTP with its requests, or none",
                f"{http.requests} requests",
            )
        elif not 0 <= (http.p50_ms or 0) <= (http.p99_ms or 0):
            yield RECEIPT, "p50 below p99", f"{http.p50_ms} and {http.p99_ms} ms"


def _cost(cost: Cost) -> Findings:
    for low, high in ((cost.p50_1_ms, cost.p99_1_ms), (cost.p50_64_ms, cost.p99_64_ms)):
        if (low is None) != (high is None) or not 0 <= (low or 0) <= (high or 0):
            yield RECEIPT, "p50 below p99", f"{low} and {high} ms"
    for rate in (cost.tokens_per_s_1, cost.tokens_per_s_8, cost.first_token_ms):
        if not (rate or 0) >= 0:
            yield RECEIPT, "rates that can be", f"{rate}"
    if (cost.peak_memory_bytes or 0) < 0:
        yield RECEIPT, "peak memory that can be", f"{cost.peak_memory_bytes}"


def _model(receipt: Receipt, signature: Signature, model_bytes: int) -> Findings:
    if receipt.after.file_bytes != model_bytes:
        yield RECEIPT, f"the bytes of the model, {model_bytes:,}", f"{receipt.after.file_bytes:,}"
    if receipt.after.inputs != len(signature.inputs):
        yield (
            RECEIPT,
            f"as many raw columns as the signature, {len(signature.inputs)}",
            f"{receipt.after.inputs}",
        )


def _report(report: Report, receipt: Receipt) -> Findings:
    if report.receipt != receipt:
        fields = [
            name
            for name in Receipt.model_fields
            if getattr(report.receipt, name) != getattr(receipt, name)
        ]
        yield REPORT, "the receipt of receipt.json", f"another {', '.join(fields)}"
    rows = {row.name: row for row in report.leaderboard}
    winner = rows.get(receipt.candidate)
    if winner is None:
        yield (
            REPORT,
            f"the candidate of the receipt, {shorten(receipt.candidate)}, on the leaderboard",
            _some(rows),
        )
        return
    for quality in receipt.quality:
        scores = winner.scores.get(quality.metric, ())
        if quality.folds_before and scores != quality.folds_before:
            yield (
                REPORT,
                f"the winner's {quality.metric} as in the receipt",
                "other scores of its folds",
            )
        baseline = report.baseline.get(quality.metric)
        if baseline != quality.baseline:
            yield (
                REPORT,
                f"the baseline of {quality.metric} as in the receipt, {quality.baseline}",
                f"{baseline}",
            )


def _report_columns(report: Report, signature: Signature) -> Findings:
    columns = {column.name: column.type for column in report.columns}
    yield from _once("columns", [column.name for column in report.columns], REPORT)
    for column in signature.inputs:
        if columns.get(column.name) != column.type:
            yield (
                REPORT,
                f"'{shorten(column.name)}', {column.type}, among its columns",
                str(columns.get(column.name)),
            )
    if other := {importance.column for importance in report.importances} - columns.keys():
        yield REPORT, "importances of its columns", _some(other)
    told = set() if report.explained is None else report.explained.named()
    if other := told - columns.keys():
        yield REPORT, "attributions of its columns", _some(other)


def _report_charts(report: Report, signature: Signature) -> Findings:
    if report.confusion is not None:
        classes, counts = report.confusion.classes, report.confusion.counts
        if classes != signature.classes:
            yield (
                REPORT,
                f"the classes of the signature, {_some(signature.classes)}",
                _some(classes),
            )
        if any(len(row) != len(classes) for row in (counts, *counts)) or any(
            n < 0 for row in counts for n in row
        ):
            yield REPORT, "a count for every two classes", "others"
    for curve in report.curves:
        lengths = {len(curve.epochs), len(curve.loss), len(curve.validation) or len(curve.loss)}
        if len(lengths) > 1 or list(curve.epochs) != sorted(set(curve.epochs)):
            yield (
                REPORT,
                "learning curves with a loss for every epoch",
                f"others, of {shorten(curve.candidate)}",
            )


def _once(what: str, names: Sequence[str], where: str = SIGNATURE) -> Findings:
    if len(set(names)) < len(names):
        seen: set[str] = set()
        again = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        yield where, f"each of the {what} once", f"'{shorten(again)}' again"


def _are_of(kind: LevelType, levels: Sequence[str]) -> bool:
    return kind == "text" or not levels or values.level_type(levels) == kind


def _some(names: Iterable[str]) -> str:
    """The first three."""
    listed = list(names)
    shown = ", ".join(repr(shorten(name)) for name in listed[:3]) or "none"
    return f"{shown} and {len(listed) - 3} more" if len(listed) > 3 else shown
