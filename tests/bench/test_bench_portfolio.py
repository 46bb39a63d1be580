"""The order of the portfolio: what each entry adds to what is tried before."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Entry → regret on the tables a, b and c.
LOSSES = {
    "linear": (0.5, 0.6, 0.0),
    "alike": (0.5, 0.6, 0.1),
    "best alone": (0.2, 0.2, 0.2),
    "other": (0.4, 0.0, 0.9),
    "a's": (0.0, 0.9, 0.9),
}


@pytest.fixture
def portfolio(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("bench.portfolio")


def found(portfolio: Any) -> list[Any]:
    return [
        portfolio.Scored(table, entry, entry == "linear", loss, 0.2, 1.0)
        for at, table in enumerate("abc")
        for entry, losses in LOSSES.items()
        for loss in losses[at : at + 1]
    ]


def test_what_adds_most_comes_first_and_of_equals_the_best_alone(portfolio: Any) -> None:
    losses = {
        entry: dict(zip("abc", own, strict=True))
        for entry, own in LOSSES.items()
        if entry != "linear"
    }
    order = portfolio.greedy(losses, {"a": 0.5, "b": 0.6, "c": 0.0})
    assert [entry for entry, _ in order] == ["best alone", "other", "a's", "alike"]
    assert [left for _, left in order] == pytest.approx([0.4 / 3, 0.2 / 3, 0.0, 0.0])


def test_an_entry_that_a_table_does_not_try_adds_nothing_there(portfolio: Any) -> None:
    order = portfolio.greedy(
        {"some": {"a": 0.0}, "all": {"a": 0.4, "b": 0.0}}, {"a": 1.0, "b": 0.8}
    )
    assert order[0] == ("all", pytest.approx(0.2))


def test_the_table_has_the_families_by_themselves_first(portfolio: Any) -> None:
    lines = portfolio.markdown(found(portfolio)).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:-2]]
    assert [(row[0], row[1]) for row in cells] == [
        ("", "linear"),
        ("1", "best alone"),
        ("2", "other"),
        ("3", "a's"),
        ("4", "alike"),
    ]
    assert lines[-1] == "3 tables: a; b; c."
