"""Plug-ins by folder listing: one new thing is one new file, named as the recipe names it.

A plug-in is a module with a class `Settings` (a `recipe.section.Section`): its fields are its
options in the recipe, its methods are what it does. Close relatives share a file that lists them,
name → class, in place of `Settings`:
`PLUGINS: Final = {"he_normal": "HeNormal", "he_uniform": "HeUniform"}`. Packages outside Sixfold
add theirs through the entry-point group `sixfold.KIND`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from sixfold.core.errors import RecipeError, did_you_mean, one

PACKAGE_ROOT = Path(__file__).resolve().parent.parent
ALONE: Final = "Settings"  # the class of a plug-in that has a file for itself
# The list is read as text, since importing a file may take torch.
LISTED: Final = re.compile(r"^PLUGINS\b[^=\n]*=\s*\{([^{}]*)\}", re.MULTILINE)


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in: its name in messages and entry points, and the folder that lists its
    members.

    `choosers`: files of the folder that choose one of the others; they may be asked for by name,
    and are none of them.
    """

    name: str
    folder: str  # below sixfold/, for example "train/optimizers"
    not_plugins: frozenset[str] = frozenset()
    choosers: frozenset[str] = frozenset()

    def names(self) -> list[str]:
        """Every plug-in of this kind, sorted; imports none of them."""
        return sorted(set(self._own()) - self.choosers | set(self._foreign()))

    def askable(self) -> list[str]:
        """What a recipe may name: every plug-in, and who chooses one of them."""
        return sorted([*self.names(), *self.choosers])

    def own_names(self) -> list[str]:
        """Those of Sixfold that no other package replaces, sorted; imports none of them."""
        return sorted(set(self._own()) - set(self._foreign()))

    def package(self, name: str) -> str:
        """The top package of a plug-in's module."""
        return (self._foreign().get(name) or self._own()[name]).partition(":")[0].partition(".")[0]

    def foreign_names(self) -> list[str]:
        """Those that other packages bring, sorted; imports none of them."""
        return sorted(self._foreign())

    def load(self, name: str) -> Any:
        """The class of plug-in `name`, by rule `Settings`. Raises RecipeError with the nearest name
        when there is none.
        """
        return _plugin_class(self, name)

    def make(self, options: Mapping[str, Any], key: str = "name") -> Any:
        """The plug-in that `options` asks for: `{"name": "adam", "learning_rate": 0.01}`; the name
        stands under `key`.

        Raises RecipeError that names the option, with the nearest option when there is none of that
        name.
        """
        name = str(options.get(key, ""))
        settings = self.load(name)
        try:
            return settings(**{option: value for option, value in options.items() if option != key})
        except ValueError as error:  # pydantic's, known by its method: this folder imports the standard library only
            if not hasattr(error, "errors"):
                raise
            raise _refusal(
                f"{self.name} {name}", list(settings.model_fields), error.errors()
            ) from error

    def _own(self) -> dict[str, str]:
        package = f"sixfold.{self.folder.replace('/', '.')}"
        return {
            name: f"{package}.{place}"
            for name, place in _listed(PACKAGE_ROOT / self.folder).items()
            if name not in self.not_plugins
        }

    def _foreign(self) -> dict[str, str]:
        return _entry_points(f"sixfold.{self.name}")


def foreign_modules(kinds: Iterable[Kind]) -> list[str]:
    """The modules by which installed packages add plug-ins of `kinds`; imports none of them."""
    return sorted({_module(place) for kind in kinds for place in kind._foreign().values()})


@cache
def _plugin_class(kind: Kind, name: str) -> Any:
    """Once for each name: a table of 5,000 columns asks 20,000 times, and listing a folder as often
    took 8 s.
    """
    known = kind.askable()
    if name not in known:
        raise RecipeError(
            kind.name, f"the name of {one(kind.name)}", f"'{name}'", did_you_mean(name, known)
        )
    place = kind._foreign().get(name) or kind._own()[name]
    found: Any = importlib.import_module(_module(place))
    for attribute in (place.partition(":")[2] or ALONE).split("."):
        found = getattr(found, attribute)
    return found


@cache
def _listed(folder: Path) -> dict[str, str]:
    """Name → `file:Class` of every plug-in in a folder."""
    places: dict[str, str] = {}
    for file in sorted(folder.glob("[!_]*.py")):
        several = LISTED.search(file.read_text(encoding="utf-8"))
        classes = re.findall(r'"(\w+)": "(\w+)"', several[1]) if several else [(file.stem, ALONE)]
        places |= {name: f"{file.stem}:{found}" for name, found in classes}
    return places


@cache
def _installed() -> Any:
    """The entry points of all groups: reading every package's metadata took 15 ms here, so once for
    all kinds is enough.
    """
    return importlib.metadata.entry_points()


@cache
def _entry_points(group: str) -> dict[str, str]:
    """Name → `module` or `module:Class` of a group."""
    return {point.name: point.value.replace(" ", "") for point in _installed().select(group=group)}


def _module(place: str) -> str:
    """Of `module:Class`, or of `module` alone."""
    return place.partition(":")[0]


def _refusal(where: str, fields: list[str], problems: Sequence[Mapping[str, Any]]) -> RecipeError:
    """The first of pydantic's complaints about a plug-in's options, in four parts; of an option that
    may be one of several things, what each of them would be.
    """
    problem, option = problems[0], _option(problems[0])
    if problem["type"] == "extra_forbidden":
        remedy = did_you_mean(option, fields) if fields else "Leave it out: there are no options."
        return RecipeError(where, "one of its options", f"'{option}'", remedy)
    if problem["type"] == "missing":
        return RecipeError(where, f"the option '{option}'", "nothing", f"Add {option}.")
    texts = [str(one["msg"]) for one in problems if _option(one) == option]
    expected = " or ".join(
        text.removeprefix("Value error, ").removeprefix("Input should be ") for text in texts
    )
    if not option:
        return RecipeError(
            where, expected, "options that contradict each other", "Change one of them."
        )
    return RecipeError(f"{where}, {option}", expected, repr(problem["input"]), f"Change {option}.")


def _option(problem: Mapping[str, Any]) -> str:
    """Where it is, without the alternatives of a type (`literal['auto']`, `constrained-float`)."""
    first, *rest = [str(part) for part in problem["loc"]] or [""]
    return ".".join([first, *(part for part in rest if part.isidentifier() or part.isdecimal())])
