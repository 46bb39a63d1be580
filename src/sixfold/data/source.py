"""What a source gives, and which plug-in reads what the recipe names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Protocol, Self, runtime_checkable

import pyarrow as pa

from sixfold.core.errors import DataError, RecipeError
from sixfold.core.memory import MemoryLimit
from sixfold.core.units import counted
from sixfold.data.file import DataFile
from sixfold.parts.modality import modality_of
from sixfold.parts.stored_texts import StoredTexts, few_at_once
from sixfold.parts.table import Task
from sixfold.recipe.kinds import SOURCE
from sixfold.recipe.schema import Data

ALIASES: Final = {
    "tsv": "csv",
    "txt": "csv",
    "ndjson": "jsonl",
    "xlsm": "xlsx",
}  # extension → plug-in, where they differ
DOCUMENTS: Final = "documents"  # the plug-in of plain text
CONVERSATIONS: Final = "conversations"  # that of rows to fine-tune on
PLAIN_TEXT: Final = frozenset({"txt", "md", "rst", "text"})  # endings of its files
MOST_COLUMNS: Final = (
    100_000  # as of `random:`; a graph of more inputs is larger than protobuf allows (guessed)
)
ROW_BYTES: Final = (
    56  # of a row, whatever its columns: its target, the order of rows, masks; derived, rather less
)
PART_TEXTS, PART_CHARACTERS = 4_096, 1 << 20  # of a part of rows; guessed
_PREFIXED = re.compile(
    r"(?P<plugin>[a-z][a-z0-9_]+):(?P<name>.+)", re.DOTALL
)  # one letter is a drive of Windows


@dataclass(frozen=True)
class StoredCells:
    """A column of texts that stay on disk, a row each, empty where it is missing: without spaces
    around. `tokens`: the missing tokens in it.
    """

    texts: StoredTexts
    tokens: frozenset[str]


@dataclass
class Raw:
    """Columns as the source has them: text (read by the rules of `core.values`) or typed, or
    `StoredCells`. All of `rows` values.

    `where` names the source in messages; `place(row)` says where a row stands in it ("line 17").
    Whoever reads takes the columns out one by one, so that the memory of each is given back at
    once. `nameless`: what `name_index` called the column without a name. `warnings`: what looks
    wrong in the source. `dropped`: what of `data.drop` the source itself left out.
    """

    columns: dict[str, Any]
    rows: int
    where: str
    place: Callable[[int], str]
    nameless: str | None = None
    warnings: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class RawPart(NamedTuple):
    """Some rows: the columns that occur in them, and how many they are."""

    columns: Mapping[str, pa.Array]
    rows: int


def _one_behind_the_other(name: str, arrays: Sequence[pa.Array]) -> pa.ChunkedArray:
    return pa.chunked_array(arrays)


@dataclass(frozen=True)
class RawParts:
    """Rows that come in parts, for who keeps little of them; as of `Raw`. `place(row)`: of a row that
    has come. `joined`: a column of its name and of what the parts hold of it.
    """

    parts: Iterator[RawPart]
    where: str
    place: Callable[[int], str]
    joined: Callable[[str, Sequence[pa.Array]], pa.ChunkedArray] = _one_behind_the_other
    dropped: tuple[str, ...] = ()

    def whole(self) -> Raw:
        """All of them."""
        arrays: dict[str, list[pa.Array]] = {}
        rows = 0
        for part in self.parts:
            for name in part.columns:
                arrays.setdefault(name, [pa.nulls(rows)] if rows else [])
            for name, own in arrays.items():
                own.append(part.columns.get(name, pa.nulls(part.rows)))
            rows += part.rows
        columns = {name: self.joined(name, own) for name, own in arrays.items()}
        return Raw(columns, rows, self.where, self.place, dropped=self.dropped)


def parts_of_texts(name: str, texts: Iterable[str]) -> Iterator[RawPart]:
    """Rows of one column."""
    for some in few_at_once(texts, PART_TEXTS, PART_CHARACTERS):
        yield RawPart({name: pa.array(some, pa.large_string())}, len(some))


@runtime_checkable
class StreamsRows(Protocol):
    """Ability of a source: its rows come in parts of some megabytes, so that they need not fit into
    memory.
    """

    def stream(self, memory: MemoryLimit | None = None) -> RawParts:
        """All rows, each read when its part is asked for. Raises, then too, what `read` raises."""


@runtime_checkable
class FileSource(Protocol):
    """A plug-in that reads files: `NAME` reads files that end in `.NAME`."""

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The source of a file, with what the recipe says about it."""

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All rows. `memory`: what may be taken for them; None is SHARE of the machine's. Raises
        DataError, BudgetError.
        """


@runtime_checkable
class NamedSource(Protocol):
    """A plug-in that makes or holds tables: written as `PLUGIN:NAME`."""

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """The source called `name`. Raises DataError."""

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All rows. `memory`: what may be taken for them; None is SHARE of the machine's. Raises
        DataError, BudgetError.
        """


@runtime_checkable
class FolderSource(Protocol):
    """A plug-in that reads folders whose files end in one of `endings`."""

    endings: ClassVar[frozenset[str]]

    @classmethod
    def of_folder(cls, path: Path, data: Data) -> Self:
        """The source of a folder, with what the recipe says about it."""

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All of its files as rows. `memory`: what may be taken for them. Raises DataError,
        BudgetError.
        """


def find(
    data: Data, base: Path, task: Task | None = None
) -> FileSource | NamedSource | FolderSource:
    """The plug-in for `data.source`; relative paths from `base`. For `task` generation, folders and
    files of plain text are documents, and rows of messages, prompts or preferences are conversations.
    Raises DataError, or RecipeError for its options.
    """
    prefixed = _PREFIXED.fullmatch(data.source)
    if task == "generation" and _is_plain_text(base / data.source):
        made = SOURCE.load(DOCUMENTS).at(base / data.source, data)
    elif task == "generation" and SOURCE.load(CONVERSATIONS).holds(base / data.source):
        made = SOURCE.load(CONVERSATIONS).at(base / data.source, data)
    elif (base / data.source).is_dir():
        made = _by_content(base / data.source).of_folder(base / data.source, data)
    elif prefixed:
        settings = SOURCE.load(prefixed["plugin"])
        made = (
            settings.at(_checked(base / prefixed["name"]).path, data)
            if _reads_files(settings)
            else settings.of(prefixed["name"], data)
        )
    else:
        file = _checked(base / data.source)
        made = _by_extension(file).at(file.path, data)
    _check_options(type(made).model_fields, data)
    return made  # type: ignore[no-any-return]


def _check_options(taken: Mapping[str, Any], data: Data) -> None:
    """What the recipe says of the file is for such a file. Raises RecipeError."""
    notes = (
        ("separator", data.separator is not None, "a source of separated text (csv, tsv)"),
        ("header", not data.header, "a source of separated text (csv, tsv), or an Excel file"),
        ("sheet", data.sheet is not None, "an Excel file (xlsx)"),
        ("encoding", data.read.encoding is not None, "a source of text (csv, tsv, jsonl)"),
    )
    for option, given, expected in notes:
        if given and option not in taken:
            key = "data.read.encoding" if option == "encoding" else f"data.{option}"
            raise RecipeError(key, expected, repr(data.source), f"Leave out {key}.")


def _is_plain_text(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and DataFile(path).extension in PLAIN_TEXT)


def _checked(path: Path) -> DataFile:
    file = DataFile(path)
    file.check()
    return file


def _by_extension(file: DataFile) -> Any:
    extension = file.extension
    name = ALIASES.get(extension, extension)
    known = [each for each in SOURCE.names() if each not in (DOCUMENTS, CONVERSATIONS)]
    if extension == "xls":
        raise DataError(
            str(file.path),
            "a file of Excel 2007 or later (.xlsx)",
            "'.xls', the old form",
            "Save it as .xlsx or CSV.",
        )
    settings = SOURCE.load(name) if name in known else None
    if settings is None or not _reads_files(settings):
        endings = ", ".join(
            sorted(f".{e}" for e in {*ALIASES, *(n for n in known if _reads_files(SOURCE.load(n)))})
        )
        raise DataError(
            str(file.path),
            f"a file that ends in {endings} (also packed: .gz, .zip)",
            f"'.{extension}'" if extension else "a name without an ending",
            "Convert the file, or say its format: `source: csv:PATH`.",
        )
    return settings


def why_folder(folder: Path) -> str:
    """How a folder is read and why, a sentence for the user. Raises DataError for one that none
    reads.
    """
    endings, reader = _endings(folder), _by_content(folder)
    own = {ending: count for ending, count in endings.most_common() if ending in reader.endings}
    kind = reader.__module__.rpartition(".")[2].removesuffix("_folder")
    many = f"{sum(own.values()):,} of its {endings.total():,} files"
    return (
        f"{folder}: read as a folder of {modality_of(kind).plural}, as {many} end in "
        f"{', '.join(own)}; a subfolder is a class, in the column 'label'."
    )


def _endings(folder: Path) -> Counter[str]:
    """Endings of the files that are not hidden → how many."""
    return Counter(
        Path(name).suffix.lower()
        for _, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    )


def _by_content(folder: Path) -> Any:
    """The plug-in for most of the folder's files, by their endings. Raises DataError."""
    endings = _endings(folder)
    readers = [settings for name in SOURCE.names() if _reads_folders(settings := SOURCE.load(name))]
    found = max(readers, key=lambda settings: sum(endings[ending] for ending in settings.endings))
    if not any(endings[ending] for ending in found.endings):
        known = ", ".join(sorted(ending for settings in readers for ending in settings.endings))
        shown = (
            ", ".join(ending or "no ending" for ending, _ in endings.most_common(5))
            or "an empty one"
        )
        raise DataError(
            str(folder),
            f"a file, or a folder of files that end in {known}",
            shown,
            "Give the file inside it.",
        )
    return found


def _reads_folders(settings: Any) -> bool:
    return hasattr(settings, "of_folder")


def _reads_files(settings: Any) -> bool:
    return hasattr(settings, "at")


def table_bytes(rows: int, columns: int) -> int:
    """What columns of numbers take once they are read and divided into training rows and held-out
    rows: twice 8 bytes.
    """
    return rows * (2 * 8 * columns + ROW_BYTES)


def table_in_words(rows: int, columns: int, about: bool = False) -> str:
    """ "200,000,000 rows of 3 columns" """
    return f"{'about ' if about else ''}{counted(rows, 'row')} of {counted(columns, 'column')}"


def check_count(count: int, where: str) -> None:
    """Raises DataError for more columns than a model can take."""
    if count > MOST_COLUMNS:
        raise DataError(
            where,
            f"at most {MOST_COLUMNS:,} columns",
            f"{count:,}",
            "Leave out columns, or write names and values as rows of their own and group them first.",
        )


def name_index(names: list[str]) -> str | None:
    """Give a single column without a name one, as pandas and R write an index; None where there is
    not exactly one.
    """
    empty = [position for position, name in enumerate(names) if not name.strip()]
    if len(empty) != 1 or len(names) < 2 or (named := f"unnamed_{empty[0] + 1}") in names:
        return None
    names[empty[0]] = named
    return named


def no_name(where: str, position: int) -> DataError:
    """For a column without a name, counted from 1, that is no index."""
    return DataError(
        f"{where}, column {position:,}",
        "a name",
        "an empty one",
        "Name every column (pandas writes its index as such a column: use index=False).",
    )


def check_names(names: list[str], where: str) -> None:
    """Every column has a name of its own, and there are not too many. Raises DataError."""
    check_count(len(names), where)
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise no_name(where, position)
    counts = Counter(names)
    twice = next((name for name in names if counts[name] > 1), None)
    if twice is not None:
        places = " and ".join(f"{i:,}" for i, name in enumerate(names, start=1) if name == twice)
        raise DataError(
            where,
            "each column once",
            f"'{twice}' as columns {places}",
            "Rename all but one of them.",
        )
