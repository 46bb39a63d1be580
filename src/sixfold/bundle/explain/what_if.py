"""Rows beside a row: the least change that makes the model answer otherwise, and the training rows
that are nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sixfold.bundle.explain.counterfactual import ChangeSearch, Decided
from sixfold.bundle.explain.distance import GowerDistance, shown_value
from sixfold.bundle.explain.explainer import Explainer
from sixfold.bundle.frontend import Feeds, RawRows
from sixfold.core.errors import RowError, did_you_mean
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.signature import NUMBERS


class Change(NamedTuple):
    """Of one raw column, as one would send it."""

    column: str
    before: Any
    after: Any


class Counterfactual(NamedTuple):
    """What has to change; no change where the answer is the wanted one. `before` and `after`: the
    answers, as records.
    """

    changes: tuple[Change, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class NearRow(NamedTuple):
    """A stored training row, its distance (Gower's, 0 to 1), and the model's answer to it."""

    distance: float
    values: dict[str, Any]
    answer: Mapping[str, Any]


def counterfactual(
    explainer: Explainer, rows: RawRows, fixed: Sequence[str] = (), wanted: str | None = None
) -> Counterfactual | None:
    """Of one row; None where no change of up to four columns was found. `fixed`: columns that may not
    change; `wanted`: the class, or None for any other.

    Raises RowError for rows that do not fit, names that the model does not have, and models that
    answer with values.
    """
    signature, classes = explainer.predictor.signature, explainer.predictor.signature.classes
    if not classes:
        raise RowError(
            "this model",
            "classes, of which another one can be answered",
            f"{signature.task}",
            "Leave out the counterfactual.",
        )
    for name in fixed:
        _check(name, explainer.columns, "a column that may not change")
    if wanted is not None:
        _check(wanted, classes, "the class that is wanted")
    feeds = _one(explainer, rows)
    values = explainer.players.background
    search = ChangeSearch(
        columns=explainer.places,
        background=values,
        decide=partial(_decided, explainer),
        movable=np.array(
            [each.name not in fixed and each.type in PLAIN_KINDS for each in signature.inputs]
        ),
        whole=np.array(
            [
                place.group == NUMBERS and _are_whole(values[place.group][:, place.place])
                for place in explainer.places
            ]
        ),
        wanted=None if wanted is None else classes.index(wanted),
    )
    moves = search.least(feeds)
    if moves is None:
        return None
    after = {name: array.copy() for name, array in feeds.items()}
    changes = []
    for move in moves:
        place, column = explainer.places[move.column], signature.inputs[move.column]
        before = shown_value(column, feeds[place.group][0, place.place])
        changes.append(Change(column.name, before, shown_value(column, move.value)))
        after[place.group][0, place.place] = move.value
    answers = [explainer.predictor.run(each).records()[0] for each in (feeds, after)]
    return Counterfactual(tuple(changes), answers[0], answers[1])


def nearest(explainer: Explainer, rows: RawRows, count: int) -> list[NearRow]:
    """The stored training rows (up to 500) that are nearest to one row. Raises RowError."""
    feeds, signature = _one(explainer, rows), explainer.predictor.signature
    background = explainer.players.background
    found = []
    for near in GowerDistance(explainer.places, background).nearest(feeds, count):
        one = {name: array[near.row : near.row + 1] for name, array in background.items()}
        values = {
            column.name: shown_value(column, one[place.group][0, place.place])
            for column, place in zip(signature.inputs, explainer.places, strict=True)
        }
        answer = explainer.predictor.run(one).records()[0]
        found.append(NearRow(near.distance, values, answer))
    return found


def _decided(explainer: Explainer, feeds: Feeds) -> Decided:
    found, classes = explainer.predictor.run(feeds).outputs, explainer.predictor.signature.classes
    numbers = {name: number for number, name in enumerate(classes)}
    scores = found["probability"] if "probability" in found else found["decision"]
    return Decided(scores, np.array([numbers[str(label)] for label in found["label"]]))


def _one(explainer: Explainer, rows: RawRows) -> Feeds:
    """Of one row. Raises RowError for several, and where columns cannot be taken from others."""
    if explainer.not_sampled:
        raise RowError(
            "this model",
            "columns of a table",
            explainer.not_sampled,
            "Ask a model of table columns.",
        )
    feeds = explainer.predictor.front_end.feeds(rows)
    count = len(next(iter(feeds.values())))
    if count != 1:
        raise RowError("rows", "one row", f"{count:,}", "Give them one after the other.")
    return feeds


def _check(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        raise RowError(what, "a name of the signature", f"'{name}'", did_you_mean(name, known))


def _are_whole(values: Any) -> bool:
    known = values[~np.isnan(values)]
    return bool(len(known) and (known == np.round(known)).all())
