"""Lists come in pages: the ids after one, newest first unless said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True)
class PageQuery:
    """`after`: the id of the last row of the page before. `where`: field → value; a field that the rows do not have is an
    InvalidRequest.
    """

    limit: int = 20
    after: str | None = None
    newest_first: bool = True
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """`more`: there are further rows behind the last one."""

    rows: tuple[Row, ...]
    more: bool
