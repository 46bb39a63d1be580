"""Types of columns, the same in both databases."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Dialect, Text, TypeDecorator
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.types import TypeEngine

from sixfold.service.domain.errors import InvalidRequest


class UnstorableText(DontWrapMixin, InvalidRequest):
    """A text that PostgreSQL does not take: SQLite does not either, so that both behave the same."""


class UnstorableNumber(DontWrapMixin, InvalidRequest):
    """A number that no column holds."""


class WholeNumber(TypeDecorator[int]):
    """64 bits."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """Raises UnstorableNumber."""
        if value is not None and not -(1 << 63) <= value < 1 << 63:
            raise UnstorableNumber(
                "the request",
                "numbers of at most 64 bits",
                f"one of {int(value).bit_length()} bits",
                "Send a smaller one.",
            )
        return value


class PlainText(TypeDecorator[str]):
    """Compared and sorted byte by byte, whatever the language of the database is."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """`C` is the order of bytes, SQLite's own."""
        collation = "C" if dialect.name == "postgresql" else None
        return Text(collation=collation)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Raises UnstorableText."""
        if value is None:
            return None
        text = str(value)
        if "\0" in text or not _is_unicode(text):
            raise UnstorableText(
                "the request",
                "text without NUL characters and halves of surrogate pairs",
                repr(text[:80]),
                "Send plain Unicode text.",
            )
        return text


class JsonText(TypeDecorator[Any]):
    """JSON as ASCII text: nothing searches in it, and it keeps what PostgreSQL's own types refuse (NUL, NaN)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """The value as text."""
        return json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """The text as a value."""
        return None if value is None else json.loads(value)


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
