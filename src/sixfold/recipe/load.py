"""From a file, a mapping or a Recipe to a checked Recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sixfold.core.errors import RecipeError, SixfoldError
from sixfold.recipe import rules, validate, yaml_text
from sixfold.recipe.schema import Recipe
from sixfold.recipe.section import Section
from sixfold.recipe.yaml_nodes import MOST_DEPTH, Document, parse, show_path

MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Loaded:
    """A checked recipe, its text, and the folder that relative paths start from."""

    recipe: Recipe
    text: str
    base: Path
    name: str = "recipe"
    document: Document | None = field(default=None, repr=False, compare=False)

    def placed(self, error: SixfoldError) -> SixfoldError:
        """A mistake that was found later, with the line of the key that it names: `evaluate.folds`
        → `r.yaml, line 12 …`.
        """
        named = error.where.split(":")[0].split(" ")[0]
        parts = tuple(int(part) if part.isdigit() else part for part in re.findall(r"\w+", named))
        if self.document is None or parts[:1] not in [
            (section,) for section in Recipe.model_fields
        ]:
            return error
        if parts not in self.document.marks and parts not in self.document.changed:
            return error
        rest = error.where.removeprefix(show_path(parts))
        return type(error)(
            self.document.place(parts) + rest, error.expected, error.found, error.remedy
        )

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Inside, mistakes are `placed`."""
        try:
            yield
        except SixfoldError as error:
            if (found := self.placed(error)) is error:
                raise
            raise found from error


def load(path: Path, changes: Sequence[str] = ()) -> Loaded:
    """Read a recipe file; `changes` are `key=value` pairs that go before it. Raises RecipeError:
    the first mistake.
    """
    text, document = _read(path, changes)
    found = _problems(document)
    if found:
        raise found[0]
    recipe = Recipe.model_validate(document.value)
    if changes:
        text = yaml_text.dump(document.value)
    return Loaded(recipe, text, path.resolve().parent, path.name, document)


def problems(path: Path, changes: Sequence[str] = ()) -> list[RecipeError]:
    """Every mistake in a recipe file: all of the schema's, or where there are none all of the
    rules'.
    """
    try:
        _, document = _read(path, changes)
    except RecipeError as error:
        return [error]
    return _problems(document)


def problems_in(text: str, where: str) -> list[RecipeError]:
    """The same of a text that is in no file yet."""
    if len(text) > MOST_BYTES:
        found = f"{len(text):,} characters"
        return [RecipeError(where, "a recipe of at most 1 MiB", found, "Name the data.")]
    try:
        return _problems(parse(text, where))
    except RecipeError as error:
        return [error]


def from_object(recipe: Recipe | dict[str, Any]) -> Loaded:
    """The same for an object in memory. Raises RecipeError."""
    value = _plain(recipe)
    document = Document("recipe", value)
    found = _problems(document)
    if found:
        raise found[0]
    text = yaml_text.dump({"version": 1, **value})
    return Loaded(Recipe.model_validate(value), text, Path.cwd())


def from_text(text: str, where: str) -> Recipe:
    """The recipe that a text holds, as it was accepted once: read as any recipe is, its rules are
    not asked again.

    Plug-ins that it names need not be installed here. Raises RecipeError: the first mistake.
    """
    if len(text) > MOST_BYTES:
        raise RecipeError(
            where, "a recipe of at most 1 MiB", f"{len(text):,} characters", "Name a recipe."
        )
    document = parse(text, where)
    if document.faults:
        raise document.faults[0]
    try:
        return Recipe.model_validate(document.value)
    except ValidationError as error:
        raise _from_pydantic(error.errors(include_url=False)[0], document) from None


def _read(path: Path, changes: Sequence[str]) -> tuple[str, Document]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RecipeError(
                str(path),
                "a recipe of at most 1 MiB",
                "a larger file",
                "Name a recipe, not the data.",
            )
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(
            str(path), "UTF-8 text", f"byte {error.start} that is not", "Save it as UTF-8."
        ) from None
    except OSError as error:
        raise RecipeError(
            str(path), "a recipe file", str(error.strerror), "Look at the path."
        ) from None
    document = parse(text, path.name)
    for change in changes:
        _apply(document, change)
    return text, document


def _apply(document: Document, change: str) -> None:
    """`data.source=other.csv`: the value is read as YAML."""
    key, equals, value = change.partition("=")
    if not equals or not key:
        raise RecipeError(
            "--set",
            "KEY=VALUE, such as data.source=my.csv",
            f"'{change}'",
            "Put an = between them.",
        )
    target = document.value if isinstance(document.value, dict) else {}
    parts = key.split(".")
    for part in parts[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise RecipeError(
                "--set", "a key of a section", f"'{key}'", f"'{part}' holds no section."
            )
    new = parse(value, f"--set {key}")
    target[parts[-1]] = new.value
    document.faults += new.faults
    document.changed.append(tuple(parts))


def _plain(value: Any, depth: int = 0) -> Any:
    """What a Python caller wrote, as YAML would hold it: tuples, paths, NumPy's scalars and
    Sections become plain values.
    """
    if depth > MOST_DEPTH:
        raise RecipeError(
            "recipe", f"at most {MOST_DEPTH} levels", "more", "Look for a list that holds itself."
        )
    if isinstance(value, Section):
        value = value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, dict):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, Path):
        return str(value)
    return (
        value.tolist() if hasattr(value, "tolist") else value
    )  # NumPy's arrays and scalars, without importing it


def _problems(document: Document) -> list[RecipeError]:
    if not isinstance(document.value, dict):
        found = validate.show(document.value)
        return [
            RecipeError(
                document.where, "a mapping with the key data", found, "Start from `sixfold init`."
            )
        ]
    errors = [*document.faults, *validate.problems(document)]
    if errors:
        return errors
    try:
        recipe = Recipe.model_validate(document.value)
    except ValidationError as error:
        return [_from_pydantic(item, document) for item in error.errors()]
    return [problem for rule in rules.RULES for problem in rule(recipe, document)]


def _from_pydantic(item: Any, document: Document) -> RecipeError:
    """What only a section itself can check, such as the unit of a duration."""
    path = tuple(
        part for part in item["loc"] if not str(part).startswith(("function-", "list[", "literal["))
    )
    found = validate.show(item.get("input"))
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, SixfoldError):
        return RecipeError(document.place(path), cause.expected, found, cause.remedy)
    expected = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return RecipeError(document.place(path), expected, found, "Change the value.")
