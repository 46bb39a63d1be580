"""What a recommender is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Basis = Literal["user", "session", "similar", "features", "popularity"]


@dataclass(frozen=True)
class RecommendRequest:
    """`user`: by name, None for nobody that is known; `items`: what they did since, or all of it of
    somebody new. `count`: items wanted. `allowed`: None for all; `blocked`: none of these. `exclude_seen`:
    whether what they did is left out. `similar_to`: instead, items that are like this one. `because`:
    whether what an answer is due to is told; `explain`: and how much of it. `features`: raw values of what is known of the
    user, in the place of what was known in training.
    """

    user: str | None = None
    items: tuple[str, ...] = ()
    count: int = 10
    allowed: tuple[str, ...] | None = None
    blocked: tuple[str, ...] = ()
    exclude_seen: bool = True
    similar_to: str | None = None
    because: bool = False
    explain: bool = False
    features: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ItemPart:
    """What an item of the history adds to a score."""

    item: str
    adds: float


@dataclass(frozen=True)
class RecommendedItem:
    """`score`: comparable within one answer; `because`: items of the history that add most to it;
    `parts`: what each adds, the largest first, where it was asked for and something adds up.
    """

    item: str
    score: float
    because: tuple[str, ...] = ()
    parts: tuple[ItemPart, ...] = ()


@dataclass(frozen=True)
class RecommendAnswer:
    """The best first. `basis`: what it is due to: what the user did in training, and since (session); the item that was asked
    about; what the request says of the user (features); or the popular items, as nothing is known of the user. `unknown`:
    names of the request that the model does not know.
    """

    items: tuple[RecommendedItem, ...]
    basis: Basis
    unknown: tuple[str, ...] = ()
