"""The body of POST /recommend, and what its answer looks like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sixfold.bundle.frontend import shown
from sixfold.bundle.recommend.requests import RecommendAnswer, RecommendedItem, RecommendRequest
from sixfold.bundle.recommend.runtime import RecommenderRuntime
from sixfold.core import values
from sixfold.core.errors import RowError, did_you_mean
from sixfold.core.values import LevelType

MOST: Final = 1_000  # items of an answer; guessed
MOST_LISTED: Final = 10_000  # names in a list of the request; guessed
DEFAULT: Final = 10
KEYS: Final = {
    "user": "a name, or a number",
    "items": "a list of names: what the user did since training, or all of it for a new user",
    "similar_to": "the name of an item, instead of a user",
    "k": f"how many items, 1 to {MOST:,}; {DEFAULT} where it is left out",
    "allowed": "a list of names: no others are answered",
    "blocked": "a list of names that are not answered",
    "exclude_seen": "true or false: whether what the user did is left out; true where it is left out",
    "because": "true or false: whether to tell what an item is due to",
    "explain": "true or false: whether to tell how much each item that the user had adds to a score",
    "features": "a mapping of what is known of the user, by the columns of data.users: for somebody new, or in the place of "
    "what was known in training",
}


@dataclass(frozen=True)
class RecommendBody:
    """What a body says, key by key. Names are read as training read them."""

    values: dict[str, Any]

    def name(self, key: str, kind: LevelType) -> str | None:
        """A name, or None. Raises RowError."""
        value = self.values.get(key)
        return None if value is None else _name(value, key, kind)

    def names(self, key: str, kind: LevelType) -> tuple[str, ...] | None:
        """A list of names, or None. Raises RowError."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > MOST_LISTED:
            found = shown(value) if not isinstance(value, list) else f"{len(value):,}"
            expected = f"a list of at most {MOST_LISTED:,} names"
            raise RowError(key, expected, found, "Send a list, or leave it out.")
        return tuple(_name(one, f"{key}, entry {at}", kind) for at, one in enumerate(value, 1))

    def mapping(self, key: str) -> dict[str, Any] | None:
        """Raises RowError."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, dict):
            raise RowError(
                key, "a mapping of names to values", shown(value), "Send {}, or leave it out."
            )
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Raises RowError."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise RowError(key, "true or false", shown(value), f"Send {str(default).lower()}.")
        return value

    def count(self) -> int:
        """Items wanted. Raises RowError."""
        value = self.values.get("k", DEFAULT)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
            raise RowError("k", f"a whole number from 1 to {MOST:,}", shown(value), "Send 10.")
        return value


def read_request(value: Any, model: RecommenderRuntime) -> RecommendRequest:
    """Raises RowError for keys and values that do not fit."""
    if not isinstance(value, dict):
        raise RowError("the body", "a mapping", shown(value), 'Send {"user": NAME, "k": 10}.')
    for key in value:
        if key not in KEYS:
            raise RowError(
                "the body", f"the keys {', '.join(KEYS)}", shown(key), did_you_mean(key, KEYS)
            )
    body, kind = RecommendBody(value), model.item_type
    user, similar = body.name("user", model.user_type), body.name("similar_to", kind)
    items = body.names("items", kind)
    features = body.mapping("features")
    if similar is not None and (user is not None or items or features is not None):
        expected = "no user, no items and no features beside it"
        raise RowError("similar_to", expected, "both", "Ask two questions.")
    return RecommendRequest(
        user,
        items or (),
        body.count(),
        body.names("allowed", kind),
        body.names("blocked", kind) or (),
        body.flag("exclude_seen", True),
        similar,
        body.flag("because", False),
        body.flag("explain", False),
        features,
    )


def content_of(answer: RecommendAnswer, model: RecommenderRuntime) -> dict[str, Any]:
    """The answer as JSON: names as the values that they were in training."""

    def typed(name: str) -> Any:
        return values.typed(name, model.item_type)

    items = [
        {
            "item": typed(one.item),
            "score": one.score,
            **({"because": [typed(name) for name in one.because]} if one.because else {}),
            **({"parts": _parts_of(one, typed)} if one.parts else {}),
        }
        for one in answer.items
    ]
    return {"items": items, "basis": answer.basis, "unknown": list(answer.unknown)}


def _parts_of(one: RecommendedItem, typed: Callable[[str], Any]) -> list[dict[str, Any]]:
    return [{"item": typed(part.item), "adds": part.adds} for part in one.parts]


def _name(value: Any, where: str, kind: LevelType) -> str:
    text = None if isinstance(value, list | dict) or value is None else values.spell(value)
    if not text or not text.strip():
        raise RowError(where, "a name, or a number", shown(value), "Send what training called it.")
    return values.level(text.strip(), kind)
