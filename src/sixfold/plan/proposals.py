"""From a recipe with ranges to the candidates that a search proposes, one for each trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sixfold.build import grid
from sixfold.build.candidate import Candidate
from sixfold.parts.table import Dataset
from sixfold.plan.candidates import Draft, candidate
from sixfold.plan.suggest import FieldKinds, Trial, suggest
from sixfold.recipe.calibration import Calibration
from sixfold.recipe.kinds import FAMILY, KINDS
from sixfold.recipe.plugin_fields import Options
from sixfold.recipe.plugin_schema import is_list
from sixfold.recipe.schema import Recipe, Train, Weighing

Schema = dict[str, Any]


@dataclass
class Proposer:
    """Makes the candidate of a trial: an item of `build`, and a value for each of its ranges and
    lists, those of `train`, and of `evaluate.calibrate` and `threshold`.

    Equal settings get equal names, whatever was proposed between.
    """

    recipe: Recipe
    dataset: Dataset
    named: dict[str, list[str]] = field(
        default_factory=dict
    )  # name → keys of the candidates that would have it

    def __call__(self, trial: Trial) -> Candidate:
        """Raises RecipeError or FitError for settings that contradict each other."""
        items = self._items()
        number = (
            trial.suggest_categorical("build", list(range(len(items)))) if len(items) > 1 else 0
        )
        item = items[number]
        settings: Any = FAMILY.load(str(item["family"]))
        loop = dict(self.recipe.train)
        if not settings.trained_by_the_loop:
            loop = {key: loop[key] for key in Weighing.model_fields if key in loop}
        scores = self.recipe.evaluate.calibration()
        options = suggest(trial, item, _fields(settings.model_json_schema()), f"build.{number}.")
        train = suggest(trial, loop, _fields(Train.model_json_schema()), "train.")
        calibration = suggest(trial, scores, _fields(Calibration.model_json_schema()), "evaluate.")
        name = grid.names([{**options, **train, **calibration}, {**item, **loop, **scores}])[0]
        family = str(options.pop("family"))
        draft = Draft((family, options, ""), train, calibration)
        made = partial(candidate, self.recipe, self.dataset.target, draft=draft)
        return made(name=self._unique(name, made(name=name).key()))

    def samples(self) -> Iterator[Candidate]:
        """Of each item of `build` its first and its last corner: to be checked before anything is
        trained.
        """
        for number in range(len(self._items())):
            for corner in (_Corner(number, last=False), _Corner(number, last=True)):
                yield Proposer(self.recipe, self.dataset)(corner)

    def _items(self) -> list[Options]:
        return [] if self.recipe.build == "auto" else self.recipe.build

    def _unique(self, name: str, key: str) -> str:
        keys = self.named.setdefault(name, [])
        if key not in keys:
            keys.append(key)
        at = keys.index(key)
        return name if at == 0 else f"{name} #{at + 1}"


@dataclass(frozen=True)
class _Corner:
    """Proposes the smallest of everything, or the largest, for the item `build[number]`."""

    number: int
    last: bool

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return high if self.last else low

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return high if self.last else low

    def suggest_categorical(self, name: str, choices: list[int]) -> int:
        return self.number if name == "build" else choices[-1 if self.last else 0]


def _fields(schema: Schema) -> FieldKinds:
    return FieldKinds(partial(is_list, schema), partial(_is_whole, schema))


def _is_whole(schema: Schema, key: str) -> bool:
    """Whether an option (`outer.inner` inside a mapping) takes whole numbers only."""
    types = {
        str(branch.get("type"))
        for node in _nodes(schema, key)
        for branch in node.get("anyOf", [node])
    }
    return "integer" in types and "number" not in types


def _nodes(schema: Schema, key: str) -> list[Schema]:
    """The schemas of an option; several where it is one of plug-ins that are alternatives (an
    optimizer's).
    """
    outer, _, inner = key.partition(".")
    node: Schema = schema.get("properties", {}).get(outer, {})
    if not inner:
        return [node] if node else []
    if "x-plugin" in node:
        kind = KINDS[node["x-plugin"]]
        found = [_nodes(kind.load(name).model_json_schema(), inner) for name in kind.names()]
        return [one for nodes in found for one in nodes]
    reference = str(next((one["$ref"] for one in node.get("anyOf", [node]) if "$ref" in one), ""))
    section: Schema = schema.get("$defs", {}).get(reference.rpartition("/")[2], {})
    return _nodes({**section, "$defs": schema.get("$defs", {})}, inner)
