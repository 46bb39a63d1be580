"""One request on its way through the gateway, and what became of it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

from sixfold.service.domain.people import Principal
from sixfold.service.gateway.usage_meter import TokenCounts
from sixfold.service.gateway.wire import ReplicaRequest

KEPT: Final = 64 << 10  # bytes of an answer that are kept for what is read from it afterwards
TAIL: Final = 8 << 10  # of a longer one: its end, where the tokens are counted
USAGE: Final = '"usage":'
EVENT: Final = b"data: {"
CLIENT_GONE: Final = 499  # in figures and logs; nobody is answered with it
_decode: Final = json.JSONDecoder().raw_decode


@dataclass
class Exchange:
    """`status`: of the answer, 503 until there is one. `events`: of a stream. `answer`: its body, or the end of a long one."""

    request_id: str
    who: Principal
    name: str
    asked: ReplicaRequest
    version_id: str = ""
    status: int = 503
    begun: bool = False
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    events: int = 0
    answer: bytes = b""
    whole: bool = True

    @property
    def of_model(self) -> bool:
        """Whether its body names the model: then a version answers under its own name, too, without a deployment."""
        return self.asked.target.startswith(b"/v1/")

    def keep(self, block: bytes) -> None:
        """A part of the answer."""
        if not self.answer and len(block) <= KEPT:
            self.answer = block
        else:
            self.answer += block
            if len(self.answer) > KEPT:
                self.whole, self.answer = False, self.answer[-TAIL:]
        self.events += block.count(EVENT)

    def tokens(self) -> TokenCounts:
        """In and out, of an answer under /v1: what its `usage` says; without one, of a stream, an event a token."""
        if not self.of_model:
            return TokenCounts()
        text = self.answer.decode("utf-8", "replace").replace('"usage": ', USAGE)
        at = text.rfind(USAGE)
        while at >= 0:
            usage = _object(text, at + len(USAGE))
            if usage is not None and not text[:at].endswith("\\"):
                read, written = (
                    _count(usage, f"{kind}_tokens") for kind in ("prompt", "completion")
                )
                return TokenCounts(read, written)
            at = text.rfind(USAGE, 0, at)
        return TokenCounts(0, max(0, self.events - 1))  # the last event tells why it ended


def _object(text: str, at: int) -> dict[str, Any] | None:
    try:
        value, _ = _decode(text, at)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name, 0)
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else 0
