"""A shadow's answers beside those that were given to the same rows.

Both are sampled as bytes and compared once a second in a thread, as drift is: nothing of it is on a request's way.
"""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, field
from typing import Any, Final

MOST_WAITING: Final = 100  # pairs of answers a second
SAME: Final = 1e-6  # of a number, relative: two versions of one model differ in the last bits


@dataclass
class ShadowWatch:
    """`rows`: that both answered; `same`: of them, with the same label, the same numbers within a millionth, or the same
    recommended items in the same order. `difference`: the mean of the numbers' absolute differences; None where there are none.
    """

    rows: int = 0
    same: int = 0
    _numbers: int = 0
    _sum: float = 0.0
    _waiting: list[tuple[bytes, bytes]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def difference(self) -> float | None:
        """Mean absolute difference of numbers."""
        return self._sum / self._numbers if self._numbers else None

    def sample(self, given: bytes, shadow: bytes) -> None:
        """Two answers to one request: on the event loop."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((given, shadow))

    def read(self) -> None:
        """What was sampled since the last time: in a thread."""
        waiting, self._waiting = self._waiting, []
        with self._lock:
            for given, shadow in waiting:
                first, second = _answers(given), _answers(shadow)
                if len(first) == len(second):
                    for one, other in zip(first, second, strict=True):
                        self._compare(one, other)

    def _compare(self, one: Any, other: Any) -> None:
        self.rows += 1
        if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            each = [self._same(one[name], other[name]) for name in one]
            self.same += all(each)
        else:
            self.same += self._same(one, other)

    def _same(self, one: Any, other: Any) -> bool:
        """Of two labels or numbers."""
        if not (isinstance(one, int | float) and isinstance(other, int | float)):
            return bool(one == other)
        self._numbers += 1
        self._sum += abs(one - other)
        return math.isclose(one, other, rel_tol=SAME)


def _answers(answer: bytes) -> list[Any]:
    """A label, a value, or several by their names for each row; of a recommendation the one list; none of what is neither."""
    try:
        whole = json.loads(answer)
        if "items" in whole:
            return [[one["item"] for one in whole["items"]]]
        return [one["label"] if "label" in one else one["value"] for one in whole["predictions"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
