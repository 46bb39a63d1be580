"""What the families of `build: auto` take, beside what it expects: the constants of `COSTS` in
src/sixfold/build/auto.py.

`python -m bench.auto_costs` prints, for each table and family, the seconds of one core that all
folds and the refit take, those that were expected, and their ratio.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from bench.forecast import Case, one_core, prepared
from sixfold.build import auto
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.model import fit_model
from sixfold.runs.context import Context

TABLES = ("breast_cancer", "diabetes", "digits", "census")


def measure(tables: tuple[str, ...] = TABLES) -> Iterator[tuple[str, str, float, float]]:
    """Table, family, seconds expected, seconds taken; of every family that auto would try without a
    budget.
    """
    for table in tables:
        candidates, data, folds, metrics, _ = prepared(Case(table, "auto", 5))
        for candidate in candidates:
            started, context = time.monotonic(), Context()
            cross_validate(candidate, data, folds, metrics, context)
            fit_model(candidate, data, context)
            took_s = time.monotonic() - started
            yield (
                table,
                candidate.family_name,
                auto.expected_s(candidate.family_name, data, 4.0),
                took_s,
            )


def main() -> None:
    """Print the table; arguments are names of tables."""
    print(
        "| table | family | expected | taken | expected / taken |\n| --- | --- | --- | --- | --- |"
    )
    with one_core():
        for table, family, expected_s, took_s in measure(tuple(sys.argv[1:]) or TABLES):
            print(
                f"| {table} | {family} | {expected_s:.2f} s | {took_s:.2f} s | {expected_s / took_s:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
