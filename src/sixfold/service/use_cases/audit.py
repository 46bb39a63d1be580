"""Who did what: one line a change, in the transaction of the change."""

from __future__ import annotations

from typing import Final

from sixfold.service.domain.ids import new_id
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.records import AuditEntry
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.use_cases.service import Service

NOBODY: Final = "-"  # without a key


def record(
    service: Service, rows: Transaction, who: Principal, verb: str, subject: str, **detail: object
) -> None:
    """`verb`: as `job.cancel`; `subject`: the id or name of what was changed."""
    rows.records.audit(
        AuditEntry(
            new_id("audit"), who.tenant_id, service.now(), who.key_id, verb, subject, detail=detail
        )
    )


def refused(service: Service, rows: Transaction, tenant_id: str, subject: str, why: str) -> None:
    """A sign-on of somebody whom a provider vouches for, and who may not come in. `why`: the error's code."""
    entry = AuditEntry(
        new_id("audit"), tenant_id, service.now(), NOBODY, "session.open", subject, why
    )
    rows.records.audit(entry)


def page(service: Service, who: Principal, query: PageQuery) -> Page[AuditEntry]:
    """Changes in the tenant: for its administrators."""
    who.require(Scope.ADMIN)
    with service.database.reading() as rows:
        return rows.records.audited(who.tenant_id, query)
