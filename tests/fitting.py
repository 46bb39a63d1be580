"""What the tests of families and of training share: candidates, and grids of settings, on fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sixfold.build.candidate import Candidate, fits_of
from sixfold.build.family import Family
from sixfold.parts.fit import Fit, Fitted, Setting, Watch
from sixfold.runs.context import Context


def fit_many(
    candidates: Sequence[Candidate], fits: Sequence[Fit], context: Context, watch: Watch | None = None
) -> Iterator[Fitted]:
    """Fit by fit, and within a fit candidate by candidate."""
    return candidates[0].family.fit(fits_of(candidates, fits, watch), context)


def fit_grid(settings: Sequence[Family], fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
    """Fit by fit, and within a fit setting by setting."""
    named = [Setting(name=str(number), family=family) for number, family in enumerate(settings)]
    return settings[0].fit([replace(fit, setting=setting) for fit in fits for setting in named], context)
