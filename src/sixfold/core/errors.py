"""Every mistake a user can make ends in one of these: where, what is allowed, what came, what to
do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SixfoldError(ValueError):
    """A user's mistake, in four parts. `exit_code` is the exit code of the command line.

    >>> print(SixfoldError("a.csv, line 3", "15 fields", "14 fields", "Add the missing field."))
    a.csv, line 3: expected 15 fields; found 14 fields. Add the missing field.
    """

    exit_code = 1

    def __init__(self, where: str, expected: str, found: str, remedy: str) -> None:
        self.where, self.expected, self.found, self.remedy = where, expected, found, remedy
        super().__init__(f"{where}: expected {expected}; found {found}. {remedy}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str]]:
        return type(self), (self.where, self.expected, self.found, self.remedy)


class RecipeError(SixfoldError):
    """The recipe is wrong: a key, a value, or two sections that contradict each other."""

    exit_code = 2


class DataError(SixfoldError):
    """The data cannot be read, or does not fit the task."""

    exit_code = 3


class FitError(SixfoldError):
    """A fit cannot go on: a loss that is not a number, a scheme that cannot train."""

    exit_code = 4


class BudgetError(SixfoldError):
    """The budget (time, memory, disk) does not allow the work."""

    exit_code = 5


class BundleError(SixfoldError):
    """A bundle is damaged, incomplete, or disagrees with the pipeline it came from."""

    exit_code = 6


class RowError(SixfoldError):
    """Rows sent for prediction do not fit the bundle's signature."""

    exit_code = 7


class SystemFault(SixfoldError):
    """The machine refuses: a read-only folder, a full disk, a missing extra."""

    exit_code = 8


def one(noun: str) -> str:
    """The noun with its article: 'a metric', 'an optimizer'."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


NEAR = 0.6  # share of equal letters, difflib's own: at 0.5 it took `calibrate` for the nearest to `learning_rate`


def nearest(name: str, known: Iterable[str], near: float = NEAR) -> str | None:
    """The known name that is most like `name`; None where none is like it."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=near)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say the nearest known name and all of them: "Did you mean 'mlp'? All: linear, mlp, svm."; one
    that is far is not said.
    """
    names = sorted(known)
    near = nearest(name, names)
    hint = f"Did you mean '{near}'? " if near else ""
    return f"{hint}All: {', '.join(names)}."
