"""The one layer through which all rows of tenants are read and written: each statement here says whose rows it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Table,
    UnaryExpression,
    UpdateBase,
    delete,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from sixfold.service.domain.errors import Conflict, InvalidRequest, NotFound
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.stores.columns import PlainText

Entity = TypeVar("Entity")
Insert = sqlite.Insert | postgresql.Insert


@dataclass(frozen=True)
class StoreConnection:
    """A transaction's connection. `locking`: what is read by its id stays as it is until the end (PostgreSQL; in SQLite
    everything does).
    """

    sql: Connection
    locking: bool = True

    def insert(self, table: Table) -> Insert:
        """With `on_conflict_…`, which both databases have, each in a class of its own."""
        if self.sql.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)

    def changed(self, statement: UpdateBase) -> int:
        """How many rows it changed."""
        found = self.sql.execute(statement, execution_options={"preserve_rowcount": True})
        return int(found.rowcount)

    def all(self, statement: Select[Any]) -> Sequence[RowMapping]:
        """Its rows, by name."""
        return [row._mapping for row in self.sql.execute(statement)]

    def locked(self, statement: Select[Any]) -> RowMapping | None:
        """Its first row, which nobody else changes or removes before this transaction ends."""
        if self.locking:
            statement = statement.with_for_update(key_share=True)
        row = self.sql.execute(statement).first()
        return None if row is None else row._mapping


@dataclass(frozen=True)
class RowMapper(Generic[Entity]):
    """Between the values of the domain and rows. `derived`: columns that are inside a field, for searching."""

    kind: type[Entity]
    table: Table
    derived: Mapping[str, Callable[[Entity], Any]] = field(default_factory=dict)

    @cached_property
    def adapter(self) -> TypeAdapter[Entity]:
        """Between the dataclass and what JSON knows."""
        return TypeAdapter(self.kind)

    @property
    def what(self) -> str:
        """For messages: `job`, `model version`."""
        return self.table.name.removesuffix("s").removeprefix("job_").replace("_", " ")

    def values(self, entity: Entity) -> dict[str, Any]:
        """A row."""
        found = self.adapter.dump_python(entity, mode="json")
        names = {column.name for column in self.table.columns} - {"details"}
        row = {name: found.pop(name) for name in names & found.keys()}
        row |= {name: value(entity) for name, value in self.derived.items()}
        if "details" in self.table.columns:
            row["details"] = found
        return row

    def entity(self, row: RowMapping) -> Entity:
        """A value of the domain. What an older Sixfold did not write has its default."""
        found = dict(row.get("details") or {})
        found |= {str(name): value for name, value in row.items() if name != "details"}
        return self.adapter.validate_python(found)

    def entities(self, rows: Iterable[RowMapping]) -> tuple[Entity, ...]:
        """In the order of the rows."""
        return tuple(map(self.entity, rows))

    def filters(self, where: Mapping[str, str]) -> list[ColumnElement[bool]]:
        """Raises InvalidRequest for what is no text of these rows."""
        fields = {
            column.name: column
            for column in self.table.columns
            if isinstance(column.type, PlainText) and column.name not in ("tenant_id", "hash")
        }
        if unknown := sorted(where.keys() - fields.keys()):
            raise InvalidRequest(
                f"the filter of {self.what}s",
                f"one of {', '.join(sorted(fields))}",
                repr(unknown[0][:80]),
                "Filter by one of these.",
            )
        return [fields[name] == value for name, value in where.items()]


@dataclass(frozen=True)
class TenantRowsOf(Generic[Entity]):
    """Rows with an id, each of one tenant: the filter is in `of`, and nowhere else."""

    store: StoreConnection
    mapper: RowMapper[Entity]

    @property
    def columns(self) -> Any:
        """By attribute: `columns.state`."""
        return self.mapper.table.c

    def of(self, tenant_id: str, **named: object) -> list[ColumnElement[bool]]:
        """This tenant's rows alone, with these values."""
        own = self.columns.tenant_id == tenant_id
        return [own, *(self.mapper.table.c[name] == value for name, value in named.items())]

    def add(self, entity: Entity) -> None:
        """Raises Conflict where one of its unique keys is taken."""
        row = self.mapper.values(entity)
        insert = self.store.insert(self.mapper.table).values(row).on_conflict_do_nothing()
        if not self.store.changed(insert):
            raise Conflict(
                f"{self.mapper.what} {row.get('name', row.get('id'))}",
                "a name and an id that are free",
                "one that is taken",
                "Choose another name, or use what is there.",
            )

    def one(self, *conditions: ColumnElement[bool]) -> Entity | None:
        """Locked, in a transaction that writes."""
        row = self.store.locked(select(self.mapper.table).where(*conditions))
        return None if row is None else self.mapper.entity(row)

    def many(
        self,
        *conditions: ColumnElement[bool],
        order: Sequence[UnaryExpression[Any]] = (),
        limit: int | None = None,
    ) -> tuple[Entity, ...]:
        """All, or the first ones, as they are."""
        query = select(self.mapper.table).where(*conditions).order_by(*order).limit(limit)
        return self.mapper.entities(self.store.all(query))

    def replace(self, entity: Entity, **stored: int) -> None:
        """Raises NotFound, and Conflict where a number that is stored is another one than `stored` says."""
        row = self.mapper.values(entity)
        tenant_id, entity_id = row.pop("tenant_id"), row.pop("id")
        conditions = self.of(tenant_id, id=entity_id, **stored)
        if self.store.changed(update(self.mapper.table).where(*conditions).values(row)):
            return
        found = self.one(*self.of(tenant_id, id=entity_id))
        where = f"{self.mapper.what} {entity_id}"
        if found is None:
            raise NotFound(where, "one that is there", "none", "List what there is.")
        expected = ", ".join(f"{name} {value}" for name, value in stored.items())
        raise Conflict(
            where, expected, "that it was changed meanwhile", "Read it again, then decide."
        )

    def delete(self, tenant_id: str, **named: object) -> bool:
        """Whether there was any."""
        conditions = self.of(tenant_id, **named)
        return self.store.changed(delete(self.mapper.table).where(*conditions)) > 0

    def page_of(self, tenant_id: str, query: PageQuery) -> Page[Entity]:
        """By id."""
        return page(self.store, self.mapper, query, self.of(tenant_id))


def page(
    store: StoreConnection,
    mapper: RowMapper[Entity],
    query: PageQuery,
    conditions: Sequence[ColumnElement[bool]] = (),
) -> Page[Entity]:
    """One row more than is asked for is read: it tells whether there are more."""
    if query.limit < 1:
        raise InvalidRequest("limit", "1 or more", str(query.limit), "Ask for at least one row.")
    ids: Column[str] = mapper.table.c.id
    found = select(mapper.table).where(*conditions, *mapper.filters(query.where))
    if query.after is not None:
        found = found.where(ids < query.after if query.newest_first else ids > query.after)
    found = found.order_by(ids.desc() if query.newest_first else ids.asc()).limit(query.limit + 1)
    rows = store.all(found)
    return Page(mapper.entities(rows[: query.limit]), len(rows) > query.limit)
