"""What every metric says of itself."""

from __future__ import annotations

from typing import ClassVar

from sixfold.parts.table import Task
from sixfold.recipe.section import Section


class Metric(Section):
    """The base of a metric's Settings, which have `score(target, predicted)`; NaN where the rows do
    not define it.

    `needs`: what it looks at: the `label` that is decided on, a `score` that orders the rows, a
    `probability`, or a `value`. `bounds`: the worst and the best score there is, None without
    limits. `measures_ranking`: only the order of the rows counts. `of_quantiles`: whether it scores
    quantiles: never, also (beside plain values), or only. `decides`: whether the best score is that of
    the best model, so that it may choose. Where `target.weights` are given
    (all above 0), a row with the weight 2 counts as two rows.
    """

    tasks: ClassVar[frozenset[Task]]
    needs: ClassVar[str]
    greater_is_better: ClassVar[bool]
    bounds: ClassVar[tuple[float, float] | None] = None
    measures_ranking: ClassVar[bool] = False
    of_quantiles: ClassVar[str] = "never"
    decides: ClassVar[bool] = True
