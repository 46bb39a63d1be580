"""One against one: from the decision values of every pair of classes to one score a class.

Shape letters: R rows, S support vectors, K classes, P pairs i < j of classes in lexicographic
order.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from sixfold.parts.graph import Graph
from sixfold.parts.table import FloatArray, IntArray


def least(d_RP: FloatArray, classes: int) -> FloatArray:
    """[R, K] the smallest decision value for a class in its pairs (Abe and Inoue, *Fuzzy support
    vector machines for multiclass problems*, 2002). `d_RP`: positive for the first class of a pair.

    Above 0 for a class that wins all of its pairs: the one that has most votes. Where none does, it
    is a score all the same.
    """
    columns, signs = _own(classes)
    return np.asarray((d_RP[:, columns] * signs).min(axis=2))


def dense(dual: FloatArray, counts: npt.NDArray[np.int32]) -> FloatArray:
    """libsvm's packed coefficients [K - 1, S] as a dense [S, P] matrix, zero where a vector has no
    part in a pair.

    Vectors are grouped by class; a vector of class i has its coefficient against class j in row j -
    1 if j > i, else j.
    """
    ends = np.cumsum(counts)
    groups = [slice(int(end - count), int(end)) for end, count in zip(ends, counts, strict=True)]
    weights = np.zeros((dual.shape[1], len(counts) * (len(counts) - 1) // 2))
    for column, (i, j) in enumerate(itertools.combinations(range(len(counts)), 2)):
        weights[groups[i], column] = dual[j - 1, groups[i]]
        weights[groups[j], column] = dual[i, groups[j]]
    return weights


def grouped(weights: FloatArray, classes: int) -> tuple[IntArray, IntArray]:
    """The order [S] that puts the vectors of a class side by side, and how many each class has [K].

    A vector's class is one that all pairs have in common in which it has a part. Raises ValueError
    where there is none.
    """
    members = np.zeros((weights.shape[1], classes))
    for each in np.triu_indices(classes, 1):
        members[np.arange(len(each)), each] = 1.0
    foreign = (weights != 0).astype(np.float64) @ (1.0 - members)
    if len(weights) and foreign.min(axis=1).max() > 0:
        raise ValueError("a vector that has a part in pairs without a class in common")
    owner = foreign.argmin(axis=1)
    return np.argsort(owner, kind="stable"), np.bincount(owner, minlength=classes)


def export(
    graph: Graph, kernel: str, weights: FloatArray, counts: IntArray, bias: FloatArray
) -> str:
    """`least` of `kernel` · `weights` + `bias`: of [R, S] values for vectors as `grouped`, a
    product for each class, with the K - 1 columns of its pairs instead of all P.
    """
    columns, signs = _own(len(counts))
    ends, some = np.cumsum(counts), np.flatnonzero(counts)
    parts = graph.ops(
        "Split", kernel, graph.constant(counts[some], np.int64), outputs=len(some), axis=1
    )
    part_of = dict(zip(some.tolist(), parts, strict=True))
    products = []
    for k in range(len(counts)):
        own = weights[ends[k] - counts[k] : ends[k], columns[k]] * signs[k]
        if k not in part_of:  # no vector is of this class: zeros, as many rows as there are
            own = np.zeros((counts[some[0]], len(counts) - 1))
        products.append(
            graph.op("MatMul", part_of.get(k, parts[0]), graph.constant(own, np.float64))
        )
    for_class = graph.concat(products)
    against = graph.take_columns(for_class, _swapped(len(counts)))
    margins = graph.op(
        "Add", graph.op("Sub", for_class, against), graph.constant((bias[columns] * signs).ravel())
    )
    shaped = graph.op(
        "Reshape", margins, graph.constant([0, len(counts), len(counts) - 1], np.int64)
    )
    return graph.op("ReduceMin", shaped, graph.constant([2], np.int64), keepdims=0)


def _swapped(classes: int) -> IntArray:
    """Where, among the ordered pairs (class, other) side by side, (other, class) stands: [K (K -
    1)].
    """
    others = ~np.eye(classes, dtype=bool)
    number = np.zeros((classes, classes), dtype=np.int64)
    number[others] = np.arange(classes * (classes - 1))
    return number.T[others]


def _own(classes: int) -> tuple[IntArray, FloatArray]:
    """Both [K, K - 1]: the columns of a class's pairs, and 1 where it is the first of the pair, -1
    where the second.
    """
    first, second = np.triu_indices(classes, 1)
    column, sign = np.zeros((classes, classes), dtype=np.int64), np.ones((classes, classes))
    column[first, second] = column[second, first] = np.arange(len(first))
    sign[second, first] = -1.0
    others = ~np.eye(classes, dtype=bool)
    return column[others].reshape(classes, -1), sign[others].reshape(classes, -1)
