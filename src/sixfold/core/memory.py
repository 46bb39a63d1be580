"""What reading may take of memory: asked for before it is taken, and looked at meanwhile. Standard
library only.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sixfold.core.errors import BudgetError
from sixfold.core.units import show_bytes, size_bytes

SHARE: Final = 0.8  # of the machine's memory, where the recipe names no budget
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
GROUPS: Final = Path("/sys/fs/cgroup")


def held_bytes() -> int:
    """Resident bytes of this process; where the system does not tell, the most that it ever
    held.
    """
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return peak_bytes()


def peak_bytes() -> int:
    """The most resident bytes that this process ever held.

    Linux says it as VmHWM; its `ru_maxrss` would also count what the parent held when it started
    this process.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""
    if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
        return int(found[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def machine_bytes() -> int:
    """Memory of this machine, or of the control group that this process is in, whichever is
    less.
    """
    return min([os.sysconf("SC_PHYS_PAGES") * PAGE, *_group_limits()])


def _group_limits() -> Iterator[int]:
    """Of the group and of all around it, where there are limits (version 2, then version 1)."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        top, name = (
            (GROUPS, "memory.max") if not kinds else (GROUPS / "memory", "memory.limit_in_bytes")
        )
        own = top / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(top) and (limit := _number(folder / name)) is not None:
                yield limit


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max"
        return None


@dataclass(frozen=True)
class MemoryLimit:
    """The most bytes that this process may hold. `name`: whose limit that is; `held`: what tells
    the bytes.
    """

    most: int
    name: str
    held: Callable[[], int] = held_bytes

    @classmethod
    def of(cls, budget: str | None) -> Self:
        """The recipe's `budget.memory`, or SHARE of the machine's memory."""
        if budget is not None:
            return cls(size_bytes(budget), f"budget.memory is {budget}")
        return cls(int(SHARE * machine_bytes()), f"{SHARE:.0%} of this machine's memory")

    def left(self) -> int:
        """Bytes that may still be taken."""
        return max(0, self.most - self.held())

    def plan(self, where: str, table: str, needed: int) -> None:
        """Before `needed` bytes more are taken for `table` ("200,000,000 rows of 3 columns").
        Raises BudgetError.
        """
        held = self.held()
        if held >= self.most:
            name = "budget.memory" if self.name.startswith("budget.memory") else "memory"
            raise BudgetError(
                name,
                f"at most {show_bytes(self.most)}",
                f"{show_bytes(held)} in use before {where} is read",
                self._remedy(),
            )
        if held + needed > self.most:
            raise BudgetError(
                where,
                f"a table for which there is memory ({self._left(held)})",
                f"{table}, for which it takes about {show_bytes(needed)}",
                self._remedy(),
            )

    def check(self, where: str, doing: str = "reading") -> None:
        """While it is taken. Raises BudgetError."""
        held = self.held()
        if held > self.most:
            raise BudgetError(
                where,
                f"a table for which there is memory ({show_bytes(self.most)}: {self.name})",
                f"{show_bytes(held)} in use while {doing} it",
                self._remedy(),
            )

    def _left(self, held: int) -> str:
        return (
            f"{show_bytes(max(0, self.most - held))} left of {show_bytes(self.most)}: {self.name}"
        )

    def _remedy(self) -> str:
        return "Raise budget.memory where the machine has more, or write a table of fewer rows or columns."
