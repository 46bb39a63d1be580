"""Lines of values for a model that learned from a file without a header: which field is which
column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from sixfold.core.errors import RowError
from sixfold.recipe.signature import Signature

SHOWN = 4  # names in a message


@dataclass(frozen=True)
class Fields:
    """The columns of the training file in their order, those that the model needs, and its
    targets.
    """

    names: tuple[str, ...]
    needed: frozenset[str]
    targets: frozenset[str]

    @classmethod
    def of(cls, signature: Signature) -> Self | None:
        """None for a model whose training file named its columns."""
        if not signature.fields:
            return None
        needed = frozenset(column.name for column in signature.inputs)
        return cls(signature.fields, needed, frozenset(signature.target) - needed)

    def of_line(self, first: Sequence[str], where: str) -> tuple[list[str], bool]:
        """The columns of a text's fields by its first record, and whether that record holds their
        names, not values.

        It does where every column that the model needs is named there. Else fields stand as in the
        training file, the target among them or left out. Raises RowError.
        """
        named = [name.strip() for name in first]
        if self.needed <= set(named):
            return named, True
        without = [name for name in self.names if name not in self.targets]
        for names in (list(self.names), without):
            if len(names) == len(first):
                return names, False
        shown = ", ".join(self.names[:SHOWN]) + (", …" if len(self.names) > SHOWN else "")
        also = f", or {len(without)} without the target" if len(without) < len(self.names) else ""
        raise RowError(
            f"{where}, line 1",
            f"{len(self.names)} fields ({shown}){also}, as in the file that the model learned from",
            f"{len(first)} fields",
            "Send the same fields in the same order, or name them in a first line.",
        )
