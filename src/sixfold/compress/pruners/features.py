"""Raw columns: the least important go, the rest is trained again, until `keep` would break."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from pydantic import Field

from sixfold.compress import importance
from sixfold.compress.amount import NO_TIME, Found
from sixfold.compress.keep import Keep
from sixfold.compress.retraining import retrained
from sixfold.compress.subject import Basis, CompressionState, Job
from sixfold.core.errors import BudgetError
from sixfold.parts.table import Dataset, IntArray, Table
from sixfold.prepare.denoising import clean
from sixfold.recipe.schema import Denoise, Prepare
from sixfold.recipe.section import Section
from sixfold.runs.context import Context


class Settings(Section):
    """Remove raw columns: rank, remove the least, retrain, repeat, θ ← θ - α∇J(θ, F_t), down to the
    smallest set in `keep`.

    A column's importance is what the deciding metric loses on validation rows when it is shuffled.
    A step that breaks `keep` is taken back and halved; then columns are tried one by one. It trains
    every family anew: write it before prunings that cut what was trained (`support_vectors`).
    """

    step: float = Field(0.3, gt=0, lt=1, description="Share of the columns that goes in a step.")
    least: int = Field(1, ge=1, description="Columns that stay in any case.")
    patience: int = Field(
        2,
        ge=1,
        description="Single columns in a row that could not be spared, after which the search ends.",
    )

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The smallest set of columns found within `keep`."""
        before, current, columns = (
            len(subject.model.preparer.inputs),
            subject,
            list(subject.model.preparer.inputs),
        )
        plain = without_repeats(subject.basis)
        try:
            ranked = _ranked(current, columns, job, context)
        except BudgetError:
            return None, NO_TIME
        share, why, failures = self.step, "", 0
        while context.left_s() > 0 and failures < self.patience:
            going = min(len(columns) - self.least, len(ranked), max(1, round(share * len(columns))))
            if going < 1:
                break
            fewer = [name for name in columns if name not in ranked[:going]]
            found, why = retrained(reduced(plain, fewer), job, keep, context.within("features"))
            context.emit("columns_tried", columns=len(fewer), violation=why)
            if found is not None:
                current, columns, failures = found, fewer, 0
                try:
                    ranked = _ranked(
                        current, [name for name in fewer if name in ranked], job, context
                    )
                except BudgetError:  # what was found stays
                    break
            elif going > 1:
                share = going / 2 / len(columns)
            else:  # this one is needed: the next one may not be
                ranked, failures = ranked[1:], failures + 1
        if current is subject:
            return None, why or "no column can be spared"
        left = current.model.preparer.inputs
        return (
            current,
            f"{before} → {len(left)} columns: {', '.join(left[:8])}{', …' if len(left) > 8 else ''}",
        )


def _ranked(subject: CompressionState, columns: list[str], job: Job, context: Context) -> list[str]:
    """The least important first."""
    lost = importance.of_columns(subject, job, context)
    return sorted(columns, key=lambda name: (lost.get(name, 0.0), -columns.index(name)))


def without_repeats(basis: Basis) -> Basis:
    """Duplicates and contradictions are left out now, where denoising drops them: with fewer
    columns more rows are alike.
    """
    candidate = basis.candidate
    denoise = candidate.prepare.denoise
    only = Denoise(
        duplicates=denoise.duplicates, contradictions=denoise.contradictions, constants="keep"
    )

    def distinct(rows: IntArray) -> IntArray:
        data = basis.dataset.take(rows)
        return rows[clean(data.table, data.target, only, 0).rows]

    dropped = "drop" in (denoise.duplicates, denoise.contradictions)
    training = tuple(distinct(rows) for rows in basis.training) if dropped else basis.training
    settled = denoise.model_copy(update={"duplicates": "keep", "contradictions": "keep"})
    prepare = candidate.prepare.model_copy(update={"denoise": settled})
    return replace(basis, candidate=replace(candidate, prepare=prepare), training=training)


def reduced(basis: Basis, columns: Collection[str]) -> Basis:
    """With these columns only, in the rows and in what the recipe says of single columns."""
    dataset: Dataset = basis.dataset
    table = Table({name: dataset.table.columns[name] for name in columns}, dataset.table.rows)
    prepare: Prepare = basis.candidate.prepare
    impute = prepare.impute.model_copy(
        update={"columns": {n: v for n, v in prepare.impute.columns.items() if n in columns}}
    )
    named = {n: v for n, v in prepare.features.columns.items() if n in columns}
    features = prepare.features.model_copy(update={"columns": named})
    section = prepare.model_copy(update={"impute": impute, "features": features})
    candidate = replace(basis.candidate, prepare=section)
    return replace(basis, candidate=candidate, dataset=replace(dataset, table=table))
