"""Rows on three rings around the origin: `rings:300` is 300 of them."""

from __future__ import annotations

from typing import Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from sixfold.core.memory import MemoryLimit
from sixfold.data.source import Raw
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section


class Settings(Section):
    """Columns `east`, `north` and `ring` (inner, middle, outer), the same rows for the same
    count.
    """

    rows: int = Field(ge=3, description="Rows.")

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """A count of rows."""
        return cls(rows=int(name))

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All rows."""
        rng, ring = np.random.default_rng(self.rows), np.arange(self.rows) % 3
        angle, radius = (
            rng.uniform(0, 2 * np.pi, self.rows),
            np.exp(ring + rng.normal(0, 0.2, self.rows)),
        )
        columns = {
            "east": pa.chunked_array([radius * np.cos(angle)]),
            "north": pa.chunked_array([radius * np.sin(angle)]),
            "ring": pa.chunked_array([np.array(["inner", "middle", "outer"])[ring]]),
        }
        return Raw(columns, self.rows, f"rings:{self.rows}", lambda row: f"row {row + 1:,}")
