"""Which files a recipe brings along: every text in it that names a file or a folder beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from sixfold.core.errors import RecipeError
from sixfold.recipe.load import Loaded

MOST_PATH = 4096


def files_of(loaded: Loaded) -> dict[str, Path]:
    """Plain relative path → the file; of a folder all files in it. Raises RecipeError for one that is not beside the recipe."""
    found: dict[str, Path] = {}
    for where, text in _texts(loaded.recipe.model_dump(mode="json"), ""):
        path = PurePosixPath(text)
        if where == "name" or not text or len(text) > MOST_PATH or "\0" in text:
            continue
        if (path.is_absolute() or ".." in path.parts) and (loaded.base / text).exists():
            raise loaded.placed(
                RecipeError(
                    where,
                    "a path beside the recipe, to be sent with it",
                    repr(text),
                    "Copy the file there.",
                )
            )
        found.update(_plain_files(loaded.base, path))
    return found


def _plain_files(base: Path, path: PurePosixPath) -> Iterator[tuple[str, Path]]:
    there = base / path
    try:
        if there.is_file():
            yield str(path), there
        elif there.is_dir() and str(path) != ".":
            for one in sorted(there.rglob("*")):
                if one.is_file():
                    yield one.relative_to(base).as_posix(), one
    except OSError:  # a name that no file can have
        return


def _texts(value: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(one, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _texts(one, f"{where}[{at}]")
