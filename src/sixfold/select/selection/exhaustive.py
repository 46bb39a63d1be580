"""Every candidate gets every fold."""

from __future__ import annotations

from sixfold.recipe.section import Section
from sixfold.select.selecting import Dropped, Seen


class Settings(Section):
    """Every candidate gets every fold: candidates × folds fits, and every score stands in the
    report.
    """

    def blocks(self, folds: int) -> tuple[int, ...]:
        """All folds at once."""
        return (folds,)

    def dropped(self, seen: Seen) -> list[Dropped]:
        """Nobody."""
        return []
