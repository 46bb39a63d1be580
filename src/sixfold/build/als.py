"""Alternating least squares on implicit feedback (Hu, Koren and Volinsky, 2008)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sixfold.build.family import FitCost, SolverFamily
from sixfold.bundle.recommend.histories import Float32, Histories
from sixfold.bundle.recommend.scorers import Codes, PaddedHistories, padded
from sixfold.core.errors import FitError
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.interactions import Interactions, interactions_of
from sixfold.parts.recommender import recommender_of
from sixfold.parts.table import Task
from sixfold.runs.context import Context

START: Final = 0.01  # standard deviation of the first factors
GATHERED: Final = 1 << 20  # numbers at once, 4 MiB: they stay in the cache through all steps
Blocks = Sequence[tuple[Codes, PaddedHistories]]
LEAST: Final = 1e-20  # of a squared residual: solved


class Settings(SolverFamily):
    """The product of a user's and an item's factors is 1 for what was done and 0 for the rest, of which
    each counts once, and what was done 1 + confidence · weight times.

    Users and items are solved in turn, by a few steps of conjugate gradients from where they were
    (Takács, Pilászy and Tikk, 2011). Whoever comes later is solved from what they did, exactly, by the
    bundle.
    """

    needs: ClassVar[Needs] = Needs(interactions=True)
    tasks: ClassVar[frozenset[Task]] = frozenset({"recommendation"})
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"interactions"})

    factors: int = Field(64, ge=1, le=4096, description="Numbers of each user and of each item.")
    confidence: float = Field(
        10.0, gt=0, description="How much more an interaction of the weight 1 counts than none."
    )
    regularization: float = Field(
        1.0, gt=0, description="Times the squares of all factors, added to the loss."
    )
    iterations: int = Field(15, ge=1, description="Times that users and items are solved.")
    steps: int = Field(3, ge=1, description="Of conjugate gradients, each time.")

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Users, then items, and so on."""
        for fit in fits:
            x = interactions_of(fit)
            items = self._items(x, fit.seed, context)
            options = {"confidence": self.confidence, "regularization": self.regularization}
            yield recommender_of(x, "factors", {"item_factors": items}, options)

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """Factors of as many users and items as rows have at most, and both orders of the rows."""
        both = 2 * rows if not few else _both(interactions_of(few[0]), rows)
        factors = 4 * both * self.factors
        return FitCost(fit_bytes=160 * rows + 3 * factors, model_bytes=16 * rows + factors)

    def work(self, rows: int) -> float:
        """Each interaction takes as long as any other."""
        return float(rows)

    def _items(self, x: Interactions, seed: int, context: Context) -> Float32:
        """float32 [items, factors]"""
        seen = x.histories()
        turned = _turned(seen, x.item_count)
        of_users, of_items = (list(padded(one, self.factors, GATHERED)) for one in (seen, turned))
        most = max((at.items.size for _, at in [*of_users, *of_items]), default=0)
        gathered = np.empty(most * self.factors, dtype=np.float32)
        rng = np.random.default_rng(seed)
        users, items = (
            (START * rng.standard_normal((count, self.factors))).astype(np.float32)
            for count in (x.user_count, x.item_count)
        )
        users[seen.lengths() == 0] = items[turned.lengths() == 0] = 0
        for _ in range(self.iterations):
            context.check_time("solving for users and items")
            self._solve(of_users, items, users, gathered)
            self._solve(of_items, users, items, gathered)
        if not np.isfinite(items).all():
            raise FitError(
                "build, als",
                "factors that are numbers",
                "others",
                "Raise regularization, or look at the ratings: very large ones overflow.",
            )
        return items

    def _solve(self, blocks: Blocks, others: Float32, own: Float32, gathered: Float32) -> None:
        """In place: the rows of `own`, [rows, factors], that did something, given `others`. `gathered`: room for
        the factors of a block, which is not asked of the system each time.
        """
        gram = others.T @ others
        gram[np.diag_indices_from(gram)] += np.float32(self.regularization)
        for some, at in blocks:
            factors = gathered[: at.items.size * self.factors].reshape(*at.items.shape, -1)
            np.take(others, at.items, axis=0, out=factors, mode="clip")  # raise would copy
            more = np.float32(self.confidence) * at.weights
            own[some] = self._descended(own[some], factors, more, at.there, gram)

    def _descended(
        self, found: Float32, factors: Float32, more: Float32, there: Float32, gram: Float32
    ) -> Float32:
        """Steps of conjugate gradients from `found`, [rows, factors]. `factors`: [rows, entries,
        factors], `more`: [rows, entries] above a confidence of 1, `there`: 1 of an entry, 0 behind the last.
        """

        def products(vector: Float32) -> Float32:
            result: Float32 = np.matmul(factors, vector[..., None])[..., 0] * more
            return result

        def added(shares: Float32) -> Float32:
            result: Float32 = np.matmul(shares[:, None, :], factors)[:, 0]
            return result

        residual = added(more + there - products(found)) - found @ gram
        direction, square = residual, _squares(residual)
        for _ in range(self.steps):
            image = direction @ gram + added(products(direction))
            length = square / np.maximum(np.einsum("uf,uf->u", direction, image)[:, None], LEAST)
            found = found + length * direction
            residual = residual - length * image
            after = _squares(residual)
            direction = residual + after / np.maximum(square, LEAST) * direction
            square = after
        return found


def _squares(vectors: Float32) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = np.einsum("uf,uf->u", vectors, vectors)[:, None]
    return found


def _turned(seen: Histories, items: int) -> Histories:
    """By item, what users were by item."""
    order = np.argsort(seen.items, kind="stable")
    counts = np.bincount(seen.items, minlength=items)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Histories(starts, seen.users()[order].astype(np.int32), seen.weights[order])


def _both(few: Interactions, rows: int) -> int:
    """Users and items of `rows` rows, at most: as many more as there are more rows."""
    return min(2 * rows, (few.user_count + few.item_count) * rows // max(1, len(few)))
