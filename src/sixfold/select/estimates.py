"""What fits of a run will take: what others like them took in it, or what fits on few rows say.
Asked where there is a budget of time; without one nothing is estimated, and nothing is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sixfold.build.candidate import Candidate
from sixfold.evaluate.cross_validation import Evaluation, FoldScores, Group
from sixfold.evaluate.expected import work_of
from sixfold.evaluate.fold import Fold
from sixfold.parts.table import Dataset
from sixfold.plan.limits import groups
from sixfold.plan.run_context import Plan


@dataclass
class Estimates:
    """`taken`: name of a candidate → seconds of one of its folds, those of everyone who trained
    with it included. `tried`: the same as fits on few rows say, None where they say nothing.
    """

    training: Dataset
    folds: Sequence[Fold]
    taken: dict[str, float] = field(default_factory=dict)
    tried: dict[str, float | None] = field(default_factory=dict)

    def saw(self, parts: Sequence[FoldScores]) -> None:
        """Candidates that are alike did some folds."""
        fold_s = sum(part.fit_s for part in parts) / max(1, len(parts[0].numbers))
        for part in parts:
            self.taken[part.name] = max(fold_s, self.taken.get(part.name, 0.0))

    def known(self, candidate: Candidate) -> float | None:
        """Seconds of one fold of it and of who trains with it, if that was measured or tried."""
        return self.taken.get(candidate.name, self.tried.get(candidate.name))

    def fold_s(self, group: Group, number: int) -> float | None:
        """Seconds of one fold of all of a group, of which fold `number` is tried where nothing was
        measured; None where nothing can be said, and for what ends in time anyway.
        """
        first = group.candidates[0]
        if (
            first.name not in self.taken
            and first.name not in self.tried
            and not first.family.ends_in_time
        ):
            self.tried[first.name] = group.expected(number)
        return self.known(first)

    def refit_s(self, candidate: Candidate) -> float:
        """Seconds of training on all rows one who was trained on folds; 0 for who was not."""
        rows = max(len(fold.train) for fold in self.folds)
        more = work_of(candidate, self.training.table.rows) / max(1.0, work_of(candidate, rows))
        return self.taken.get(candidate.name, 0.0) * more


def again_s(
    chosen: Sequence[Candidate], plan: Plan, evaluations: Sequence[Evaluation], training: Dataset
) -> float:
    """Seconds of training `chosen` on all rows, one after the other, by what they took on the
    folds.
    """
    found = Estimates(training, plan.folds)
    took = {one.name: one.fit_s / max(1, len(one.numbers)) for one in evaluations}
    for first, *others in groups(plan.candidates):
        first_s = took.get(first.name, 0.0)  # what one saved the others is counted with the first
        alike = {one.name: took[one.name] + first_s for one in others if one.name in took}
        found.taken |= {first.name: first_s, **alike}
    return sum(found.refit_s(candidate) for candidate in chosen)
