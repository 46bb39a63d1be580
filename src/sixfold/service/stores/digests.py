"""Which artifacts rows need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import select

from sixfold.service.stores import tables
from sixfold.service.stores.rows import StoreConnection

DIGEST: Final = re.compile(r"(?:tree:)?([0-9a-f]{64})")


def digests_of(store: StoreConnection) -> frozenset[str]:
    """Of all tenants. A job's may stand anywhere in what it keeps: a digest too many costs room, one too few costs data. A
    job whose run is forgotten needs none.
    """
    columns = (tables.files.c.digest, tables.versions.c.tree)
    found = {row[0] for column in columns for row in store.sql.execute(select(column).distinct())}
    for row in store.sql.execute(select(tables.jobs.c.details)):
        if row[0].get("forgotten_at") is None:
            found.update(_within(row[0]))
    return frozenset(found)


def _within(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        found = DIGEST.fullmatch(value)
        if found:
            yield found[1]
    elif isinstance(value, dict):
        for item in value.values():
            yield from _within(item)
    elif isinstance(value, list):
        for item in value:
            yield from _within(item)
