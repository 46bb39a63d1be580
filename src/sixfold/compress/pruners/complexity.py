"""Cost-complexity pruning of a tree (Breiman et al., 1984): branches that gain too little for a leaf are cut back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from sixfold.build.family import CostComplexity
from sixfold.compress.keep import Keep
from sixfold.compress.subject import Job, Subject
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.model import fit_model
from sixfold.parts.fit import Fit
from sixfold.recipe.section import Section
from sixfold.runs.context import Context


class Settings(Section):
    """Cut a tree back as far as `keep` allows, along its path of `complexity` values; every fold's tree with the same value."""

    tries: int = Field(12, ge=2, le=100, description="Values of the path that are tried, evenly spaced along it.")

    def prune(self, subject: Subject, job: Job, keep: Keep, context: Context) -> tuple[Subject | None, str]:
        """The largest complexity within `keep`."""
        if not isinstance(job.candidate.family, CostComplexity):
            return None, f"{job.candidate.name} is no tree"
        family: Any = job.candidate.family
        target = job.dataset.target
        x = subject.model.preparer.transform(job.dataset.table)
        path = np.unique(family.complexity_path(Fit(x, target.values, target.task, target.outputs)))
        path = path[path > getattr(family, "complexity", 0.0)]
        values = (
            path[np.unique(np.linspace(0, max(0, len(path) - 1), self.tries).astype(np.int64))] if len(path) else path
        )
        before = subject.model.fitted.node_count  # type: ignore[attr-defined]
        for value in values[::-1]:
            if context.left_s() <= 0:
                return None, "no time was left in the budget"
            candidate = replace(job.candidate, family=family.model_copy(update={"complexity": float(value)}))
            found = cross_validate(candidate, job.dataset, job.folds, job.metrics, context.within("complexity"))
            if not keep.broken(found.scores):
                model = fit_model(candidate, job.dataset, context.within("complexity"))
                nodes = model.fitted.node_count  # type: ignore[attr-defined]
                return Subject(model, found.models, found.scores), f"{before} → {nodes} nodes (complexity {value:.3g})"
        return None, f"no value of the path keeps what was promised, from {before} nodes"
