"""A small tree that was grown on the model's own answers to stored rows (a surrogate; Craven and
Shavlik, 1996), and how well it agrees with the model on rows that it was not grown on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sixfold.bundle.explain.distance import shown_value
from sixfold.bundle.explain.explainer import Explainer
from sixfold.parts.table import FloatArray
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.report import SurrogateNode, SurrogateTree
from sixfold.recipe.signature import CATEGORIES

LEAST_ROWS: Final = 60
HELD_OUT: Final = 1 / 3
DEPTH: Final = 3
LEAF_ROWS: Final = 5
MOST_LEVELS: Final = 20  # of a category that a question may be about, the most frequent ones
MOST_QUESTIONS: Final = 2_000  # columns of the tree's own table


class _TreeQuestion(NamedTuple):
    """What a column of the tree's table asks: a number's value, or whether a category has a level."""

    column: int
    level: str | None


def surrogate(explainer: Explainer) -> SurrogateTree | None:
    """Of the served model; None where there are too few stored rows, or no plain column."""
    stored, questions = explainer.background, _questions(explainer)
    rows = len(next(iter(stored.values())))
    if rows < LEAST_ROWS or not questions:
        return None
    x = np.stack([_asked(explainer, question) for question in questions], axis=1)
    found = explainer.predictor.run(stored).outputs
    order = np.random.default_rng(0).permutation(rows)
    held, own = order[: int(HELD_OUT * rows)], order[int(HELD_OUT * rows) :]
    options = {"max_depth": DEPTH, "min_samples_leaf": LEAF_ROWS, "random_state": 0}
    if "label" in found:
        labels = found["label"].astype(str)
        tree: Any = DecisionTreeClassifier(**options).fit(x[own], labels[own])
        classes, counts = np.unique(labels[own], return_counts=True)
        fidelity = float((tree.predict(x[held]) == labels[held]).mean())
        plain = float((labels[held] == classes[counts.argmax()]).mean())
        named = list(map(str, tree.classes_))
    else:
        values = np.asarray(found["value"], dtype=np.float64)[:, 0]
        tree = DecisionTreeRegressor(**options).fit(x[own], values[own])
        off = ((tree.predict(x[held]) - values[held]) ** 2).sum()
        spread = ((values[held] - values[held].mean()) ** 2).sum()
        if not spread:
            return None
        fidelity, plain, named = float(1.0 - off / spread), 0.0, []
    nodes = tuple(_nodes(tree.tree_, explainer, questions, named))
    return SurrogateTree(
        measure="accuracy" if "label" in found else "R²",
        fidelity=fidelity,
        plain=plain,
        rows=len(own),
        held_out=len(held),
        nodes=nodes,
    )


def _questions(explainer: Explainer) -> list[_TreeQuestion]:
    found = []
    for number, column in enumerate(explainer.predictor.signature.inputs):
        if column.type not in PLAIN_KINDS:
            continue
        if explainer.places[number].group == CATEGORIES:
            found += [_TreeQuestion(number, level) for level in column.levels[:MOST_LEVELS]]
        else:
            found.append(_TreeQuestion(number, None))
    return found[:MOST_QUESTIONS]


def _asked(explainer: Explainer, question: _TreeQuestion) -> FloatArray:
    """[rows]; a missing number is NaN, which goes where more of its kind go."""
    place = explainer.places[question.column]
    values = explainer.background[place.group][:, place.place]
    if question.level is None:
        return np.asarray(values, dtype=np.float64).astype(np.float32).astype(np.float64)
    return np.asarray(values == question.level, dtype=np.float64)


def _nodes(
    tree: Any, explainer: Explainer, questions: list[_TreeQuestion], named: list[str]
) -> Iterator[SurrogateNode]:
    """From the top, each before what is below it."""
    waiting: list[Any] = [(0, 0, "all rows")]
    inputs = explainer.predictor.signature.inputs
    while waiting:
        at, depth, text = waiting.pop()
        yield SurrogateNode(
            depth=depth,
            text=text,
            answer=_answer(tree.value[at], named),
            rows=int(tree.n_node_samples[at]),
            is_leaf=bool(tree.children_left[at] < 0),
        )
        if tree.children_left[at] < 0:
            continue
        question = questions[tree.feature[at]]
        column = inputs[question.column]
        shown = shown_value(column, float(tree.threshold[at]))
        limit = f"{shown:.5g}" if isinstance(shown, int | float) else str(shown)
        texts = f"{column.name} ≤ {limit}", f"{column.name} > {limit}"
        if question.level is not None:
            texts = f"{column.name} is not {question.level}", f"{column.name} = {question.level}"
        elif column.type == "boolean":
            texts = f"{column.name} is false", f"{column.name} is true"
        waiting.append((tree.children_right[at], depth + 1, texts[1]))
        waiting.append((tree.children_left[at], depth + 1, texts[0]))


def _answer(value: npt.NDArray[Any], named: list[str]) -> str:
    return named[int(value[0].argmax())] if named else f"{float(value[0, 0]):.5g}"
