"""Events of a run as people read them: a level, a sentence, and the facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sixfold.runs import events
from sixfold.telemetry import logs, traces

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


def stages_of(lines: Iterable[Mapping[str, Any]]) -> None:
    """A line of the log and a span for each stage that has ended, as long as the run says it took."""
    for one in lines:
        facts = one["data"]
        if one["kind"] != "stage_finished" or not {"stage", "duration_s"} <= facts.keys():
            continue
        logs.event("job.stage", stage=facts["stage"], duration_s=facts["duration_s"])
        with traces.span("job stage", began_s=one["at"] - facts["duration_s"]) as span:
            span.set("sixfold.stage", facts["stage"])
            span.end_at(one["at"])


@dataclass
class EventTail:
    """What is new in a run's events.jsonl. `line`: the number of the last line that was read, counted over all attempts on all
    machines: a stream that was restored on another machine may be shorter than what was told of it, and its next line is
    numbered behind that.
    """

    path: Path
    line: int
    _offset: int = 0

    def skip(self, lines: int) -> None:
        """Pass over the first `lines` lines of the file: they were told."""
        if lines and self.path.is_file():
            with self.path.open("rb") as file:
                for _ in range(lines):
                    if not file.readline().endswith(b"\n"):
                        return
                self._offset = file.tell()

    def read(self, most: int) -> list[dict[str, Any]]:
        """At most so many whole lines; a damaged one counts, and is passed over."""
        found: list[dict[str, Any]] = []
        if not self.path.is_file():
            return found
        with self.path.open("rb") as file:
            file.seek(self._offset)
            while len(found) < most and (line := file.readline(events.LONGEST)).endswith(b"\n"):
                self._offset += len(line)
                self.line += 1
                event = events.parsed(line[:-1])
                if event is not None:
                    found.append(line_of(self.line, event))
        return found

    def count(self) -> int:
        """Whole lines in the file."""
        if not self.path.is_file():
            return 0
        with self.path.open("rb") as file:
            return sum(line.endswith(b"\n") for line in file)
