"""Texts that come with Python: `python:docstrings`, `python:topics`. Nothing is downloaded, nothing is
imported.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
from pydantic import Field

from sixfold.core.errors import DataError, did_you_mean
from sixfold.core.memory import MemoryLimit
from sixfold.data.pieces import PIECE, pieces
from sixfold.data.source import Raw
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

PACKAGES: Final = ("asyncio", "email", "importlib", "logging", "multiprocessing", "unittest")
TABLES: Final = ("docstrings", "topics")
TOPICS: Final = "pydoc_data/topics.py"
SHORTEST: Final = 40  # characters of a docstring: shorter ones say little of where they are from
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Settings(Section):
    """`docstrings` of Python's own packages: a column `text`, and `package`, which it is from. `topics`:
    the texts of Python's `help()`, about half a megabyte of the language reference: a column `text`.
    Both differ a little from one version of Python to the next.
    """

    table: str = Field(description="docstrings or topics.")

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """The table called `name`. Raises DataError."""
        if name not in TABLES:
            remedy = did_you_mean(name, TABLES)
            raise DataError("data.source", "a table of Python's texts", f"'{name}'", remedy)
        return cls(table=name)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """Every text once, in the order of the files. Raises DataError where Python came without its
        sources.
        """
        library = Path(sysconfig.get_paths()["stdlib"])
        if self.table == "topics":
            return self._topics(library / TOPICS)
        found = {text: package for package in PACKAGES for text in _docstrings(library / package)}
        if not found:
            raise DataError(
                f"python:{self.table}",
                "the sources of Python's packages",
                f"none in {library}",
                "Use another Python.",
            )
        columns = {
            "text": pa.chunked_array([pa.array(list(found), pa.string())]),
            "package": pa.chunked_array([pa.array(list(found.values()), pa.string())]),
        }
        return Raw(columns, len(found), f"python:{self.table}", lambda row: f"row {row + 1:,}")

    def _topics(self, file: Path) -> Raw:
        """Raises DataError where Python came without them."""
        found = list(
            dict.fromkeys(part for text in _paragraphs(file) for part in pieces(text, PIECE))
        )
        if not found:
            raise DataError(
                f"python:{self.table}",
                "the texts of Python's help",
                f"none in {file}",
                "Use another Python.",
            )
        columns = {"text": pa.chunked_array([pa.array(found, pa.string())])}
        return Raw(columns, len(found), f"python:{self.table}", lambda row: f"row {row + 1:,}")


def _paragraphs(file: Path) -> Iterator[str]:
    """Of every topic, that of a part of the reference in one piece."""
    if not file.is_file():
        return
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            yield from (ast.literal_eval(value).strip() for value in node.values)


def _docstrings(package: Path) -> Iterator[str]:
    for file in sorted(package.rglob("*.py")):
        if "test" not in file.relative_to(package).parts:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
                if text and len(text) >= SHORTEST:
                    yield text
