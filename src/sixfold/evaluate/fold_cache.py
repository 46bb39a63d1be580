"""Prepared folds, kept for the next candidate that is prepared alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from sixfold.build.family import CACHE_BYTES
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Prepared
from sixfold.parts.sparse import held_bytes
from sixfold.parts.table import Dataset


class FoldKey(NamedTuple):
    """Of a prepared fold: all that its `preparation` depends on besides the rows, and its
    number.
    """

    preparation: str
    number: int


class FoldCache:
    """Prepared folds that candidates with equal preparation share, up to `most_bytes`.

    They belong to one dataset and its folds: others empty the cache.
    """

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[FoldKey, Prepared] = OrderedDict()
        self._of: tuple[Dataset, Sequence[Fold]] | None = None

    def belong_to(self, dataset: Dataset, folds: Sequence[Fold]) -> None:
        """Forget what was prepared from other rows."""
        if self._of is None or self._of[0] is not dataset or self._of[1] is not folds:
            self._kept.clear()
            self._of = (dataset, folds)

    def clear(self) -> None:
        """Forget all of it."""
        self._kept.clear()

    @property
    def held_bytes(self) -> int:
        """Bytes of all features kept."""
        return sum(held_bytes(kept.x) for kept in self._kept.values())

    def get(self, key: FoldKey) -> Prepared | None:
        """What was kept under `key`."""
        return self._kept.get(key)

    def put(self, key: FoldKey, prepared: Prepared) -> None:
        """Keep `prepared` if it fits, in place of other preparations.

        Folds of the same preparation stay: they are asked for in turn, and the one put first is the
        next to be wanted.
        """
        if held_bytes(prepared.x) > self.most_bytes:
            return
        others = [other for other in self._kept if other.preparation != key.preparation]
        while self.held_bytes + held_bytes(prepared.x) > self.most_bytes and others:
            del self._kept[others.pop(0)]
        if self.held_bytes + held_bytes(prepared.x) <= self.most_bytes:
            self._kept[key] = prepared
