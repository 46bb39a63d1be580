"""Each class is a few points: the nearest point's class is predicted.

What it learns stands in another module, which is imported only when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

from pydantic import Field

from sixfold.build.family import SolverFamily
from sixfold.parts.fit import Fit, Fitted, Needs
from sixfold.parts.table import Task
from sixfold.runs.context import Context


class Settings(SolverFamily):
    """Lloyd's algorithm within each class; a row is of the class whose points are nearest."""

    needs: ClassVar[Needs] = Needs()
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})

    points: int = Field(4, ge=1, le=64, description="Points a class, 1 to 64.")
    sharpness: float = Field(
        1.0, gt=0, description="How fast a class loses probability with the distance, above 0."
    )

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Yield one result a fit, in order: no settings share work, so there is one."""
        from sixfold_example.learned.nearest_points import learn

        for fit in fits:
            context.check_time("fitting centroids")
            yield learn(fit, self.points, self.sharpness)
