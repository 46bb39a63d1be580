"""What every pruner implements: how much can be taken away within `keep`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from sixfold.compress.keep import Keep
from sixfold.compress.subject import Job, Subject
from sixfold.runs.context import Context


class Pruner(Protocol):
    """A pruner: a plug-in's Settings."""

    def prune(self, subject: Subject, job: Job, keep: Keep, context: Context) -> tuple[Subject | None, str]:
        """The smaller subject within `keep` and what was taken away; or None and why nothing can be."""


def halved(ratio: float, least: float = 0.05) -> Iterator[float]:
    """`ratio`, half of it, a quarter …, down to `least`."""
    while ratio >= least:
        yield ratio
        ratio /= 2


def largest_ratio(
    ratio: float, keep: Keep, attempt: Callable[[float], Subject], context: Context
) -> tuple[Subject | None, str]:
    """The first of `ratio`, half, a quarter … whose twins stay within `keep`; or None and what the last one broke."""
    broken = ""
    for share in halved(ratio):
        if context.left_s() <= 0:
            return None, "no time was left in the budget"
        found = attempt(share)
        broken = keep.broken(found.scores)
        if not broken:
            return found, f"{share:.0%}"
    return None, broken
