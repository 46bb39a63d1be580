"""Parquet: typed columns, read by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet
from pydantic import Field

from sixfold.core.errors import DataError
from sixfold.data.file import DataFile
from sixfold.data.source import Raw, check_names
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section


class Settings(Section):
    """A Parquet file. Its types are taken as they are; text columns are looked at as in a CSV."""

    path: Path = Field(description="The file; .gz and .zip are unpacked in memory.")

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file; the recipe says nothing more about it."""
        return cls(path=path)

    def read(self) -> Raw:
        """Every column with its own type. Raises DataError."""
        try:
            with DataFile(self.path).seekable() as stream, pa.parquet.ParquetFile(stream) as file:
                table = file.read()
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, DataError):
                raise
            first = (str(error).splitlines() or ["no reason given"])[0][:120]
            raise DataError(str(self.path), "a Parquet file", first, "Write the file again.") from None
        if table.num_rows == 0:
            raise DataError(str(self.path), "rows", "none", "Check the export.")
        names = table.column_names
        check_names(names, str(self.path))
        columns = dict(zip(names, table.columns, strict=True))
        return Raw(columns, table.num_rows, str(self.path), lambda row: f"row {row + 1:,}")
