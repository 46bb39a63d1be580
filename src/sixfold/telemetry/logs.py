"""The log: an event a line, as JSON for programs or as text for people, on stderr.

    with logs.written("json"):                          # once, by the command line
        with logs.about(request_id="req-1"):            # of every line in here
            logs.event("request", status=200)

What other packages log goes the same way, as the event `message`. Control characters are shown as escapes, and what looks like a
key, a token or a password is left out.
"""

from __future__ import annotations

import logging
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final, TextIO

from sixfold.core import strict_json
from sixfold.core.redacted import redacted
from sixfold.core.visible import one_line, visible

JSON: Final = "json"
TEXT: Final = "text"
FORMS: Final = (JSON, TEXT)
LOG: Final = logging.getLogger("sixfold")
MESSAGE: Final = "message"  # the event of a line that is one sentence
MOST_WAITING: Final = 10_000  # lines, while whoever reads them stalls
CLOSE_S: Final = 2.0  # for what still waits at the end
MOST_TEXT: Final = 4000  # characters of a value
SHORT: Final = 200
_FACTS: Final = "sixfold_facts"
# Ids that the service makes, and plain words: nothing is looked for in them.
_OWN: Final = re.compile(
    r"(?:req|job|ftjob|tenant|key|user|version|deployment|worker)-[0-9a-z]{1,40}|[A-Z]{1,10}|[a-z]{1,20}"
)
_about: ContextVar[dict[str, Any] | None] = ContextVar("log_about", default=None)


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """Every line in here has these fields, beside those around it, and those that `note` adds. None: left out."""
    token = _about.set({**(_about.get() or {}), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def note(**fields: object) -> None:
    """Further fields of what is worked on, of the line at its end, too, which is written by who began it."""
    known = _about.get()
    if known is not None:
        known.update(fields)


def noted(name: str) -> str | None:
    """A field of what is worked on; None where there is none."""
    found = (_about.get() or {}).get(name)
    return found if isinstance(found, str) else None


def event(name: str, level: int = logging.INFO, **fields: object) -> None:
    """A line. `name`: a short one that programs compare; a field that is None is left out."""
    if LOG.isEnabledFor(level):
        LOG.log(level, name, extra={_FACTS: fields})


@contextmanager
def written(form: str | None, stream: TextIO | None = None) -> Iterator[None]:
    """`form`: one of FORMS, for events and warnings; None: warnings alone, as text. `stream`: left out, stderr."""
    handler = LineWriter(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == JSON else TextLines())
    root = logging.getLogger()
    before = root.handlers[:], root.level, LOG.level
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOG.setLevel(logging.INFO if form in FORMS else logging.WARNING)
    try:
        yield
    finally:
        handlers, level, of_ours = before
        root.handlers[:] = handlers
        root.setLevel(level)
        LOG.setLevel(of_ours)
        handler.close()


def are_written() -> bool:
    """Whether events are."""
    return LOG.isEnabledFor(logging.INFO)


def are_taken() -> bool:
    """Whether warnings of all packages go this way: within `written`."""
    return any(isinstance(one, LineWriter) for one in logging.getLogger().handlers)


class LineWriter(logging.Handler):
    """A line is made where it is told, and written by a thread: a reader that stalls stops nobody. Lines that do not fit into
    MOST_WAITING are counted, and the count is told.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Never waits, never raises."""
        try:
            line = self.format(record)
            if self._lost:
                lost = logging.LogRecord(LOG.name, logging.WARNING, "", 0, "log.lost", None, None)
                lost.__dict__[_FACTS] = {"lines": self._lost}
                line = f"{self.format(lost)}\n{line}"
            self._waiting.put_nowait(line)
            self._lost = 0
        except queue.Full:
            self._lost += 1
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """What waits is written, within CLOSE_S."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_S)
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_S)
        super().close()

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            with suppress(OSError, ValueError):  # nobody reads it any more
                self._stream.write(line + "\n")
                if self._waiting.empty():
                    self._stream.flush()


class JsonLines(logging.Formatter):
    """A JSON object a line: `time` (UTC), `level`, `event`, then what is known of it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        head = {"time": _time(record.created), "level": record.levelname.lower()}
        facts = {name: _clean(value) for name, value in _fields(record).items()}
        return strict_json.text({**head, **facts})


class TextLines(logging.Formatter):
    """The same for people: time, level, event, then name=value; a traceback below, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; more with a traceback."""
        facts = {name: _clean(value) for name, value in _fields(record).items()}
        event, traceback = facts.pop("event"), facts.pop("exception", None)
        line = f"{_time(record.created)} {record.levelname:<7} {event}"
        if MESSAGE in facts:
            line += f" {one_line(str(facts.pop(MESSAGE)))}"
        shown = [f"{name}={_word(value)}" for name, value in facts.items()]
        below = [f"    {one}" for one in str(traceback).splitlines()] if traceback else []
        return "\n".join([" ".join([line, *shown]), *below])


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Of the event, and of what is worked on."""
    facts: Mapping[str, Any] | None = record.__dict__.get(_FACTS)
    if facts is None:
        name, said = MESSAGE, {MESSAGE: redacted(record.getMessage()), "logger": record.name}
    else:
        name, said = str(record.msg), dict(facts)
    found = {"event": name, **said, **(_about.get() or {})}
    if record.exc_info:
        found["exception"] = redacted(logging.Formatter().formatException(record.exc_info))
    return {key: value for key, value in found.items() if value is not None}


def _clean(value: object) -> object:
    """Without what acts on a terminal, and without secrets."""
    if isinstance(value, str):
        if _OWN.fullmatch(value):
            return value
        return _clean_text(value) if len(value) <= SHORT else _cleaned(value[:MOST_TEXT])
    if isinstance(value, float):
        return round(value, 6)
    return value if isinstance(value, bool | int) or value is None else _cleaned(str(value))


def _cleaned(text: str) -> str:
    return visible(redacted(text))


_clean_text: Final = lru_cache(1024)(_cleaned)  # paths come again and again


def _word(value: object) -> str:
    """As it stands where it is one plain word, else quoted."""
    text = one_line(str(value))
    return text if text and " " not in text and '"' not in text and "=" not in text else f'"{text}"'


def _time(seconds: float) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{moment}.{int(seconds % 1 * 1000):03d}Z"
