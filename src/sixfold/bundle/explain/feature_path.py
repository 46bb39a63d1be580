"""What gradients are integrated with: a network's features, the answers to them, their slopes where
these are known, and where the way begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sixfold.bundle.explain.backward import SlopedFeatures
from sixfold.bundle.explain.features import AnswersFeatures, FeatureReader
from sixfold.bundle.explain.gradients import (
    Baseline,
    Floats,
    Integrated,
    integrated,
    least_asked,
)
from sixfold.bundle.explain.integrals import CELLS, integrated_slopes, least_points
from sixfold.bundle.explain.sampling import SamplingEffort
from sixfold.bundle.explain.slope_rules import NoRuleError
from sixfold.bundle.graph import CheckedModel
from sixfold.core.errors import BundleError

TIMED: Final = 64  # stored rows that an answer's time is measured with
# What integrals of slopes may lack of the answer: where it is more, answers jump, which slopes do not
# see. As a share of the largest contribution, and beside it of the answer (rounding of float32).
LACKING: Final = 0.02
ROUNDING: Final = 1e-4


@dataclass(frozen=True)
class FeaturePath:
    """`row_s`: seconds of an answer; `sloped_s`: of the slopes at one point, for all outputs."""

    reader: FeatureReader
    answer: AnswersFeatures
    sloped: SlopedFeatures | None
    baseline: Baseline
    row_s: float
    sloped_s: float

    @classmethod
    def of(
        cls,
        model: CheckedModel,
        reader: FeatureReader,
        answer: AnswersFeatures,
        x: Floats,
        baseline: Baseline,
    ) -> FeaturePath:
        """`x`: the features of stored rows, by which the times are measured. Raises BundleError."""
        row_s, sloped_s = _seconds(answer, x), 0.0
        sloped: SlopedFeatures | None = None
        try:
            sloped = SlopedFeatures.of(
                model, answer.named, answer.output, answer.rows_at_once, answer.where
            )
            fit = CELLS // (x.shape[1] * sloped.outputs)
            sloped_s = _seconds(sloped, x[: max(1, min(TIMED, fit))])
        except (NoRuleError, BundleError):  # a node, or a type, that goes one way only
            sloped = None
        return cls(reader, answer, sloped, baseline, row_s, sloped_s)

    @property
    def least_s(self) -> float:
        """Seconds that one row takes at least."""
        if self.sloped is None:
            return least_asked(self.baseline) * self.row_s
        return least_points(self.baseline) * self.sloped_s

    def integrated(self, x: Floats, effort: SamplingEffort) -> list[Integrated]:
        """Of rows [rows, features]: along slopes where these are known and tell all that the answer
        does, by differences otherwise. `effort`: `rows` for each of them, and the end of all.
        """
        if self.sloped is None:
            return self._by_differences(x, effort)
        points = effort.rows * len(x) // self.sloped.passes
        found = integrated_slopes(
            self.sloped,
            self.answer,
            x,
            self.baseline,
            SamplingEffort(points, effort.end, effort.seed),
        )
        found = [each._replace(asked=each.asked * self.sloped.passes) for each in found]
        jumps = [row for row, each in enumerate(found) if _jumps(each)]
        for row, each in zip(jumps, self._by_differences(x[jumps], effort), strict=True):
            found[row] = each
        return found

    def _by_differences(self, x: Floats, effort: SamplingEffort) -> list[Integrated]:
        started, found = time.monotonic(), []
        for row, each in enumerate(x):
            end = started + (effort.end - started) * (row + 1) / len(x)
            one = SamplingEffort(effort.rows, end, effort.seed)
            found.append(integrated(self.answer, each, self.baseline, one))
        return found


def _jumps(found: Integrated) -> bool:
    """Whether slopes lack so much of the answer that it has to jump."""
    if found.lacking is None:
        return False
    may = LACKING * np.abs(found.values).max() + ROUNDING * max(1.0, np.abs(found.base).max())
    told = found.error - found.lacking  # what the integrals themselves say
    return bool((found.lacking > np.maximum(may, 2.0 * told)).any())


def _seconds(ask: Callable[[Floats], Any], x: Floats) -> float:
    """Of one row of `x`."""
    started = time.perf_counter()
    ask(x)
    return (time.perf_counter() - started) / len(x)
