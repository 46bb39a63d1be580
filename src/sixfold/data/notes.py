"""What is noticed while columns are read, and how the user is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sixfold.core.units import counted
from sixfold.data.columns import Read
from sixfold.parts.conversation import COLUMN
from sixfold.parts.modality import is_modality, modality_of
from sixfold.parts.table import Column
from sixfold.recipe.grouping import grouping_alone
from sixfold.recipe.schema import Data

SHOWN: Final = 5  # columns or tokens named in a sentence


@dataclass
class Notes:
    """What is collected for the user while columns are read."""

    tokens: dict[str, frozenset[str]] = field(default_factory=dict)
    rules: dict[str, list[str]] = field(default_factory=dict)
    identifiers: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    described: list[str] = field(default_factory=list)

    def add(self, name: str, made: Read) -> bool:
        """Note one column; True when it is a feature."""
        self.warnings += made.warnings
        self.marks += [made.marks] if made.marks else []
        if made.empty:
            self.empty.append(name)
            return False
        if made.tokens:
            self.tokens[name] = made.tokens
        if made.rule:
            self.rules.setdefault(made.rule, []).append(name)
        if is_modality(kind := made.column.kind):
            self.described += (
                [f"{name}: read as {kind} ({made.why}; data.types can say otherwise)."]
                if made.why
                else []
            )
            if name != COLUMN:  # whose JSON says nothing of what is said in it
                self.described += modality_of(kind).notes(name, made.column)
        if made.column.kind == "identifier":
            self.identifiers.append(name)
            return False
        return True

    def overview(self, rows: int, columns: Mapping[str, Column]) -> str:
        """ "32,561 rows; 6 numbers, 8 categories; 3 columns with '?' read as missing" """
        plural = {
            "number": "numbers",
            "category": "categories",
            "boolean": "booleans",
            "date": "dates",
        }
        kinds = Counter(column.kind for column in columns.values())
        plural |= {kind: modality_of(kind).plural for kind in sorted(kinds) if kind not in plural}
        parts = [counted(kinds[kind], kind, plural[kind]) for kind in plural if kinds[kind]]
        clauses = [counted(rows, "row"), ", ".join(parts)]
        words = sorted({token for tokens in self.tokens.values() for token in tokens} - {""})
        with_words = sum(bool(tokens - {""}) for tokens in self.tokens.values())
        with_empty = sum("" in tokens for tokens in self.tokens.values())
        if with_words:
            shown = ", ".join(f"'{word}'" for word in words[:SHOWN])
            clauses.append(f"{counted(with_words, 'column')} with {shown} read as missing")
        if with_empty:
            clauses.append(f"{counted(with_empty, 'column')} with empty cells")
        return "; ".join(clauses)

    def unused(self, data: Data) -> list[str]:
        """Columns that are no features, and why."""
        sentences = []
        if self.identifiers:
            sentences.append(
                f"Not used, as identifiers: {', '.join(self.identifiers)} (data.types can say otherwise)."
            )
        if data.drop:
            sentences.append(f"Not used, as data.drop says: {', '.join(data.drop)}.")
        if grouping_alone(data.group, data.group_pattern) is not None:
            sentences.append(f"Not used as a feature, since it groups the rows: {data.group}.")
        return sentences

    def compared(self) -> list[str]:
        """How levels are compared, where that needs saying."""
        return [
            f"Levels of {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''} are {rule}."
            for rule, names in self.rules.items()
        ]

    def marks_together(self) -> list[str]:
        """Of several columns with marks: what to write for all of them, as a key stands once in a
        recipe.
        """
        if len(self.marks) < 2:
            return []
        every = ", ".join(self.marks)
        return [
            f"All {len(self.marks):,} columns with marks at once: data.read: {{columns: {{{every}}}}}"
        ]

    def without_values(self) -> list[str]:
        """Columns without a value."""
        return [f"{name}: no value in any row; the column is left out." for name in self.empty]


def odd_tokens(missing: Sequence[str]) -> list[str]:
    """Tokens of `data.missing` that are in no cell."""
    return [
        f"data.missing: {token!r} is never found, because cells are compared without spaces around them."
        for token in missing
        if token != token.strip()
    ]
