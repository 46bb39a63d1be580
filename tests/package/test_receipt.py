"""What a run leaves behind: the rows that the parity check asks, and how little they and the report
take.
"""

from __future__ import annotations

import numpy as np
import pytest

from sixfold.bundle.parity import Parity
from sixfold.data.raw import text_rows
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold_models import FoldModels
from sixfold.package.html import render
from sixfold.package.receipt import stored_rows, verdict
from sixfold.package.report import figures
from sixfold.parts.fit import OutputKind
from sixfold.parts.table import Column, Table, Target
from sixfold.recipe.receipt import Cost, Quality, Receipt, Step
from sixfold.recipe.report import Report, Reproduction, Row


def table(rows: int, columns: int = 6) -> Table:
    """Column c holds c + row / rows, so that every value tells where it is from; a category and a
    date beside them.
    """
    made = {f"n{c}": Column("number", c + np.arange(rows) / rows, ()) for c in range(columns)}
    made["kind"] = Column("category", (np.arange(rows) % 3).astype(np.int32), ("a", "b", "c"))
    return Table(made, rows)


@pytest.mark.parametrize("rows", [1, 2, 7, 330, 524, 3000])
def test_stored_rows_are_real_ones_and_mixed_ones(rows: int) -> None:
    whole = table(rows)
    found = stored_rows(whole, 0)
    assert found.rows == 1024
    real = min(rows, 500)
    origin = np.stack(
        [np.rint((found.columns[f"n{c}"].values - c) * rows) for c in range(6)], axis=1
    )
    assert (origin[:real] == origin[:real, :1]).all()
    assert len(np.unique(origin[:real, 0])) == real
    mixed = origin[real:]
    missing = np.isnan(mixed)
    assert 0.03 < missing.mean() < 0.07
    assert ((mixed[~missing] >= 0) & (mixed[~missing] < rows)).all()
    codes = found.columns["kind"].values[real:]
    assert 0.02 < (codes == 3).mean() < 0.08  # never seen before
    assert 0.02 < (codes == -1).mean() < 0.08
    if rows >= 7:  # enough for columns to start at rows of their own
        pairs = [(mixed[:, a] == mixed[:, b]).any() for a in range(6) for b in range(a)]
        assert not any(pairs)
    if rows == 7:  # small tables: the same seven rows are not mixed the same way again and again
        assert len(np.unique(mixed[~missing.any(axis=1)], axis=0)) > 200


def test_the_same_seed_stores_the_same_rows() -> None:
    first, second, other = (
        text_rows(stored_rows(table(40), seed), ["n0", "kind"]) for seed in (1, 1, 2)
    )
    assert first == second != other


def test_mixed_rows_take_a_fraction_of_what_real_ones_take() -> None:
    """A law on bytes: the values of the mixed rows come in the order in which the real rows have
    them.
    """
    generator = np.random.default_rng(0)
    columns = {
        f"c{i}": Column("number", generator.normal(size=500).round(6), ()) for i in range(20)
    }
    rows = text_rows(stored_rows(Table(columns, 500), 0), list(columns))
    real, every = (len(Parity(some, {}).packed()) for some in (rows[:500], rows))
    assert every < 1.3 * real


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_report_does_not_grow_with_the_rows(task: str) -> None:
    """Charts are bounded where they are made, and drawn with a drawing's digits."""
    small, large = (len(page(task, rows)) for rows in (2_000, 64_000))
    assert large < 1.05 * small


def page(task: str, rows: int) -> str:
    """The report of random predictions for so many rows."""
    generator = np.random.default_rng(1)
    if task == "classification":
        target = Target("classification", generator.integers(0, 2, rows), ("y",), ("no", "yes"))
        p = generator.random(rows)
        predictions = np.stack([1 - p, p], axis=1)
    else:
        target = Target("regression", generator.normal(size=rows), ("y",))
        predictions = generator.normal(size=(rows, 1))
    cost = Cost(
        file_bytes=1,
        inputs=1,
        p50_1_ms=1,
        p99_1_ms=1,
        p50_64_ms=1,
        p99_64_ms=1,
        peak_memory_bytes=1,
    )
    receipt = Receipt(
        name="r",
        candidate="c",
        rows_trained=rows,
        rows_holdout=0,
        metric="m",
        quality=(),
        before=cost,
        after=cost,
    )
    output: OutputKind = "probability" if task == "classification" else "value"
    drawn = figures(
        target, Evaluation("c", "c", output, ("m",), {}, predictions, FoldModels(), 0.0, ())
    )
    board = (Row(name="c", family="c", scores={"m": (1.0, 2.0)}, fit_s=1.0),)
    content = Report(
        verdict=(), columns=(), baseline={}, leaderboard=board, figures=drawn, receipt=receipt
    )
    assert all(
        len(repr(value)) <= 12
        for figure in drawn
        for line in figure.lines
        for value in (*line.x, *line.y)
    )
    return (
        render(content, Reproduction(command="", recipe="", data_sha256="", created=""))
        + content.model_dump_json()
    )


@pytest.mark.parametrize(
    ("after", "baseline", "rest"),
    [
        ((), 0.6, ", where ignoring the columns gives 0.6."),
        ((0.8, 0.9), None, "."),
        ((0.7, 0.9), 0.6, ", where ignoring the columns gives 0.6; 0.8 after compression."),
        ((0.7, 0.9), 0.82, ", where ignoring the columns gives 0.82; 0.8 after compression."),
    ],
)
def test_the_verdict_says_by_what_the_winner_was_chosen_and_what_compression_cost(
    after: tuple[float, ...], baseline: float | None, rest: str
) -> None:
    cost = Cost(
        file_bytes=9000,
        inputs=2,
        p50_1_ms=0.1,
        p99_1_ms=0.2,
        p50_64_ms=1,
        p99_64_ms=2,
        peak_memory_bytes=10**7,
    )
    quality = Quality(
        metric="accuracy",
        greater_is_better=True,
        folds_before=(0.8, 0.9),
        folds_after=after,
        baseline=baseline,
    )
    steps = (Step(name="prune features", accepted=True, why="9 → 5"),) if after else ()
    receipt = Receipt(
        name="t",
        candidate="mlp",
        rows_trained=90,
        rows_holdout=0,
        metric="accuracy",
        quality=(quality,),
        before=cost,
        after=cost,
        steps=steps,
        verdict="compressed",
        parity_rows=1024,
        parity_worst=0.0,
    )
    found = verdict(receipt, "Next best was linear with 0.84.")
    assert found[0] == f"mlp was chosen: accuracy 0.85 over 2 folds{rest}"
    assert found[1] == "Next best was linear with 0.84."
    useless = "It is no better than ignoring the columns: do not use it."
    assert (useless in found) == (baseline == 0.82)
