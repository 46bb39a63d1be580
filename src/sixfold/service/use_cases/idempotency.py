"""An Idempotency-Key on a creating request: sent twice, done once.

What is created and the answer are written in one transaction, so there is no moment at which a kill leaves one without the
other. A second request waits for the first one's transaction, and gets its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sixfold.service.domain.errors import Conflict, Unprocessable
from sixfold.service.domain.people import Principal
from sixfold.service.domain.records import Remembered
from sixfold.service.ports.database import Transaction
from sixfold.service.use_cases.service import Service

Answer = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True)
class OnceOnly:
    """`key`: of the client; `request_hash`: of method, path and body."""

    key: str
    request_hash: str


def once(
    service: Service, who: Principal, asked: OnceOnly | None, work: Callable[[Transaction], Answer]
) -> Answer:
    """The answer of `work`, done once for a tenant's key within 24 hours; `asked` None: done each time. Raises Unprocessable for
    another request under the same key. What fails is undone with its key: it may be sent again.
    """
    with service.database.transaction() as rows:
        if asked is None:
            return work(rows)
        row = Remembered(who.tenant_id, asked.key, asked.request_hash, service.now())
        kept = rows.records.remember(row)
        if kept is not None:
            return _again(kept, asked)
        status, answer = work(rows)
        rows.records.answered(who.tenant_id, asked.key, status, answer)
        return status, answer


def _again(kept: Remembered, asked: OnceOnly) -> Answer:
    if kept.request_hash != asked.request_hash:
        raise Unprocessable(
            "Idempotency-Key",
            "the request that it was first sent with",
            "another one",
            "Send a new key with a new request.",
        )
    if kept.status is None:
        raise Conflict("Idempotency-Key", "a finished request", "one at work", "Ask again soon.")
    return kept.status, kept.answer
