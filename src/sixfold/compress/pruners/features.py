"""Raw columns: the least important go, the rest is trained again, until `keep` would break."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pydantic import Field

from sixfold.compress import importance
from sixfold.compress.keep import Keep
from sixfold.compress.subject import Job, Subject
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.model import fit_model
from sixfold.parts.table import Dataset, Table
from sixfold.recipe.schema import Prepare
from sixfold.recipe.section import Section
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate


class Settings(Section):
    """Remove raw columns: rank, remove the least, retrain, repeat, θ ← θ - α∇J(θ, F_t), down to the smallest set in `keep`.

    A column's importance is what the deciding metric loses on validation rows when it is shuffled. A step that breaks
    `keep` is taken back and halved.
    """

    step: float = Field(0.3, gt=0, lt=1, description="Share of the columns that goes in a step.")
    least: int = Field(1, ge=1, description="Columns that stay in any case.")

    def prune(self, subject: Subject, job: Job, keep: Keep, context: Context) -> tuple[Subject | None, str]:
        """The smallest set of columns found within `keep`."""
        before = len(subject.model.preparer.inputs)
        found, columns = None, list(subject.model.preparer.inputs)
        broken, share, current = "", self.step, subject
        while len(columns) > self.least and context.left_s() > 0:
            lost = importance.of_columns(current, job, context.seed)
            ranked = sorted(columns, key=lambda name: (-lost.get(name, 0.0), columns.index(name)))
            going = min(len(columns) - self.least, max(1, round(share * len(columns))))
            fewer = [name for name in columns if name in set(ranked[: len(columns) - going])]
            attempt = _retrained(job, fewer, context)
            broken = keep.broken(attempt.scores)
            context.emit("columns_tried", columns=len(fewer), broken=broken)
            if broken and going == 1:
                break
            if broken:
                share = going / 2 / len(columns)
                continue
            current = found = attempt
            columns = fewer
        if found is None:
            return None, broken or "no column can be spared"
        candidate, dataset = reduced(job, columns)
        model = fit_model(candidate, dataset, context.within("features"))
        return replace(found, model=model), f"{before} → {len(model.preparer.inputs)} columns: {', '.join(columns[:8])}"


def _retrained(job: Job, columns: list[str], context: Context) -> Subject:
    candidate, dataset = reduced(job, columns)
    result = cross_validate(candidate, dataset, job.folds, job.metrics, context.within("features", len(columns)))
    return Subject(result.models[0], result.models, result.scores)


def reduced(job: Job, columns: Iterable[str]) -> tuple[Candidate, Dataset]:
    """The job's candidate and rows with these columns only."""
    kept = set(columns)
    table = job.dataset.table
    fewer = Table({name: column for name, column in table.columns.items() if name in kept}, table.rows)
    prepare: Prepare = job.candidate.prepare
    impute = prepare.impute.model_copy(
        update={"columns": {n: v for n, v in prepare.impute.columns.items() if n in kept}}
    )
    named = {n: v for n, v in prepare.features.columns.items() if n in kept}
    features = prepare.features.model_copy(update={"columns": named})
    section = prepare.model_copy(update={"impute": impute, "features": features})
    return replace(job.candidate, prepare=section), replace(job.dataset, table=fewer)
