"""`/api/v1/keys` and `/api/v1/tenants`."""

from __future__ import annotations

from fastapi import APIRouter

from sixfold.service.api.access import In, PagedBy, Who
from sixfold.service.api.shapes import KeyAnswer, Listed, NewKey, NewTenant, QuotaBody, TenantAnswer
from sixfold.service.domain.people import scopes_of
from sixfold.service.use_cases import people
from sixfold.service.use_cases.people import KeyRequest

router = APIRouter(prefix="/api/v1", tags=["people"])


@router.post("/keys", status_code=201)
def create_key(body: NewKey, service: In, who: Who) -> KeyAnswer:
    """The key is in this answer and in no other."""
    request = KeyRequest(body.name, scopes_of(body.scopes), body.expires_after_s, who.user_id)
    return KeyAnswer.of(*people.create_key(service, who, request))


@router.get("/keys")
def keys(
    service: In,
    who: Who,
    asked: PagedBy,
) -> Listed:
    """Newest first, revoked ones too."""
    return Listed.of(people.keys(service, who, asked), KeyAnswer.of)


@router.post("/keys/{key_id}/rotate", status_code=201)
def rotate(key_id: str, service: In, who: Who) -> KeyAnswer:
    """A new key with the same scopes; the old one stays good for a day."""
    return KeyAnswer.of(*people.rotate_key(service, who, key_id))


@router.delete("/keys/{key_id}")
def revoke(key_id: str, service: In, who: Who) -> KeyAnswer:
    """At once."""
    return KeyAnswer.of(people.revoke_key(service, who, key_id))


@router.post("/tenants", status_code=201)
def create_tenant(body: NewTenant, service: In, who: Who) -> TenantAnswer:
    """For operators. The key of its first administrator is in this answer and in no other."""
    return TenantAnswer.of(*people.create_tenant(service, who, body.name, body.quota.quota()))


@router.get("/tenants")
def tenants(
    service: In,
    who: Who,
    asked: PagedBy,
) -> Listed:
    """For operators."""
    return Listed.of(people.tenants(service, who, asked), TenantAnswer.of)


@router.put("/tenants/{tenant_id}/quota")
def set_quota(tenant_id: str, body: QuotaBody, service: In, who: Who) -> TenantAnswer:
    """For operators."""
    return TenantAnswer.of(people.set_quota(service, who, tenant_id, body.quota()))
