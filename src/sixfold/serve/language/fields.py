"""The fields of a request, taken one by one: each is what it may be, or the request is refused by the field's name; what
is left at the end is unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sixfold.bundle.frontend import shorten, shown
from sixfold.core.errors import did_you_mean, nearest
from sixfold.serve.errors import ParameterRefusal

INVALID: Final = "invalid_value"
UNSUPPORTED: Final = "unsupported_parameter"
UNKNOWN: Final = "unknown_parameter"


def invalid(param: str, expected: str, found: Any, remedy: str = "") -> ParameterRefusal:
    """400 for a value. `found`: as it came."""
    told = remedy or f"Send {param} as that, or leave it out."
    return ParameterRefusal(param, expected, shown(found), told, INVALID)


class RequestFields:
    """What is left of one object of a request. `where`: how it is named in messages; '' is the
    body.
    """

    def __init__(self, content: Any, where: str = "") -> None:
        self._where = where
        if not isinstance(content, dict):
            raise invalid(where or "the body", "a JSON object", content)
        self._left = dict(content)
        self._taken: list[str] = []

    def name(self, key: str) -> str:
        """The field as messages name it: `messages[0].role`."""
        return f"{self._where}.{key}" if self._where else key

    def take(self, key: str) -> Any:
        """The value; None where it was left out, or null."""
        self._taken.append(key)
        return self._left.pop(key, None)

    def number(self, key: str, low: float, high: float, default: float) -> float:
        """A number within its range."""
        value = self.take(key)
        if value is None:
            return default
        if type(value) not in (int, float) or not low <= value <= high:
            raise invalid(self.name(key), f"a number from {low:g} to {high:g}", value)
        return float(value)

    def whole(self, key: str, low: int, high: int) -> int | None:
        """A whole number within its range, if there is one."""
        value = self.take(key)
        if value is None:
            return None
        if type(value) is not int or not low <= value <= high:
            raise invalid(self.name(key), f"a whole number from {low:,} to {high:,}", value)
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false."""
        value = self.take(key)
        if value is not None and type(value) is not bool:
            raise invalid(self.name(key), "true or false", value)
        return default if value is None else value

    def text(self, key: str, default: str | None = None) -> str:
        """A text; one that must be there has no default."""
        value = self.take(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise invalid(self.name(key), "a text", value, f"Send {self.name(key)} as a text.")
        return value

    def refuse(
        self, unsupported: Mapping[str, str], harmless: Mapping[str, Collection[Any]]
    ) -> None:
        """Parameters of the API that change nothing here: each may have a value that asks for
        nothing (`harmless`); any other is refused with what is said of it.
        """
        for key, remedy in unsupported.items():
            value = self.take(key)
            if value is None or any(value == each for each in harmless.get(key, ())):
                continue
            expected = "no such parameter: this server does not act on it"
            raise ParameterRefusal(self.name(key), expected, shown(value), remedy, UNSUPPORTED)

    def end(self) -> None:
        """Whatever is left is refused."""
        for key, value in self._left.items():
            if value is None:
                continue
            known = sorted(set(self._taken))
            hint = did_you_mean(key, known) if nearest(key, known) else "Leave it out."
            raise ParameterRefusal(
                self.name(shorten(key)), "a known parameter", shown(value), hint, UNKNOWN
            )
