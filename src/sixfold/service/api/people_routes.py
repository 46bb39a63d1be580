"""`/api/v1/keys` and `/api/v1/tenants`."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from sixfold.service.api.access import In, MadeWithKey, Once, PagedBy, Who, shown_once
from sixfold.service.api.shapes import KeyAnswer, Listed, NewKey, NewTenant, QuotaBody, TenantAnswer
from sixfold.service.domain.people import scopes_of
from sixfold.service.ports.database import Transaction
from sixfold.service.use_cases import people
from sixfold.service.use_cases.people import KeyRequest

router = APIRouter(prefix="/api/v1", tags=["people"])


@router.post("/keys", status_code=201, response_model=KeyAnswer)
def create_key(body: NewKey, service: In, who: Who, asked: Once) -> JSONResponse:
    """The key is in this answer and in no other."""
    request = KeyRequest(body.name, scopes_of(body.scopes), body.expires_after_s, who.user_id)

    def work(rows: Transaction) -> MadeWithKey:
        row, key = people.add_key(service, rows, who, request)
        return MadeWithKey(KeyAnswer.of(row), key)

    return shown_once(service, who, asked, work)


@router.get("/keys")
def keys(
    service: In,
    who: Who,
    asked: PagedBy,
) -> Listed[KeyAnswer]:
    """Newest first, revoked ones too."""
    return Listed[KeyAnswer].of(people.keys(service, who, asked), KeyAnswer.of)


@router.post("/keys/{key_id}/rotate", status_code=201, response_model=KeyAnswer)
def rotate(key_id: str, service: In, who: Who, asked: Once) -> JSONResponse:
    """A new key with the same scopes; the old one stays good for a day."""

    def work(rows: Transaction) -> MadeWithKey:
        row, key = people.add_successor(service, rows, who, key_id)
        return MadeWithKey(KeyAnswer.of(row), key)

    answer = shown_once(service, who, asked, work)
    service.key_changes.count += 1
    return answer


@router.delete("/keys/{key_id}")
def revoke(key_id: str, service: In, who: Who) -> KeyAnswer:
    """At once."""
    return KeyAnswer.of(people.revoke_key(service, who, key_id))


@router.post("/tenants", status_code=201, response_model=TenantAnswer)
def create_tenant(body: NewTenant, service: In, who: Who, asked: Once) -> JSONResponse:
    """For operators. The key of its first administrator is in this answer and in no other."""

    def work(rows: Transaction) -> MadeWithKey:
        made, key = people.add_tenant(service, rows, who, body.name, body.quota.quota())
        return MadeWithKey(TenantAnswer.of(made), key)

    return shown_once(service, who, asked, work)


@router.get("/tenants")
def tenants(
    service: In,
    who: Who,
    asked: PagedBy,
) -> Listed[TenantAnswer]:
    """For operators."""
    return Listed[TenantAnswer].of(people.tenants(service, who, asked), TenantAnswer.of)


@router.put("/tenants/{tenant_id}/quota")
def set_quota(tenant_id: str, body: QuotaBody, service: In, who: Who) -> TenantAnswer:
    """For operators."""
    return TenantAnswer.of(people.set_quota(service, who, tenant_id, body.quota()))
