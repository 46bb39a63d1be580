"""`/api/v1/audit`: who changed what."""

from __future__ import annotations

from typing import Any, Self

from fastapi import APIRouter
from pydantic import BaseModel

from sixfold.service.api.access import In, PagedBy, Who
from sixfold.service.api.shapes import Listed
from sixfold.service.domain.records import AuditEntry
from sixfold.service.use_cases import audit

router = APIRouter(tags=["people"])


class AuditAnswer(BaseModel):
    """A change. `key_id`: of the key or session that asked for it, `-` for none; `verb`: as `job.cancel`; `subject`: what was
    changed, by id or name; `outcome`: done, or the code of a refusal.
    """

    id: str
    at: float
    key_id: str
    verb: str
    subject: str
    outcome: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, row: AuditEntry) -> Self:
        """What an administrator sees."""
        facts = {name: getattr(row, name) for name in cls.model_fields if name != "detail"}
        return cls(**facts, detail=dict(row.detail))


@router.get("/api/v1/audit")
def page(service: In, who: Who, asked: PagedBy) -> Listed[AuditAnswer]:
    """For administrators: changes in their tenant, newest first."""
    return Listed[AuditAnswer].of(audit.page(service, who, asked), AuditAnswer.of)
