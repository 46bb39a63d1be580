"""Which table a recipe names, and how it is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from sixfold.recipe.kinds import IDENTIFIER, PLAIN_KINDS
from sixfold.recipe.plugin_fields import column_kind, name_of
from sixfold.recipe.reading import ReadFile
from sixfold.recipe.section import Section


class TableFile(Section):
    """Which table, and how it is read."""

    source: str = Field(
        description="A file (csv, tsv, parquet, jsonl, xlsx; .gz, .zip), or PLUGIN:NAME such as sklearn:digits."
    )
    separator: str | None = Field(
        None, min_length=1, max_length=1, description="Field separator of a text file."
    )
    header: bool = Field(
        True,
        description="Whether the first line of a csv, tsv or xlsx names its columns. false: it is a row.",
    )
    names: tuple[str, ...] = Field(
        (),
        description="Names of the columns of a file without a header. Left out: column_1, column_2, …",
    )
    sheet: str | None = Field(
        None, min_length=1, description="Sheet of an Excel file. Left out: the first."
    )
    read: ReadFile = Field(
        default_factory=ReadFile,
        description="Encoding of a text file, and the marks of numbers in text.",
    )


class FeatureTable(TableFile):
    """Of task: recommendation, what is known of users, or of items: a row each."""

    key: str | None = Field(
        None,
        min_length=1,
        description="The column that names the user, or the item. Left out: as in data.interactions.",
    )
    types: dict[
        str,
        Annotated[str, AfterValidator(column_kind), name_of("modality", *PLAIN_KINDS, IDENTIFIER)],
    ] = Field(default_factory=dict, description="Column types that overrule what was detected.")
    drop: tuple[str, ...] = Field((), description="Columns that are not used.")
