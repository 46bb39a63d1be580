"""The before/after table of a run: quality, bytes, latency, memory, with how each was measured."""

from __future__ import annotations

from collections import Counter
from statistics import fmean, stdev
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
    baseline: float | None = Field(
        None, description="Mean over the folds of what `Receipt.baseline_is` says."
    )


class Cost(Section):
    """What a model costs to keep and to ask on this machine: in onnxruntime, one thread; of a language
    model, in the runtime that serves it. None: not measured of such a model.
    """

    file_bytes: int = Field(ge=0)
    parameters: int | None = Field(None, ge=0)
    inputs: int = Field(ge=0, description="Raw columns the model asks for.")
    p50_1_ms: float | None = None
    p99_1_ms: float | None = None
    p50_64_ms: float | None = None
    p99_64_ms: float | None = None
    peak_memory_bytes: int | None = None
    tokens_per_s_1: float | None = Field(None, description="Tokens generated for one request.")
    tokens_per_s_8: float | None = Field(None, description="Tokens for eight requests at once.")
    first_token_ms: float | None = Field(None, description="From a request to its first token.")


class OverHttp(Section):
    """One row over HTTP: a server process of the bundle on this machine, one kept-alive
    connection.
    """

    p50_ms: float | None = None
    p99_ms: float | None = None
    requests: int = Field(0, ge=0)
    why: str = Field("", description="Why it was not measured.")


class Step(Section):
    """One compression that was tried."""

    name: str = Field(description="For example `prune neurons`, `quantize int8 dynamic`.")
    accepted: bool
    why: str = Field(
        description="A sentence with the figures: what was gained, what was lost, or why it was refused."
    )

    @property
    def outcome(self) -> str:
        """In a word."""
        return "accepted" if self.accepted else "refused"

    def sentence(self) -> str:
        """What terminal, log and report say."""
        return f"{self.name}: {self.outcome}: {self.why}"


class Outer(Section):
    """One outer fold of a nested cross-validation: what its training rows chose, and what the
    others say of it.
    """

    chosen: str = Field(
        description="The candidate, chosen and trained without the fold's validation rows."
    )
    candidates: int = Field(ge=1, description="Among how many it was chosen.")
    inner: float = Field(description="Its mean over the inner folds, by which it was chosen.")
    score: float = Field(description="Its score on the fold's validation rows.")


class Nested(Section):
    """What to expect of choosing and training as the recipe does, by its deciding metric."""

    metric: str
    greater_is_better: bool
    folds: tuple[Outer, ...] = Field(min_length=2)
    mean: float = Field(description="Of the outer scores.")
    spread: float = Field(ge=0, description="Standard deviation of the outer scores (n - 1).")
    optimism: float = Field(
        description="How much too good the inner means are: the mean of `too_good`."
    )

    @property
    def inner(self) -> float:
        """The mean of the inner means."""
        return fmean(fold.inner for fold in self.folds)

    def too_good(self, fold: Outer) -> float:
        """How much better a fold's choice is on the folds that chose it than elsewhere; below 0:
        worse.
        """
        return fold.inner - fold.score if self.greater_is_better else fold.score - fold.inner

    def sentences(self) -> tuple[str, ...]:
        """What to expect; by how much the mean that chose is too good; what was chosen how
        often.
        """
        count = len(self.folds)
        expected = (
            f"Nested cross-validation: choosing and training as this recipe does gives {self.metric} {self.mean:.4g} on "
            f"rows that had no part in it (spread {self.spread:.2g} over {count} outer folds)."
        )
        often = Counter(fold.chosen for fold in self.folds).most_common()
        chosen = f"Chosen: {', '.join(f'{name} ({times} of {count})' for name, times in often)}."
        return expected, self._flattery(), chosen

    def _flattery(self) -> str:
        counts = sorted({fold.candidates for fold in self.folds})
        if counts == [1]:
            return f"One candidate, nothing to choose: {self.inner:.4g} on inner folds, {self.mean:.4g} on outer ones."
        among = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        error = stdev(map(self.too_good, self.folds)) / len(self.folds) ** 0.5
        much = (
            f"too good by {self.optimism:.2g}, standard error {error:.2g}"
            if self.optimism > 0
            else "not too good"
        )
        means = f"{self.inner:.4g} on the folds that chose, {self.mean:.4g} on the others"
        return f"Choosing among {among} candidates made the winner's mean {much}: {means}."


class NeighborSearch(Section):
    """Of a recommender of many items: approximate neighbors beside a look at all of them, asked the same."""

    library: str = Field(description="What finds them, with its version.")
    requests: int = Field(ge=1)
    recall: float = Field(
        ge=0, le=1, description="Of the exact first ten items the share that is found, the mean."
    )
    p50_ms: float = Field(description="Of one request.")
    exact_p50_ms: float
    build_s: float = Field(description="To make the index, when the bundle is loaded.")

    def sentence(self) -> str:
        """What terminal and report say."""
        return (
            f"Approximate neighbors ({self.library}): {self.recall:.2%} of the exact first ten items of "
            f"{self.requests:,} requests, {self.p50_ms:.2f} ms instead of {self.exact_p50_ms:.2f} ms each; made in "
            f"{self.build_s:.1f} s at the start."
        )


class Receipt(Section):
    """Everything that was measured in this run, on this machine, on rows the model had not seen."""

    name: str
    candidate: str
    rows_trained: int
    rows_holdout: int
    metric: str
    quality: tuple[Quality, ...]
    baseline_is: str = Field("ignoring the columns", description="What the baseline does.")
    nested: Nested | None = Field(None, description="Where `evaluate.nested` asks for it.")
    before: Cost
    after: Cost
    divergence: float | None = Field(
        None,
        description="Of a language model that was compressed: Kullback and Leibler's, of its answers from those of the model "
        "before, in nats a token, on documents held out.",
    )
    http: OverHttp | None = Field(None, description="Of the served model, after compression.")
    neighbors: NeighborSearch | None = Field(
        None, description="Of a recommender of more than 100,000 items."
    )
    steps: tuple[Step, ...] = ()
    parity_rows: int = 0
    parity_worst: float = 0.0
    verdict: Literal["compressed", "no gain on this machine", "not compressed", "not asked for"] = (
        "not asked for"
    )
    machine: dict[str, str | int | float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    duration_s: float = 0.0
    how: tuple[str, ...] = Field((), description="How each figure was measured, a sentence each.")
