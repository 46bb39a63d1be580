"""What the methods called `none` do: nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.prepare.step import Block, FittedFeatures, same


@dataclass(frozen=True)
class Identity(State):
    """As it is."""

    def transform(self, x: Block) -> Block:
        """`x`."""
        return x

    def export(self, graph: Graph, x: str) -> str:
        """No node."""
        return x

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)
