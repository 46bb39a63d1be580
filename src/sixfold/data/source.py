"""What a source gives, and which plug-in reads what the recipe names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self, runtime_checkable

import pyarrow as pa

from sixfold.core.errors import DataError, RecipeError
from sixfold.data.file import DataFile
from sixfold.recipe.kinds import SOURCE
from sixfold.recipe.schema import Data

ALIASES: Final = {"tsv": "csv", "txt": "csv", "ndjson": "jsonl"}  # extension → plug-in, where they differ
_PREFIXED = re.compile(r"(?P<plugin>[a-z][a-z0-9_]+):(?P<name>.+)", re.DOTALL)  # one letter is a drive of Windows


@dataclass
class Raw:
    """Columns as the source has them: text (read by the rules of `core.values`) or typed. All of `rows` values.

    `where` names the source in messages; `place(row)` says where a row stands in it ("line 17"). Whoever reads takes
    the columns out one by one, so that the memory of each is given back at once. `nameless`: what `name_index` called the
    column without a name.
    """

    columns: dict[str, pa.ChunkedArray]
    rows: int
    where: str
    place: Callable[[int], str]
    nameless: str | None = None


@runtime_checkable
class FileSource(Protocol):
    """A plug-in that reads files: `NAME` reads files that end in `.NAME`."""

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The source of a file, with what the recipe says about it."""

    def read(self) -> Raw:
        """All rows. Raises DataError."""


@runtime_checkable
class NamedSource(Protocol):
    """A plug-in that makes or holds tables: written as `PLUGIN:NAME`."""

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """The source called `name`. Raises DataError."""

    def read(self) -> Raw:
        """All rows. Raises DataError."""


def find(data: Data, base: Path) -> FileSource | NamedSource:
    """The plug-in for `data.source`; relative paths from `base`. Raises DataError, or RecipeError for its options."""
    prefixed = _PREFIXED.fullmatch(data.source)
    if prefixed:
        settings = SOURCE.load(prefixed["plugin"])
        made = (
            settings.at(_checked(base / prefixed["name"]).path, data)
            if _reads_files(settings)
            else settings.of(prefixed["name"], data)
        )
    else:
        file = _checked(base / data.source)
        made = _by_extension(file).at(file.path, data)
    if data.separator is not None and "separator" not in type(made).model_fields:
        raise RecipeError(
            "data.separator", "a source of separated text (csv, tsv)", repr(data.source), "Leave out data.separator."
        )
    return made  # type: ignore[no-any-return]


def _checked(path: Path) -> DataFile:
    file = DataFile(path)
    file.check()
    return file


def _by_extension(file: DataFile) -> Any:
    extension = file.extension
    name = ALIASES.get(extension, extension)
    known = SOURCE.names()
    settings = SOURCE.load(name) if name in known else None
    if settings is None or not _reads_files(settings):
        endings = ", ".join(sorted(f".{e}" for e in {*ALIASES, *(n for n in known if _reads_files(SOURCE.load(n)))}))
        raise DataError(
            str(file.path), f"a file that ends in {endings} (also packed: .gz, .zip)",
            f"'.{extension}'" if extension else "a name without an ending",
            "Convert the file, or say its format: `source: csv:PATH`.",
        )  # fmt: skip
    return settings


def _reads_files(settings: Any) -> bool:
    return hasattr(settings, "at")


def name_index(names: list[str]) -> str | None:
    """Give a single column without a name one, as pandas and R write an index; None where there is not exactly one."""
    empty = [position for position, name in enumerate(names) if not name.strip()]
    if len(empty) != 1 or len(names) < 2 or (named := f"unnamed_{empty[0] + 1}") in names:
        return None
    names[empty[0]] = named
    return named


def no_name(where: str, position: int) -> DataError:
    """For a column without a name, counted from 1, that is no index."""
    return DataError(
        f"{where}, column {position:,}", "a name", "an empty one",
        "Name every column (pandas writes its index as such a column: use index=False).",
    )  # fmt: skip


def check_names(names: list[str], where: str) -> None:
    """Every column has a name of its own. Raises DataError."""
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise no_name(where, position)
    counts = Counter(names)
    twice = next((name for name in names if counts[name] > 1), None)
    if twice is not None:
        places = " and ".join(f"{i:,}" for i, name in enumerate(names, start=1) if name == twice)
        raise DataError(where, "each column once", f"'{twice}' as columns {places}", "Rename all but one of them.")
