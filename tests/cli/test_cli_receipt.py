"""The receipt as text: what was measured, before and after, and what is left out when it was not
measured.
"""

from __future__ import annotations

from typing import Any

from sixfold.cli.receipt_table import lines, text
from sixfold.recipe.receipt import Cost, Nested, Outer, Quality, Receipt, Step

BEFORE = Cost(
    file_bytes=120_000,
    parameters=5000,
    inputs=14,
    p50_1_ms=0.5,
    p99_1_ms=0.9,
    p50_64_ms=1.5,
    p99_64_ms=2.5,
    peak_memory_bytes=60_000_000,
)
AFTER = BEFORE.model_copy(update={"file_bytes": 30_000, "parameters": 1200, "inputs": 9})


def receipt(**changes: Any) -> Receipt:
    quality = Quality(
        metric="accuracy",
        greater_is_better=True,
        folds_before=(0.8, 0.9),
        folds_after=(0.7, 0.9),
        holdout_before=0.84,
        holdout_after=0.83,
        baseline=0.75,
    )
    values = {
        "name": "income",
        "candidate": "mlp",
        "rows_trained": 26_048,
        "rows_holdout": 6513,
        "metric": "accuracy",
        "quality": (quality,),
        "before": BEFORE,
        "after": AFTER,
        "verdict": "compressed",
        "parity_rows": 1024,
        "parity_worst": 2e-9,
        "steps": (
            Step(name="prune features", accepted=True, why="14 → 9 columns"),
            Step(name="quantize int8", accepted=False, why="accuracy would go from 0.85 to 0.7"),
        ),
    }
    return Receipt.model_validate({**values, **changes})


def test_the_whole_text() -> None:
    assert text(receipt()).splitlines() == [
        "Receipt of income: mlp, trained on 26,048 rows, compressed",
        "                                               before              after",
        "accuracy, 2 folds                              0.8500             0.8000",
        "accuracy, 6,513 rows held out                  0.8400             0.8300",
        "bytes of the model                           120.0 kB            30.0 kB",
        "raw columns                                        14                  9",
        "one row, p50 / p99 ms                   0.500 / 0.900      0.500 / 0.900",
        "64 rows, p50 / p99 ms                   1.500 / 2.500      1.500 / 2.500",
        "peak memory                                   60.0 MB            60.0 MB",
        "parameters                                      5,000              1,200",
        "  + prune features: accepted: 14 → 9 columns",
        "  - quantize int8: refused: accuracy would go from 0.85 to 0.7",
        "Ignoring the columns gives accuracy 0.75.",
        "Graph and pipeline agree on 1,024 stored rows (worst 2.0e-09).",
    ]


def test_of_a_language_model_the_worst_difference_is_shown() -> None:
    silent = {"p50_1_ms": None, "p99_1_ms": None, "p50_64_ms": None, "p99_64_ms": None}
    after = AFTER.model_copy(update=silent)
    told = text(receipt(after=after, parity_rows=8, parity_worst=1.23e-6)).splitlines()[-1]
    assert told == (
        "The served model scores 8 stored texts as the trained one (a token's log-probability differs by 1.2e-06 at most)."
    )


def test_what_was_not_measured_is_not_shown() -> None:
    bare = Quality(metric="rmse", greater_is_better=False)
    cost = BEFORE.model_copy(update={"parameters": None})
    shown = receipt(quality=(bare,), before=cost, after=cost, steps=(), verdict="not asked for")
    assert [name for name, _, _ in lines(shown)] == [
        "bytes of the model",
        "raw columns",
        "one row, p50 / p99 ms",
        "64 rows, p50 / p99 ms",
        "peak memory",
    ]
    assert text(shown).splitlines()[0] == "Receipt of income: mlp, trained on 26,048 rows"
    assert "Ignoring" not in text(shown)


def test_what_to_expect_stands_at_the_end() -> None:
    folds = [Outer(chosen="svm", candidates=4, inner=0.9, score=score) for score in (0.8, 0.9)]
    nested = Nested(
        metric="accuracy",
        greater_is_better=True,
        folds=tuple(folds),
        mean=0.85,
        spread=0.0707,
        optimism=0.05,
    )
    shown = text(receipt(nested=nested)).splitlines()
    assert shown[:-3] == text(receipt()).splitlines()
    assert shown[-3:] == [
        "Nested cross-validation: choosing and training as this recipe does gives accuracy 0.85 on rows that had no part in it "
        "(spread 0.071 over 2 outer folds).",
        "Choosing among 4 candidates made the winner's mean too good by 0.05, standard error 0.05: 0.9 on the folds that chose, "
        "0.85 on the others.",
        "Chosen: svm (2 of 2).",
    ]


def test_a_receipt_from_before_there_was_nesting_is_read() -> None:
    stored = receipt().model_dump(mode="json")
    del stored["nested"]
    assert Receipt.model_validate(stored) == receipt()


def test_large_values_and_values_of_one_side() -> None:
    quality = Quality(
        metric="rmse",
        greater_is_better=False,
        folds_before=(12_345.678,),
        holdout_before=None,
        holdout_after=0.5,
    )
    shown = {name: (before, after) for name, before, after in lines(receipt(quality=(quality,)))}
    assert shown["rmse, 1 folds"] == ("12,345.7", "-")
    assert shown["rmse, 6,513 rows held out"] == ("-", "0.5000")
