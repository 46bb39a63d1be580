"""Cost-complexity pruning of a tree (Breiman et al., 1984): branches that gain too little for a
leaf are cut back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from sixfold.build.family import CostComplexity
from sixfold.compress.amount import NO_TIME, Found
from sixfold.compress.keep import Keep
from sixfold.compress.retraining import retrained
from sixfold.compress.subject import Basis, CompressionState, Job
from sixfold.evaluate.model import weighed
from sixfold.parts.fit import Fit
from sixfold.parts.table import FloatArray
from sixfold.recipe.section import Section
from sixfold.runs.context import Context


class Settings(Section):
    """Cut a tree back as far as `keep` allows, along its path of `complexity` values; every fold's
    tree with the same value.
    """

    tries: int = Field(
        12, ge=2, le=100, description="Values of the path that are tried, evenly spaced along it."
    )

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The largest complexity within `keep`."""
        if not isinstance(subject.basis.candidate.family, CostComplexity):
            return None, f"{job.candidate.name} is no tree"
        before = subject.model.fitted.node_count  # type: ignore[attr-defined]
        values, why = self._values(subject), "its path has no larger complexity"
        for value in values[::-1]:
            if context.left_s() <= 0:
                return None, NO_TIME
            basis = subject.basis.with_family(complexity=float(value))
            found, why = retrained(basis, job, keep, context.within("complexity"))
            if found is not None:
                nodes = found.model.fitted.node_count  # type: ignore[attr-defined]
                return found, f"{before} → {nodes} nodes (complexity {value:.3g})"
        return None, f"none of its {before} nodes can be spared: {why}"

    def _values(self, subject: CompressionState) -> FloatArray:
        """Rising; all above the complexity that the tree has been cut with already."""
        basis: Basis = subject.basis
        family: Any = basis.candidate.family
        training = basis.rows(-1)
        target = weighed(basis.candidate, training.target)
        x = subject.model.preparer.transform(training.table)
        fit = Fit(x, target.values, target.task, target.outputs, weights=target.weights)
        path: FloatArray = np.unique(np.asarray(family.complexity_path(fit), dtype=np.float64))
        path = path[path > family.complexity]
        if not len(path):
            return path
        return np.asarray(
            path[np.unique(np.linspace(0, len(path) - 1, self.tries).astype(np.int64))]
        )
