"""`/api/v1/usage`: how much each key used, by the hour."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from sixfold.service.api.access import In, Who
from sixfold.service.use_cases import usage

router = APIRouter(tags=["usage"])
MOST_HOURS = 24 * 92


class HourOfKey(BaseModel):
    """Counts of a key within an hour that begins at `hour` (seconds since 1970). `errors`: answers of 400 and more."""

    key_id: str
    hour: int
    requests: int
    errors: int
    tokens_in: int
    tokens_out: int
    job_s: float


class UsageAnswer(BaseModel):
    """By hour, then by key."""

    data: list[HourOfKey]


@router.get("/api/v1/usage")
def since(
    service: In, who: Who, hours: Annotated[int, Query(ge=1, le=MOST_HOURS)] = 24
) -> UsageAnswer:
    """Of all keys of the tenant, within so many hours. Counts arrive about a second after the answers."""
    found = usage.since(service, who, hours)
    return UsageAnswer(data=[HourOfKey.model_validate(one, from_attributes=True) for one in found])
