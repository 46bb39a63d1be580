"""Layers of a language model: whole layers go, then the network learns from what it was."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sixfold.compress.amount import Found
from sixfold.compress.keep import Keep
from sixfold.compress.language.pruning import LanguagePruning
from sixfold.compress.language.removals import LAYERS
from sixfold.compress.subject import CompressionState, Job
from sixfold.recipe.section import Section
from sixfold.runs.context import Context


class Settings(Section):
    """Remove layers of a language model, one after the other that without which its answers to
    training texts diverge least (Kullback and Leibler); then train on by the texts and by the answers
    of the model before the cut (distillation).

    Where `ratio` costs more than `keep` allows, half of it is tried, then a quarter, down to 5%;
    `largest` searches by bisection.
    """

    ratio: Annotated[float, Field(gt=0, lt=1)] | Literal["largest"] = Field(
        0.25, description="Share of the layers that goes, in (0, 1); or `largest` within keep."
    )
    epochs: int = Field(1, ge=0, description="Epochs of training afterwards.")

    def prune(self, subject: CompressionState, job: Job, keep: Keep, context: Context) -> Found:
        """The largest ratio within `keep`."""
        pruning = LanguagePruning(LAYERS, self.ratio, self.epochs)
        return pruning.prune(subject, job, keep, context)
