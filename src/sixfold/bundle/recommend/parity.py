"""The proof that the served recommender is the trained one: requests, with the answers that the code which trained gave.

`parity.jsonl.gz`: one JSON object a request: `user`, `items` or `features`, and the names and scores of the first items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from pydantic import Field, TypeAdapter

from sixfold.bundle.recommend.requests import RecommendAnswer, RecommendRequest
from sixfold.bundle.stored_lines import StoredLines
from sixfold.core.json_limits import JsonLimits
from sixfold.recipe.section import Section

TOLERANCE: Final = (
    1e-3  # of the largest score of an answer: single precision, summed in another order
)
MOST_REQUESTS: Final = 4_096
MOST_ITEMS: Final = 1_000  # of one request, and of an answer
MOST_BYTES: Final = 32 << 20  # unpacked
AGAIN: Final = "Copy the bundle again from where it was made, or run the recipe again."
LIMITS: Final = JsonLimits(MOST_BYTES, values=2_000_000)


class StoredRequest(Section):
    """One request, and its answer."""

    user: str | None = None
    items: tuple[str, ...] = Field((), max_length=MOST_ITEMS)
    features: dict[str, float | bool | str] | None = None
    answer: tuple[str, ...] = Field(max_length=MOST_ITEMS)
    scores: tuple[float, ...] = Field(max_length=MOST_ITEMS)

    def request(self) -> RecommendRequest:
        """What is asked."""
        return RecommendRequest(
            self.user, self.items, max(1, len(self.answer)), features=self.features
        )

    def difference(self, found: RecommendAnswer) -> float:
        """The largest difference of a score, place by place, as a part of the largest score; infinite
        where an item stands elsewhere though its score is not nearly the one of that place.
        """
        if len(found.items) != len(self.answer) or len(self.scores) != len(self.answer):
            return math.inf
        scale = max((abs(score) for score in self.scores), default=0.0) or 1.0
        own = dict(zip(self.answer, self.scores, strict=True))
        worst = 0.0
        for score, one in zip(self.scores, found.items, strict=True):
            worst = max(worst, abs(score - one.score) / scale)
            worst = max(worst, abs(own.get(one.item, score) - one.score) / scale)
        missing = set(own) - {one.item for one in found.items}
        nearly_last = all(abs(own[name] - self.scores[-1]) <= TOLERANCE * scale for name in missing)
        return worst if nearly_last else math.inf


_FILE: Final = StoredLines(
    TypeAdapter(list[StoredRequest]), "requests", MOST_REQUESTS, LIMITS, AGAIN
)


def packed(requests: Sequence[StoredRequest]) -> bytes:
    """The content of the file; the same requests give the same bytes."""
    return _FILE.packed(requests)


def unpacked(content: bytes, where: str) -> list[StoredRequest]:
    """Raises BundleError."""
    return _FILE.unpacked(content, where)
