"""Events of a run as people read them: a level, a sentence, and the facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MOST_TEXT: Final = 2000
LEVELS: Final = {"warning": "warn", "candidate_failed": "warn", "error": "error"}


def line_of(number: int, event: Mapping[str, Any]) -> dict[str, Any]:
    """A line of `report`: see `use_cases.workers.RunLine`."""
    kind = str(event["event"])
    at = event.get("time")
    facts = {name: value for name, value in event.items() if name not in ("event", "time", "crc")}
    return {
        "line": number,
        "at": at if isinstance(at, int | float) else 0.0,
        "kind": kind,
        "level": LEVELS.get(kind, "info"),
        "message": message_of(kind, facts),
        "data": facts,
    }


def message_of(kind: str, facts: Mapping[str, Any]) -> str:
    """One sentence."""
    if isinstance(facts.get("text"), str):
        return str(facts["text"])[:MOST_TEXT]
    shown = ", ".join(
        f"{name} {value}" for name, value in facts.items() if isinstance(value, str | int | float)
    )
    return f"{kind.replace('_', ' ')}: {shown}"[:MOST_TEXT] if shown else kind.replace("_", " ")
