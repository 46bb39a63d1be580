"""`budget.bundle` and `budget.latency`: who takes more is not chosen, and what is served keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold import pipeline
from sixfold.compress import served_cost
from sixfold.core.errors import BudgetError, RecipeError
from sixfold.data.load import from_frame
from sixfold.package.kept_limits import with_limits
from sixfold.package.receipt import with_left_out
from sixfold.recipe.load import from_object
from sixfold.select.served_limits import ServedCost, ServedLimits

LINEAR, FOREST = {"family": "linear"}, {"family": "forest", "trees": 40, "min_rows_leaf": 1}
LARGE = 12_000  # bytes: the forest takes more, linear less


def frame(rows: int = 150) -> pd.DataFrame:
    """A corner, which a forest finds and a linear model does not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3)).round(3)
    y = np.where((x[:, 0] > 0) ^ (x[:, 1] > 0), "yes", "no")
    return pd.DataFrame(x, columns=list("abc")).assign(y=y)


def run(folder: Path, budget: dict[str, str], **evaluate: Any) -> pipeline.Run:
    recipe = from_object(
        {
            "version": 1,
            "build": [FOREST, LINEAR],
            "data": {"source": "frame", "target": "y", "holdout": 0.2},
            "evaluate": {"folds": 3, "metrics": ["log_loss"], **evaluate},
            "budget": budget,
        }
    )
    return pipeline.run(recipe, folder, dataset=from_frame(frame(), recipe.recipe.data, None))


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == kind]


def test_who_takes_more_bytes_is_not_chosen(tmp_path: Path) -> None:
    assert run(tmp_path / "free", {}).receipt.candidate == "forest"
    done = run(tmp_path / "small", {"bundle": f"{LARGE}B"})
    assert done.receipt.candidate == "linear"
    assert (done.bundle / "model.onnx").stat().st_size <= LARGE
    first, last = done.leaderboard.standings
    assert (first.name, first.dropped, last.name) == ("linear", "", "forest")
    assert last.dropped.endswith("where budget.bundle allows at most 12.0 kB")
    assert last.dropped in str(done.leaderboard)
    assert last.mean < first.mean  # log loss: its score is shown, and did not count
    assert "of 12.0 kB of the bundle, kept by the model as it is served." in done.receipt.how[-1]
    assert last.dropped in (done.bundle / "report.html").read_text(encoding="utf-8")


def test_where_nobody_keeps_it_the_run_says_who_takes_how_much(tmp_path: Path) -> None:
    with pytest.raises(BudgetError) as caught:
        run(tmp_path, {"bundle": "100B"})
    text = str(caught.value)
    assert text.startswith(
        "budget.bundle: expected a candidate that keeps it; found forest: its model takes"
    )
    assert "; linear: its model takes" in text
    assert text.endswith(served_cost.REMEDY)


@pytest.fixture
def took_ms(monkeypatch: pytest.MonkeyPatch) -> dict[bool, list[float]]:
    """Milliseconds of one row, of the forest (True) and of linear, one after the other; the last one
    goes on.
    """
    found: dict[bool, list[float]] = {True: [0.1], False: [0.1]}

    def asked(graph: bytes, table: Any, most_s: float) -> float:
        left = found[len(graph) > LARGE]
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(served_cost, "one_row_ms", asked)
    return found


def test_who_takes_longer_is_not_chosen(tmp_path: Path, took_ms: dict[bool, list[float]]) -> None:
    took_ms[True] = [900.0]
    done = run(tmp_path, {"latency": "500ms"})
    assert done.receipt.candidate == "linear"
    assert done.leaderboard.standings[-1].dropped == (
        "its model takes 900.00 ms, where budget.latency allows at most 500.00 ms for one row"
    )


def test_a_busy_moment_is_no_latency(tmp_path: Path, took_ms: dict[bool, list[float]]) -> None:
    took_ms[True] = [900.0, 900.0, 0.1]
    assert run(tmp_path, {"latency": "500ms"}).receipt.candidate == "forest"


def test_a_winner_that_grew_makes_way_and_the_run_is_continued_as_it_was(
    tmp_path: Path, took_ms: dict[bool, list[float]]
) -> None:
    """Measured on its fold it kept the limit; on all rows it does not."""
    took_ms[True] = [0.1, 900.0]
    done = run(tmp_path, {"latency": "500ms"})
    assert done.receipt.candidate == "linear"
    assert [event["candidate"] for event in events(tmp_path, "winner")] == ["forest", "linear"]
    assert done.leaderboard.standings[-1].dropped.startswith("its model takes 900.00 ms")
    started = len(events(tmp_path, "stage_started"))
    took_ms[True] = [0.1]  # what was measured is not measured again
    again = run(tmp_path, {"latency": "500ms"})
    assert again.receipt == done.receipt
    assert len(events(tmp_path, "stage_started")) == started


def test_limits_and_shares() -> None:
    recipe = from_object(
        {
            "version": 1,
            "data": {"source": "a.csv", "target": "y"},
            "budget": {"bundle": "5MB", "latency": "2ms"},
        }
    ).recipe
    limits = ServedLimits.of(recipe.budget)
    assert limits == ServedLimits(5_000_000, 0.002)
    assert limits.shares(ServedCost(2_500_000, 0.001)) == (0.5, 0.5)
    assert limits.violation(ServedCost(5_000_000, 0.002)) is None
    assert ServedLimits(None, None).shares(ServedCost(9, 9.0)) == ()
    assert not ServedLimits(None, None).asked


def test_an_amount_without_a_unit_that_is_known_is_refused() -> None:
    for budget, expected in (
        ({"bundle": "5 megs"}, "a size such as"),
        ({"latency": "1 tick"}, "a duration"),
    ):
        with pytest.raises(RecipeError, match=expected):
            from_object(
                {"version": 1, "data": {"source": "a.csv", "target": "y"}, "budget": budget}
            )


def test_the_bundle_is_measured_at_the_end(
    tmp_path: Path, took_ms: dict[bool, list[float]]
) -> None:
    receipt = run(tmp_path, {}).receipt
    size = receipt.after.file_bytes
    slow = receipt.model_copy(update={"after": receipt.after.model_copy(update={"p50_1_ms": 9.0})})
    with pytest.raises(BudgetError, match=r"^budget\.bundle: expected a bundle that takes at most"):
        with_limits(slow, b"", None, ServedLimits(size - 1, None))  # type: ignore[arg-type]
    took_ms[False] = [9.0]
    with pytest.raises(BudgetError, match=r"^budget\.latency: .* found 9.00 ms\. Raise it"):
        with_limits(slow, b"", None, ServedLimits(None, 0.001))  # type: ignore[arg-type]
    took_ms[False] = [0.5]  # asked again
    kept = with_limits(slow, b"", None, ServedLimits(size, 0.001))  # type: ignore[arg-type]
    assert kept.how[-1].endswith(
        "0.50 ms of 1.00 ms for one row, kept by the model as it is served."
    )
    assert with_limits(slow, b"", None, ServedLimits(None, None)) is slow  # type: ignore[arg-type]
    assert with_left_out(slow, ()) is slow
    assert with_left_out(slow, ("tree", "svm")).how[-1] == (
        "The ensemble leaves out tree, svm: with them its members take more than 67% of budget.bundle or budget.latency, as "
        "measured on a fold's models."
    )
