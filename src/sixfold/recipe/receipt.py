"""The before/after table of a run: quality, bytes, latency, memory, with how each was measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixfold.recipe.section import Section


class Quality(Section):
    """One metric, before and after compression, on the validation folds and on the holdout."""

    metric: str
    greater_is_better: bool
    folds_before: tuple[float, ...] = ()
    folds_after: tuple[float, ...] = ()
    holdout_before: float | None = None
    holdout_after: float | None = None
    baseline: float | None = Field(None, description="Mean over the folds of a model that ignores the features.")


class Cost(Section):
    """What a model costs to keep and to ask: onnxruntime on this machine, one thread."""

    file_bytes: int = Field(ge=0)
    parameters: int | None = Field(None, ge=0)
    inputs: int = Field(ge=0, description="Raw columns the model asks for.")
    p50_1_ms: float
    p99_1_ms: float
    p50_64_ms: float
    p99_64_ms: float
    peak_memory_bytes: int


class Step(Section):
    """One compression that was tried."""

    name: str = Field(description="For example `prune neurons`, `quantize int8 dynamic`.")
    accepted: bool
    why: str = Field(description="A sentence with the figures: what was gained, what was lost, or why it was refused.")


class Receipt(Section):
    """Everything that was measured in this run, on this machine, on rows the model had not seen."""

    name: str
    candidate: str
    rows_trained: int
    rows_holdout: int
    metric: str
    quality: tuple[Quality, ...]
    before: Cost
    after: Cost
    steps: tuple[Step, ...] = ()
    parity_rows: int = 0
    parity_worst: float = 0.0
    verdict: Literal["compressed", "no gain on this machine", "not asked for"] = "not asked for"
    machine: dict[str, str | int | float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    duration_s: float = 0.0
    how: tuple[str, ...] = Field((), description="How each figure was measured, a sentence each.")
