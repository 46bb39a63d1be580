"""What a served model may take (`budget.bundle`, `budget.latency`), and what a model takes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from sixfold.core.units import seconds, show_bytes, show_seconds, size_bytes
from sixfold.recipe.budget import Budget

# Of each limit, by the members of an ensemble together: trained again on all rows, a member is larger than on a fold's.
SPENT: Final = 2 / 3


class ServedCost(NamedTuple):
    """Of one model: bytes of the files from which a bundle answers, and seconds of one row, None
    where no limit asks for them.
    """

    bytes: int
    one_row_s: float | None


@dataclass(frozen=True)
class ServedLimits:
    """None: no limit."""

    bundle_bytes: int | None
    latency_s: float | None

    @classmethod
    def of(cls, budget: Budget) -> Self:
        """Of a recipe."""
        return cls(
            size_bytes(budget.bundle) if budget.bundle else None,
            seconds(budget.latency) if budget.latency else None,
        )

    @property
    def asked(self) -> bool:
        """Whether there is any."""
        return self.bundle_bytes is not None or self.latency_s is not None

    def shares(self, cost: ServedCost) -> tuple[float, ...]:
        """What the model takes of each limit there is, 1 for all of it."""
        found = []
        if self.bundle_bytes is not None:
            found.append(cost.bytes / self.bundle_bytes)
        if self.latency_s is not None and cost.one_row_s is not None:
            found.append(cost.one_row_s / self.latency_s)
        return tuple(found)

    def violation(self, cost: ServedCost) -> Violation | None:
        """The first limit that the model does not keep."""
        if self.bundle_bytes is not None and cost.bytes > self.bundle_bytes:
            allowed = f"at most {show_bytes(self.bundle_bytes)}"
            return Violation("budget.bundle", allowed, show_bytes(cost.bytes))
        took_s = cost.one_row_s
        if self.latency_s is not None and took_s is not None and took_s > self.latency_s:
            allowed = f"at most {show_seconds(self.latency_s)} for one row"
            return Violation("budget.latency", allowed, show_seconds(took_s))
        return None


class Violation(NamedTuple):
    """A limit that is not kept: its key, what it allows, and what the model takes."""

    where: str
    allowed: str
    taken: str

    def describe(self) -> str:
        """Why a candidate is not chosen."""
        return f"its model takes {self.taken}, where {self.where} allows {self.allowed}"
