"""A log that an attacker cannot fill: the same message at most once a second."""

from __future__ import annotations

import logging
import time
from typing import Final

EVERY_S: Final = 1.0
REMEMBERED: Final = 100  # messages; what is logged are constants, with arguments


class Rarely(logging.Filter):
    """Lets each message through once a second, whatever its arguments; the next one says how many
    were left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this one is written."""
        now, text = time.monotonic(), str(record.msg)
        if now - self._last.get(text, -EVERY_S) < EVERY_S:
            self._left_out[text] = self._left_out.get(text, 0) + 1
            return False
        if len(self._last) >= REMEMBERED:
            self._last.clear()
        self._last[text] = now
        left_out = self._left_out.pop(text, 0)
        if left_out:
            record.msg = f"{text.rstrip()} ({left_out:,} more like this)"
        return True


def log_rarely(*loggers: str) -> None:
    """For these loggers."""
    for name in loggers:
        logger = logging.getLogger(name)
        if not any(isinstance(one, Rarely) for one in logger.filters):
            logger.addFilter(Rarely())
