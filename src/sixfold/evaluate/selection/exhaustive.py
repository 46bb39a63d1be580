"""Every candidate gets every fold."""

from __future__ import annotations

from sixfold.evaluate.selecting import Dropped, Seen
from sixfold.recipe.section import Section


class Settings(Section):
    """Every candidate gets every fold: candidates × folds fits, and every score stands in the report."""

    def blocks(self, folds: int) -> tuple[int, ...]:
        """All folds at once."""
        return (folds,)

    def dropped(self, seen: Seen) -> list[Dropped]:
        """Nobody."""
        return []
