"""Which columns get which treatment: the recipe's word first, then what the family needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sixfold.core.errors import RecipeError, did_you_mean
from sixfold.parts.fit import Needs
from sixfold.parts.table import ColumnKind, Table
from sixfold.prepare.step import Method, Takes
from sixfold.recipe.kinds import FEATURE, IMPUTER
from sixfold.recipe.schema import Options, Prepare


@dataclass(frozen=True)
class Treatment:
    """Columns of one kind with one imputer and one chain of methods."""

    columns: tuple[str, ...]
    takes: Takes
    kind: ColumnKind
    imputer: Options
    chain: tuple[Options, ...]
    indicator: bool


def check_names(prepare: Prepare, table: Table) -> None:
    """Raises RecipeError for a column named under `columns` that the table has not."""
    for section, named in (("impute", prepare.impute.columns), ("features", prepare.features.columns)):
        for name in named:
            if name not in table.columns:
                raise RecipeError(
                    f"prepare.{section}.columns", "columns of the table", f"'{name}'", did_you_mean(name, table.columns)
                )


def treatments(prepare: Prepare, needs: Needs, table: Table) -> list[Treatment]:
    """Columns in table order, those with equal treatment together."""
    grouped: dict[str, Treatment] = {}
    for name, column in table.columns.items():
        imputer = _imputer(prepare, needs, name, column.kind)
        chain = tuple(_chain(prepare, needs, name, column.kind))
        key = repr((column.kind, imputer, chain))
        before = grouped[key].columns if key in grouped else ()
        takes: Takes = "category" if column.kind == "category" else "number"
        grouped[key] = Treatment((*before, name), takes, column.kind, imputer, chain, prepare.impute.indicator)
    return list(grouped.values())


def make_step(kind: Literal["imputer", "feature"], treatment: Treatment, options: Options) -> Method:
    """The method that `options` name. Raises RecipeError when it does not take such columns."""
    plugins = IMPUTER if kind == "imputer" else FEATURE
    method: Any = plugins.make(options)
    if treatment.takes not in method.takes:
        fitting = [name for name in plugins.names() if treatment.takes in plugins.load(name).takes]
        section = "prepare.impute" if kind == "imputer" else "prepare.features"
        raise RecipeError(
            f"{section}, columns {', '.join(treatment.columns[:3])}", f"a method for {treatment.kind} columns",
            f"'{options['name']}', which is for {' and '.join(sorted(method.takes))} columns",
            f"Choose from: {', '.join(fitting)}.",
        )  # fmt: skip
    checked: Method = method
    return checked


def _imputer(prepare: Prepare, needs: Needs, name: str, kind: ColumnKind) -> Options:
    section = prepare.impute
    if name in section.columns:
        return section.columns[name]
    if kind == "category":
        return section.category or {"name": "constant"}
    if kind == "boolean":
        return section.boolean or {"name": "most_frequent" if needs.impute_number else "none"}
    return section.number or {"name": needs.impute_number or "none"}


def _chain(prepare: Prepare, needs: Needs, name: str, kind: ColumnKind) -> list[Options]:
    section = prepare.features
    if name in section.columns:
        return section.columns[name]
    numbers = section.number if section.number is not None else [{"name": method} for method in needs.number]
    if kind == "number":
        return numbers
    if kind == "category":
        return section.category if section.category is not None else [{"name": method} for method in needs.category]
    if kind == "boolean":
        return section.boolean if section.boolean is not None else []
    return section.date if section.date is not None else [{"name": "date_parts"}, *numbers]
