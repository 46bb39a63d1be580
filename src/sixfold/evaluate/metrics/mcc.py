"""Matthews correlation coefficient (Matthews, 1975; Gorodkin, 2004, for several classes)."""

from __future__ import annotations

from typing import ClassVar

from sklearn.metrics import matthews_corrcoef

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Matthews correlation coefficient (Matthews, 1975; Gorodkin, 2004, for several classes). 0 where truth or prediction is
    one class only.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    needs: ClassVar[str] = "label"
    measures_ranking: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        best = predicted.argmax(axis=1)
        if (target.values == target.values[0]).all():  # scikit-learn gives 0 with a warning
            return 0.0
        return float(matthews_corrcoef(target.values, best))
