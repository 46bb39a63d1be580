"""What `sixfold init` finds out before it writes a recipe: whether the file has a header, and what
warnings say to write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sixfold.core.errors import DataError, RecipeError
from sixfold.data import load
from sixfold.data.source import find
from sixfold.parts.table import Dataset
from sixfold.recipe.interactions import InteractionColumns
from sixfold.recipe.schema import Data
from sixfold.recipe.yaml_nodes import parse

# What the parts of an interaction are called in files of this kind, the likeliest first.
PARTS: Final = {
    "user": (
        "user",
        "userid",
        "customer",
        "customerid",
        "visitor",
        "visitorid",
        "session",
        "sessionid",
    ),
    "item": (
        "item",
        "itemid",
        "product",
        "productid",
        "movie",
        "movieid",
        "article",
        "articleid",
        "track",
        "trackid",
    ),
    "rating": ("rating", "stars", "score", "count", "quantity", "plays"),
    "time": ("time", "timestamp", "date", "datetime", "when", "at"),
}
_REMEDY = re.compile(r"data\.(read|missing): (\{columns: \{.*?\}\}\}|\[.*?\])(?=[ ,;.])")


def look(section: Data, folder: Path) -> tuple[Data, Dataset]:
    """The section and its dataset; without a header where the first line looks like a row, or the
    target is column_N.

    A target that was named by its first value is then named by its place. Raises DataError.
    """
    bare = section.model_copy(update={"header": False})
    target = section.targets[0] if section.targets else ""
    try:
        dataset = load.load(section, None, folder)
    except DataError:
        if not section.header or not re.fullmatch(r"column_[1-9]\d*", target):
            raise
        return bare, load.load(bare, None, folder)
    if not any("data.header: false" in text for text in dataset.warnings):
        return section, dataset
    place = list(find(section, folder).read().columns).index(target) + 1
    bare = bare.model_copy(update={"target": f"column_{place}"})
    return bare, load.load(bare, None, folder)


def look_at_texts(section: Data, folder: Path) -> tuple[Data, Dataset]:
    """The section and its dataset, of texts that a language model learns. Raises DataError,
    RecipeError.
    """
    return section, load.load(section, "generation", folder)


def look_at_interactions(section: Data, folder: Path) -> tuple[Data, Dataset]:
    """The section with the columns that are called as they are in files of this kind, and its dataset. Raises
    DataError, RecipeError.
    """
    columns = list(find(section, folder).read().columns)
    named = {part: _called(part, columns) for part in PARTS}
    who = {part: named[part] for part in ("user", "item", "rating") if named[part] is not None}
    found = section.model_copy(
        update={"interactions": InteractionColumns.model_validate(who), "time": named["time"]}
    )
    return found, load.load(found, "recommendation", folder)


def look_at_transcripts(section: Data, folder: Path) -> tuple[Data, Dataset]:
    """The section and its dataset, of recordings and what is said in them. Raises DataError, RecipeError."""
    return section, load.load(section, "transcription", folder)


LOOKS: Final = {
    "generation": look_at_texts,
    "recommendation": look_at_interactions,
    "transcription": look_at_transcripts,
}


def _called(part: str, columns: Sequence[str]) -> str | None:
    """The first column with one of the names that a part has; None where there is none."""
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in reversed(columns)}
    return next((plain[name] for name in PARTS[part] if name in plain), None)


def remedies(warnings: Sequence[str]) -> list[str]:
    """What warnings say to write under data (`read`, `missing`), all of it in one line a key."""
    columns: dict[str, Any] = {}
    missing: list[str] = []
    for text in warnings:
        for key, found in _REMEDY.findall(text):
            try:
                value = parse(found, key).value
            except RecipeError:  # a column whose name looks like the end of a mapping
                continue
            columns |= value["columns"] if key == "read" else {}
            missing += (
                [token for token in value if token not in missing] if key == "missing" else []
            )
    read = [f"read: {json.dumps({'columns': columns}, ensure_ascii=False)}"] if columns else []
    return [*read, *([f"missing: {json.dumps(missing, ensure_ascii=False)}"] if missing else [])]
