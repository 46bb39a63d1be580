"""Bayesian personalized ranking (Rendle and others, 2009): what a user has is ranked above what they have not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import csr_array

from sixfold.build.family import FitCost, SolverFamily
from sixfold.bundle.recommend.histories import Float32, Histories
from sixfold.core.errors import FitError
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.interactions import Interactions, interactions_of
from sixfold.parts.recommender import recommender_of
from sixfold.parts.table import IntArray, Task
from sixfold.runs.context import Context

START: Final = 0.1  # standard deviation of the first factors, times 1 / √factors
TINY: Final = 1e-8
RIDGE: Final = 1.0  # of the map from histories to users' factors


class Settings(SolverFamily):
    """Factors of users and items, and a bias of each item, that make −ln σ(score of what the user has
    − score of what they have not) small, over random pairs.

    Steps are those of Adagrad (Duchi and others, 2011), of many pairs at once. A user that comes later
    gets the factors that a linear map of what they did gives, which is fitted on the users of training.
    """

    needs: ClassVar[Needs] = Needs(interactions=True)
    tasks: ClassVar[frozenset[Task]] = frozenset({"recommendation"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"interactions"})

    factors: int = Field(64, ge=1, le=4096, description="Numbers of each user and of each item.")
    epochs: int = Field(
        30, ge=1, description="Times that each interaction is compared with another."
    )
    learning_rate: float = Field(0.1, gt=0, description="Of Adagrad.")
    regularization: float = Field(
        0.01, ge=0, description="Pulls the factors of each pair towards 0."
    )
    batch_size: int = Field(4096, ge=1, description="Pairs a step.")

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Pair after pair."""
        for fit in fits:
            x = interactions_of(fit)
            found = self._trained(x, fit.seed, context)
            arrays: dict[str, npt.NDArray[Any]] = {
                "item_factors": found.items,
                "item_bias": found.bias,
                "user_factors": found.users,
                "projection": _projection(x.histories(), found),
            }
            options = {"confidence": 1.0, "regularization": 1.0}
            yield recommender_of(x, "factors", arrays, options)

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """Factors, and the squares of Adagrad, of as many users and items as rows have at most."""
        both = 2 * rows
        if few:
            first = interactions_of(few[0])
            both = min(both, (first.user_count + first.item_count) * rows // max(1, len(first)))
        factors = 4 * both * (self.factors + 1)
        batch = 48 * self.batch_size * self.factors
        return FitCost(fit_bytes=96 * rows + 4 * factors + batch, model_bytes=16 * rows + factors)

    def _trained(self, x: Interactions, seed: int, context: Context) -> _Factors:
        seen, rng = x.histories(), np.random.default_rng(seed)
        owners = seen.users()
        pairs = owners * x.item_count + seen.items
        known = np.sort(pairs)
        scale = START / np.sqrt(self.factors)
        users, items = (
            (scale * rng.standard_normal((count, self.factors))).astype(np.float32)
            for count in (x.user_count, x.item_count)
        )
        found = _Factors(users, items, np.zeros(x.item_count, dtype=np.float32))
        squares = _Factors(*(np.full_like(each, TINY) for each in found.arrays()))
        for _ in range(self.epochs):
            context.check_time("ranking what users have above what they have not")
            order = rng.permutation(len(pairs))
            others = rng.integers(0, x.item_count, len(pairs))
            unseen = ~_inside(known, owners[order] * x.item_count + others)
            order, others = order[unseen], others[unseen]
            for first in range(0, len(order), self.batch_size):
                some = slice(first, first + self.batch_size)
                own = order[some]
                batch = _Pairs(owners[own], seen.items[own].astype(np.int64), others[some])
                self._step(found, squares, batch)
        if not all(np.isfinite(each).all() for each in found.arrays()):
            raise FitError(
                "build, bpr", "factors that are numbers", "others", "Lower learning_rate."
            )
        return found

    def _step(self, found: _Factors, squares: _Factors, batch: _Pairs) -> None:
        """In place: one step of Adagrad on the mean over the pairs of each row that they touch."""
        users, has, lacks = (
            found.users[batch.users],
            found.items[batch.has],
            found.items[batch.lacks],
        )
        apart = has - lacks
        margin = np.einsum("pf,pf->p", users, apart) + found.bias[batch.has]
        wrong = 1 / (1 + np.exp(np.clip(margin - found.bias[batch.lacks], -30, 30)))
        pull, each = np.float32(self.regularization), wrong[:, None].astype(np.float32)
        both = np.concatenate([batch.has, batch.lacks])
        of_items = np.concatenate([pull * has - each * users, pull * lacks + each * users])
        bias = np.concatenate(
            [pull * found.bias[batch.has] - wrong, pull * found.bias[batch.lacks] + wrong]
        )
        self._descend(found.users, squares.users, batch.users, pull * users - each * apart)
        self._descend(found.items, squares.items, both, of_items)
        self._descend(found.bias[:, None], squares.bias[:, None], both, bias[:, None])

    def _descend(
        self, own: Float32, squares: Float32, rows: IntArray, gradients: npt.NDArray[Any]
    ) -> None:
        """In place: `gradients` of the same row are added up."""
        touched, at = np.unique(rows, return_inverse=True)
        ones = np.ones(len(rows), dtype=np.float32)
        adding = csr_array((ones, (at, np.arange(len(rows)))), shape=(len(touched), len(rows)))
        total = (adding @ gradients).astype(np.float32)
        squares[touched] += total**2
        own[touched] -= np.float32(self.learning_rate) * total / np.sqrt(squares[touched])


@dataclass(frozen=True)
class _Factors:
    """`users`, `items`: float32 [rows, factors]; `bias`: float32 [items]."""

    users: Float32
    items: Float32
    bias: Float32

    def arrays(self) -> tuple[Float32, Float32, Float32]:
        """All of them."""
        return self.users, self.items, self.bias


@dataclass(frozen=True)
class _Pairs:
    """Of each user an item that they have, and one that they lack."""

    users: IntArray
    has: IntArray
    lacks: IntArray


def _inside(sorted_pairs: IntArray, wanted: IntArray) -> npt.NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(sorted_pairs, wanted), len(sorted_pairs) - 1)
    found: npt.NDArray[np.bool_] = sorted_pairs[at] == wanted
    return found


def _projection(seen: Histories, found: _Factors) -> Float32:
    """float32 [factors, factors]: from the sum of a history's factors over the root of its length to
    those of its user, by least squares.
    """
    lengths = np.maximum(1, seen.lengths())
    ones = np.ones(len(seen.items), dtype=np.float32)
    of_users = csr_array((ones, seen.items, seen.starts), shape=(seen.count, len(found.items)))
    sums = (of_users @ found.items) / np.sqrt(lengths)[:, None]
    wide = sums.astype(np.float64)
    gram = wide.T @ wide + RIDGE * np.eye(wide.shape[1])
    return np.linalg.solve(gram, wide.T @ found.users.astype(np.float64)).astype(np.float32)
