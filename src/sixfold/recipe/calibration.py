"""How scores become probabilities, and intervals hold what they say."""

from __future__ import annotations

from pydantic import Field

from sixfold.recipe.plugin_fields import CalibrationMethod, LabelMetric
from sixfold.recipe.section import Section


class Calibration(Section):
    """What becomes of the scores of one candidate: both keys of `evaluate`. What is not given as a number
    is fitted on inner folds of the training rows.
    """

    calibrate: CalibrationMethod = Field(
        "none",
        description="For classes: how scores become probabilities; for quantiles: conformal.",
    )
    threshold: LabelMetric | float = Field(
        "none",
        description="For two classes: the metric of labels that the decision threshold maximizes, or the threshold.",
        json_schema_extra={"x-range": False},
    )

    @property
    def threshold_is_found(self) -> bool:
        """Whether the threshold is one that a metric likes best."""
        return isinstance(self.threshold, str) and self.threshold != "none"
