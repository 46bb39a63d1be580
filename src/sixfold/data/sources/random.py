"""Uniform random numbers: `random:1100x10` is 1,100 rows of 10 columns."""

from __future__ import annotations

import re
from typing import Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from sixfold.core.errors import DataError
from sixfold.core.memory import MemoryLimit
from sixfold.core.seeds import derive
from sixfold.data.source import Raw, table_bytes, table_in_words
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

_SIZE = re.compile(r"(\d{1,9})x(\d{1,6})", re.ASCII)


class Settings(Section):
    """Columns x0, x1, … of numbers uniform in [0, 1), the same ones for the same seed (NumPy's
    PCG64).
    """

    rows: int = Field(ge=1, le=100_000_000, description="Rows.")
    columns: int = Field(ge=1, le=100_000, description="Columns.")
    seed: int = Field(0, ge=0, description="The recipe's data.seed.")

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """ROWSxCOLUMNS. Raises DataError."""
        match = _SIZE.fullmatch(name)
        if match is None or not (0 < int(match[1]) <= 100_000_000 and 0 < int(match[2]) <= 100_000):
            raise DataError(
                "data.source",
                "random:ROWSxCOLUMNS, at least 1x1",
                f"'random:{name}'",
                "For example random:1100x10.",
            )
        return cls(rows=int(match[1]), columns=int(match[2]), seed=data.seed)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """The table; a column does not depend on how many others there are. Raises BudgetError."""
        where = f"random:{self.rows}x{self.columns}"
        needed = max(8 * self.rows * self.columns, table_bytes(self.rows, self.columns))
        (memory or MemoryLimit.of(None)).plan(
            where, table_in_words(self.rows, self.columns), needed
        )
        columns = {
            f"x{i}": pa.chunked_array(
                [np.random.default_rng(derive(self.seed, "random", i)).random(self.rows)]
            )
            for i in range(self.columns)
        }
        return Raw(columns, self.rows, where, lambda row: f"row {row + 1:,}")
