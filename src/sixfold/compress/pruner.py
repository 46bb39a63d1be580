"""What every pruner implements: how much can be taken away within `keep`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from sixfold.compress.amount import Found
from sixfold.compress.keep import Keep
from sixfold.compress.subject import CompressionState, Job
from sixfold.evaluate.model import Model
from sixfold.runs.context import Context


class Pruner(Protocol):
    """A pruner: a plug-in's Settings."""

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The smaller subject within `keep` and what was taken away; or None and why nothing can
        be.
        """


def tried(
    subject: CompressionState, job: Job, keep: Keep, change: Callable[[Model, int], Model]
) -> Found:
    """`change` on the twins and, only if they keep the promise, on the model; or None and what
    broke.
    """
    found = subject.twins_changed(job, change)
    if violation := keep.violation(found.scores, found.found):
        return None, violation
    return replace(found, model=change(subject.model, -1)), ""
