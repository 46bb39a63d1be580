"""Interactions of users whose tastes are known: `planted:2000x500x30` is 2,000 users who each choose 30 of 500 items."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from sixfold.core.errors import DataError
from sixfold.core.memory import MemoryLimit
from sixfold.core.seeds import derive
from sixfold.data.source import Raw, table_bytes, table_in_words
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

_SIZE = re.compile(r"(\d{1,7})x(\d{1,6})x(\d{1,5})", re.ASCII)
FACTORS: Final = 8
SHARPNESS: Final = 3.0  # standard deviation of a taste, where that of chance (Gumbel) is 1.28
START_S: Final = 1_704_067_200  # 2024-01-01
SPAN_S: Final = 180 * 86_400
BLOCK: Final = 1 << 22  # scores at once

FloatArray = npt.NDArray[np.float64]


class PlantedItems(NamedTuple):
    """`factors`: [items, FACTORS]; `popularity`: [items], which is added to their product with a user's."""

    factors: FloatArray
    popularity: FloatArray


class Settings(Section):
    """Columns `user`, `item` and `time`. Users and items have random factors, an item a popularity
    besides; a user chooses without repetition, with a probability that grows with their product
    (a Plackett–Luce model), at random moments of half a year. The same rows for the same seed.
    """

    users: int = Field(ge=2, le=9_999_999, description="Users.")
    items: int = Field(ge=2, le=999_999, description="Items.")
    each: int = Field(ge=1, le=99_999, description="Items that each user chooses.")
    seed: int = Field(0, ge=0, description="The recipe's data.seed.")

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """USERSxITEMSxEACH. Raises DataError."""
        match = _SIZE.fullmatch(name)
        sizes = [int(part) for part in match.groups()] if match else [0, 0, 0]
        if min(sizes[:2]) < 2 or not 1 <= sizes[2] <= sizes[1]:
            raise DataError(
                "data.source",
                "planted:USERSxITEMSxEACH, at least 2x2x1, and no more of each than there are items",
                f"'planted:{name}'",
                "For example planted:2000x500x30.",
            )
        return cls(users=sizes[0], items=sizes[1], each=sizes[2], seed=data.seed)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """The rows, by user. Raises BudgetError."""
        where, rows = f"planted:{self.users}x{self.items}x{self.each}", self.users * self.each
        needed = max(24 * rows, table_bytes(rows, 3))
        (memory or MemoryLimit.of(None)).plan(where, table_in_words(rows, 3), needed)
        rng = np.random.default_rng(derive(self.seed, "planted", "choices"))
        chosen = []
        for scores in self.scores():
            noisy = scores + rng.gumbel(size=scores.shape)
            chosen.append(np.argsort(-noisy, axis=1, kind="stable")[:, : self.each])
        items = np.concatenate(chosen).ravel()
        users = np.repeat(np.arange(self.users), self.each)
        times = START_S + rng.integers(0, SPAN_S, rows)
        columns = {
            "user": pa.chunked_array([[f"u{code}" for code in users.tolist()]]),
            "item": pa.chunked_array([[f"i{code}" for code in items.tolist()]]),
            "time": pa.chunked_array([pa.array(times, pa.timestamp("s"))]),
        }
        return Raw(columns, rows, where, lambda row: f"row {row + 1:,}")

    def scores(self) -> Iterator[FloatArray]:
        """[some users, items] after one another: what the choices follow."""
        rng = np.random.default_rng(derive(self.seed, "planted", "factors"))
        items, popularity = self._items(rng)
        at_once = max(1, BLOCK // self.items)
        for first in range(0, self.users, at_once):
            count = min(at_once, self.users - first)
            users = rng.standard_normal((count, FACTORS))
            yield SHARPNESS / np.sqrt(FACTORS) * (users @ items.T) + popularity

    def planted_items(self) -> PlantedItems:
        """What the scores are made of, besides the users' factors, which are of the standard normal distribution."""
        rng = np.random.default_rng(derive(self.seed, "planted", "factors"))
        items, popularity = self._items(rng)
        return PlantedItems(SHARPNESS / np.sqrt(FACTORS) * items, popularity)

    def _items(self, rng: np.random.Generator) -> PlantedItems:
        return PlantedItems(
            rng.standard_normal((self.items, FACTORS)), rng.standard_normal(self.items)
        )
