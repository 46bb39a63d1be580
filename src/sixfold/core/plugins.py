"""Plug-ins by folder listing: one new thing is one new file, named as the recipe names it.

A plug-in is a module with a class `Settings` (a `recipe.section.Section`): its fields are its options in the recipe,
its methods are what it does. Packages outside Sixfold add theirs through the entry-point group `sixfold.KIND`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sixfold.core.errors import RecipeError, did_you_mean, one

PACKAGE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in: its name in messages and entry points, and the folder that lists its members.

    `choosers`: files of the folder that choose one of the others; they may be asked for by name, and are none of them.
    """

    name: str
    folder: str  # below sixfold/, for example "train/optimisers"
    not_plugins: frozenset[str] = frozenset()
    choosers: frozenset[str] = frozenset()

    def names(self) -> list[str]:
        """Every plug-in of this kind, sorted; imports none of them."""
        files = {f.stem for f in (PACKAGE_ROOT / self.folder).glob("*.py")}
        own = {f for f in files if not f.startswith("_")} - self.not_plugins - self.choosers
        return sorted(own | set(self._foreign()))

    def askable(self) -> list[str]:
        """What a recipe may name: every plug-in, and who chooses one of them."""
        return sorted([*self.names(), *self.choosers])

    def foreign_names(self) -> list[str]:
        """Those that other packages bring, sorted; imports none of them."""
        return sorted(self._foreign())

    def load(self, name: str) -> Any:
        """The `Settings` class of plug-in `name`. Raises RecipeError with the nearest name when there is none."""
        return _settings(self, name)

    def make(self, options: Mapping[str, Any], key: str = "name") -> Any:
        """The plug-in that `options` asks for: `{"name": "adam", "learning_rate": 0.01}`; the name stands under `key`.

        Raises RecipeError that names the option, with the nearest option when there is none of that name.
        """
        name = str(options.get(key, ""))
        settings = self.load(name)
        try:
            return settings(**{option: value for option, value in options.items() if option != key})
        except ValueError as error:  # pydantic's, known by its method: this folder imports the standard library only
            if not hasattr(error, "errors"):
                raise
            raise _refusal(f"{self.name} {name}", list(settings.model_fields), error.errors()[0]) from error

    def _foreign(self) -> dict[str, str]:
        return _entry_points(f"sixfold.{self.name}")


def foreign_modules(kinds: Iterable[Kind]) -> list[str]:
    """The modules by which installed packages add plug-ins of `kinds`; imports none of them."""
    return sorted({module for kind in kinds for module in kind._foreign().values()})


@cache
def _settings(kind: Kind, name: str) -> Any:
    """Once for each name: a table of 5,000 columns asks 20,000 times, and listing a folder as often took 8 s."""
    known = kind.askable()
    if name not in known:
        raise RecipeError(kind.name, f"the name of {one(kind.name)}", f"'{name}'", did_you_mean(name, known))
    module = kind._foreign().get(name) or f"sixfold.{kind.folder.replace('/', '.')}.{name}"
    return importlib.import_module(module).Settings


@cache
def _entry_points(group: str) -> dict[str, str]:
    """Name → module of a group; reading every installed package's metadata took 15 ms here, so it is done once."""
    return {point.name: point.value for point in importlib.metadata.entry_points(group=group)}


def _refusal(where: str, fields: list[str], problem: Mapping[str, Any]) -> RecipeError:
    """The first of pydantic's complaints about a plug-in's options, in four parts."""
    option = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        remedy = did_you_mean(option, fields) if fields else "Leave it out: there are no options."
        return RecipeError(where, "one of its options", f"'{option}'", remedy)
    if problem["type"] == "missing":
        return RecipeError(where, f"the option '{option}'", "nothing", f"Add {option}.")
    expected = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if not option:
        return RecipeError(where, expected, "options that contradict each other", "Change one of them.")
    return RecipeError(f"{where}, {option}", expected, repr(problem["input"]), f"Change {option}.")
