"""Which columns get which treatment: the recipe's word first, then what the family needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sixfold.core.errors import RecipeError, did_you_mean
from sixfold.core.plugins import Kind
from sixfold.parts.fit import Needs
from sixfold.parts.modality import is_modality, modality_of
from sixfold.parts.table import ColumnKind, Table
from sixfold.prepare.step import Method, ReadsFolder, Role, Takes
from sixfold.recipe.kinds import FEATURE, IMPUTER
from sixfold.recipe.plugin_fields import Options
from sixfold.recipe.schema import Feature, Impute, Prepare

HOLDS: Final[dict[ColumnKind, frozenset[Takes]]] = {
    "number": frozenset({"number"}),
    "boolean": frozenset({"number"}),
    "date": frozenset({"date", "number"}),
}  # another column holds what its kind is called


@dataclass(frozen=True)
class Treatment:
    """Columns of one kind with one imputer and one chain of methods.

    `beside`: further columns of the kind, which the imputer looks at too. `first`: what comes
    before the imputer.
    """

    columns: tuple[str, ...]
    beside: tuple[str, ...]
    kind: ColumnKind
    first: tuple[Method, ...]
    imputer: Method
    chain: tuple[Method, ...]


def check_columns(prepare: Prepare, table: Table) -> None:
    """Raises RecipeError for a column named under `columns` that the table has not, or that is an
    identifier.
    """
    for section, named in (
        ("impute", prepare.impute.columns),
        ("features", prepare.features.columns),
    ):
        for name in named:
            where = f"prepare.{section}.columns"
            if name not in table.columns:
                raise RecipeError(
                    where, "the name of a column", f"'{name}'", did_you_mean(name, table.columns)
                )
            if table.columns[name].kind == "identifier":
                raise RecipeError(
                    where,
                    "a column that is used",
                    f"'{name}', an identifier",
                    f"Set data.types.{name} to its type.",
                )


def treatments(prepare: Prepare, needs: Needs, table: Table) -> list[Treatment]:
    """Columns in table order, those with equal treatment together. Raises RecipeError for a method
    that does not fit.
    """
    if needs.impute_number is None and _reduces(prepare.features):
        needs = needs._replace(
            impute_number="median"
        )  # what reduces takes no gaps, though the family would
    grouped: dict[tuple[Any, ...], list[str]] = {}
    for name, column in table.columns.items():
        kind = column.kind
        imputer = _imputer(prepare.impute, needs, name, kind)
        chain = _chain(prepare.features, needs, name, kind)
        first = chain[:1] if chain and "date" in chain[0].takes else ()
        own = name if is_modality(kind) else ""  # each has a state of its own
        grouped.setdefault((own, kind, first, imputer, chain[len(first) :]), []).append(name)
    return [
        Treatment(
            tuple(names),
            _beside(table, names, kind) if imputer.joint else (),
            kind,
            first,
            imputer,
            chain,
        )
        for (_, kind, first, imputer, chain), names in grouped.items()
    ]


def folder_digests(features: Feature) -> list[str]:
    """SHA-256 of what methods read besides the table: files that the recipe names. Raises
    DataError.
    """
    known = set(FEATURE.names())  # a name that is not known is refused where its chain is made
    methods = [
        FEATURE.make(options) for options in features.of_modalities() if options["name"] in known
    ]
    found = [method.content_digest() for method in methods if isinstance(method, ReadsFolder)]
    return [one for one in found if one]


def over_all(features: Feature) -> Iterator[tuple[str, Method]]:
    """What follows over all features: the selection, then the reduction. Raises RecipeError for
    another role.
    """
    wanted: tuple[tuple[Role, Options | None], ...] = (
        ("select", features.select),
        ("reduce", features.reduce),
    )
    for role, options in wanted:
        if options is not None:
            method = FEATURE.make(options)
            if method.role != role:
                fitting = [name for name in FEATURE.names() if FEATURE.load(name).role == role]
                raise RecipeError(
                    f"prepare.features.{role}",
                    f"a method that can {role}",
                    f"'{options['name']}'",
                    _use(fitting),
                )
            yield options["name"], method


def _reduces(features: Feature) -> bool:
    chains = [features.number, features.date, features.boolean, *features.columns.values()]
    named = [options["name"] for chain in chains for options in chain or []]
    known = set(FEATURE.names())  # a name that is not known is refused where its chain is made
    return features.reduce is not None or any(
        FEATURE.load(n).role == "reduce" for n in named if n in known
    )


def _beside(table: Table, names: Sequence[str], kind: ColumnKind) -> tuple[str, ...]:
    return tuple(
        name for name, column in table.columns.items() if column.kind == kind and name not in names
    )


def _imputer(section: Impute, needs: Needs, name: str, kind: ColumnKind) -> Any:
    passing = {"name": "none"} if needs.impute_number is None else None
    number = section.number or passing or {"name": needs.impute_number}
    by_kind: dict[ColumnKind, tuple[str, Options]] = {
        "number": ("number", number),
        "date": ("number", number),
        "boolean": ("boolean", section.boolean or passing or {"name": "most_frequent"}),
        "category": ("category", section.category or {"name": "constant"}),
    }
    where, options = by_kind.get(kind, (kind, {"name": "none"}))
    if is_modality(kind) and name in section.columns:
        raise RecipeError(
            f"prepare.impute.columns.{name}",
            f"a column that is no {kind}",
            kind,
            "Leave it out: a reader says what a missing value is.",
        )
    if name in section.columns:
        where, options = f"columns.{name}", section.columns[name]
    imputer = IMPUTER.make(options)
    holds: frozenset[Takes] = frozenset({"category" if kind == "category" else "number"})
    if is_modality(kind):
        return imputer
    _check_takes(IMPUTER, options["name"], holds, f"prepare.impute.{where}", f"{kind} columns")
    return imputer


def _chain(section: Feature, needs: Needs, name: str, kind: ColumnKind) -> tuple[Any, ...]:
    number = (
        section.number
        if section.number is not None
        else [{"name": method} for method in needs.number]
    )
    category = (
        section.category
        if section.category is not None
        else [{"name": method} for method in needs.category]
    )
    by_kind: dict[ColumnKind, list[Options]] = {
        "number": number,
        "date": section.date if section.date is not None else [{"name": "date_parts"}, *number],
        "boolean": section.boolean if section.boolean is not None else [],
        "category": category,
    }
    where, chain = (
        kind,
        by_kind[kind] if kind in by_kind else section.of(kind) or [modality_of(kind).method(needs)],
    )
    if name in section.columns:
        where, chain = f"columns.{name}", section.columns[name]
    return _methods(chain, f"prepare.features.{where}", kind)


def _methods(chain: Sequence[Options], where: str, kind: ColumnKind) -> tuple[Any, ...]:
    """The chain's methods, each of which takes what the one before it gives."""
    holds, what = HOLDS.get(kind, frozenset({kind})), f"{kind} columns"
    methods = []
    for options in chain:
        methods.append(FEATURE.make(options))
        _check_takes(FEATURE, options["name"], holds, where, what)
        holds, what = frozenset({"number"}), f"what {options['name']} gives"
    if is_modality(kind) and len(methods) != 1:
        fitting = [name for name in FEATURE.names() if kind in FEATURE.load(name).takes]
        raise RecipeError(
            where, f"one method that turns {kind} into numbers", f"{len(methods)}", _use(fitting)
        )
    if "category" in holds:
        fitting = [name for name in FEATURE.names() if "category" in FEATURE.load(name).takes]
        raise RecipeError(
            where, "a method that turns categories into numbers", "none", _use(fitting)
        )
    return tuple(methods)


def _check_takes(plugins: Kind, name: str, holds: frozenset[Takes], where: str, what: str) -> None:
    """`where`: the key of the recipe; `what`: what the method gets, for the message. Raises
    RecipeError.
    """
    takes = plugins.load(name).takes
    if takes & holds:
        return
    fitting = [other for other in plugins.names() if plugins.load(other).takes & holds]
    raise RecipeError(
        where, f"a method for {what}", f"'{name}', which takes {_plural(takes)}", _use(fitting)
    )


def _plural(takes: frozenset[Takes]) -> str:
    words = {"number": "numbers", "category": "categories", "date": "dates"}
    return " and ".join(
        words[kind] if kind in words else modality_of(kind).plural for kind in sorted(takes)
    )


def _use(names: Sequence[str]) -> str:
    return f"Use one of: {', '.join(names)}."
