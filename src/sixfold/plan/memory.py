"""How much memory a fit will take, by what takes it: on the processor, and on a device where networks train there.

What is counted: what the process holds now, the table, the features of a fold and their copies, the folds that are kept,
and whichever is more, the largest training or the end of the run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import psutil

from sixfold.build.candidate import Candidate, fits_of
from sixfold.build.family import CACHE_BYTES, FitCost
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Prepared, fit_of, prepare_rows
from sixfold.parts import sparse
from sixfold.parts.fit import Fit, Shape
from sixfold.parts.stored import StoredFeatures
from sixfold.parts.table import Dataset
from sixfold.plan.trials import some
from sixfold.prepare.preparer import Preparer
from sixfold.runs.context import Context

TRIAL_ROWS: Final = 500
MEMORY_ERROR: Final = 4 / 3  # held over forecast: bench/plan.py
HEAPS: Final = 0.7  # n-grams grow by this power of the texts (Heaps, Information retrieval, 1978: 0.4 to 0.8 for words)
COPIES: Final = (
    2  # of the features while one is trained: their own, and one more inside the solver or the loop
)
STAYS: Final = 0.8  # of what was freed stays with the C library: measured (bench/plan.py)
HALF: Final = 2  # of float64, float32 takes
HOST: Final = ("scoring",)  # what the processor holds, wherever a network trains
SHARDED: Final[tuple[str, ...]] = ("parameters", "gradients", "optimizer")
OF_RANKS: Final = ("parameters", "gradients", "optimizer", "workspace", "features")
RANK_BYTES: Final = 450_000_000  # of another process: torch and what it loads; seen, 420 to 510 MB
DEVICE_BYTES: Final = 600_000_000  # of the driver's context and the libraries of a GPU; guessed


@dataclass(frozen=True)
class Size:
    """What one candidate's features take. `fold`, `whole`: bytes of the largest fold's, and of all
    rows'; `rows`: of that fold; `few`: a fit on few rows; `row_s`: seconds of preparing one of them.
    """

    fold: int
    whole: int
    rows: int
    few: Fit
    row_s: float = 0.0

    @property
    def shape(self) -> Shape:
        """What a network must take and give."""
        return self.few.shape


@dataclass(frozen=True)
class Stacks:
    """How fits are trained as one: `folds` are prepared before any is trained; `replicas` are a
    stack, or a solver's.
    """

    folds: int
    replicas: int

    def parts(self, folds: int, candidates: int) -> list[int]:
        """Replicas of each stack, for all candidates on all folds."""
        batches = [
            min(self.folds, folds - first) * candidates for first in range(0, folds, self.folds)
        ]
        return [
            min(self.replicas, size - first)
            for size in batches
            for first in range(0, size, self.replicas)
        ]


def sizes(candidate: Candidate, training: Dataset, folds: Sequence[Fold], context: Context) -> Size:
    """What the features of a candidate will take, from those of a few rows."""
    rows = training.table.rows
    few = training.take(some(training, min(rows, 4 * TRIAL_ROWS)))
    started = time.monotonic()
    prepared = prepare_rows(candidate, few, context)
    row_s = (time.monotonic() - started) / few.table.rows
    x = prepared.x
    of_texts = _text_features(prepared)
    a_row = sparse.nonzeros(x) / max(1, x.shape[0])
    may_be_thin = candidate.family.needs.sparse and a_row <= sparse.MOST_FILLED * x.shape[1]

    def features(count: int) -> int:
        if isinstance(x, StoredFeatures):
            return 0
        more = of_texts * (
            max(1.0, count / x.shape[0]) ** HEAPS - 1.0
        )  # n-grams that further texts bring
        width = x.shape[1] + min(more, max(0, candidate.family.needs.text_features - of_texts))
        dense = count * width * x.dtype.itemsize
        thin = may_be_thin and (dense > sparse.DENSE_BYTES or bool(of_texts))
        return int(count * a_row * (x.dtype.itemsize + 4)) if thin else int(dense)

    most = max(len(one.train) for one in folds)
    return Size(features(most), features(rows), most, fit_of(prepared, few.target, context), row_s)


def _text_features(prepared: Prepared) -> int:
    """Features that are n-grams of texts."""
    preparer = prepared.preparer
    return (
        sum(source in preparer.growing for source in preparer.feature_sources)
        if isinstance(preparer, Preparer)
        else 0
    )


def stacks_of(alike: Sequence[Candidate], size: Size, folds: int) -> Stacks:
    """All candidates on as many folds as are worked on as one; of networks, as many of these as
    STACK_BYTES hold.
    """
    family = alike[0].family
    together = min(folds, family.folds_at_once(size.fold))
    replicas = together * len(alike)
    if family.trained_by_the_loop:
        replicas = min(replicas, family.cost(fits_of(alike, [size.few]), size.rows).together)
    return Stacks(together, replicas)


class MemoryNeeds(NamedTuple):
    """Bytes at the peak, by what takes them: of this process, and of the device where networks train."""

    host: Mapping[str, int]
    device: Mapping[str, int]

    @property
    def host_bytes(self) -> int:
        """Of all of it."""
        return sum(self.host.values())

    @property
    def device_bytes(self) -> int:
        """Of all of it; 0 without a device."""
        return sum(self.device.values())

    def in_ranks(self, count: int, shard: bool = False) -> MemoryNeeds:
        """Of `count` processes that train each network together: the others have the network and the features, too, and
        share what is kept of a batch. Where they `shard` it, each has its part, and the first one the weights besides.
        """
        if count == 1:
            return self
        host = dict(self.host)
        each = RANK_BYTES + sum(host.get(name, 0) for name in OF_RANKS)
        if shard:
            parts = {name: host[name] // count for name in SHARDED if name in host}
            each = RANK_BYTES + sum(parts.values()) + host.get("features", 0)
            host |= {**parts, "parameters": host.get("parameters", 0) + parts.get("parameters", 0)}
        return self._replace(host={**host, "other processes": (count - 1) * each})


def memory(alike: Sequence[Candidate], training: Dataset, folds: Sequence[Fold]) -> int:
    """Bytes that the process will hold at most while candidates that are alike are trained."""
    size = sizes(alike[0], training, folds, Context(seed=alike[0].initialize.seed))
    return needs_of(
        alike, training, len(folds), size, stacks_of(alike, size, len(folds))
    ).host_bytes


def needs_of(
    alike: Sequence[Candidate],
    training: Dataset,
    folds: int,
    size: Size,
    stacks: Stacks,
    device: str = "cpu",
) -> MemoryNeeds:
    """What is held now, the rows of a fold, and whichever is more: the largest training, or what
    the model's end takes; and what the C library keeps of the other.
    """
    family, rows = alike[0].family, training.table.rows
    if stacks.replicas == 1:  # who is trained alone has all cores
        alike = [one.under(one.strategy.model_copy(update={"fits_at_once": 1})) for one in alike]
    fold, whole = (family.cost(fits_of(alike, [size.few]), count) for count in (size.rows, rows))
    held = {
        "process": int(psutil.Process().memory_info().rss),
        "table": rows
        * sum(8 if column.is_float else 4 for column in training.table.columns.values()),
        "models": whole.model_bytes * folds * len(alike),
    }
    kept = {"fold cache": min(CACHE_BYTES, size.fold * folds) if size.fold <= CACHE_BYTES else 0}
    ending = {"report and bundle": family.ending_bytes(whole.model_bytes)}
    if family.trained_by_the_loop:
        loop = _in_the_loop(fold, size, stacks, device)
        trained, on_device = dict(loop.host), loop.device
    else:
        trained, on_device = _solved(fold, whole, size, stacks), {}
    trained |= kept
    most, stays = ending, sum(trained.values())
    if stays > sum(
        ending.values()
    ):  # the end, which has not come yet, has brought in its libraries
        most, stays = trained, family.finish_bytes
    freed = {"freed, and not given back": int(STAYS * stays)}
    return MemoryNeeds({**held, **most, **freed}, on_device)


def _in_the_loop(cost: FitCost, size: Size, stacks: Stacks, device: str) -> MemoryNeeds:
    """Of the fits of a fold that are trained as one."""
    here, there = _trained(cost, stacks.replicas), dict[str, int]()
    if device != "cpu":
        shares, here = here, {name: here[name] for name in HOST if name in here}
        if cost.device_parts:
            shares = _trained(cost, 1)
            shares["activations"] *= cost.device_parts
        else:
            shares = {"features": size.fold, **shares}
        there = {"driver": DEVICE_BYTES} | {n: b for n, b in shares.items() if n not in here}
    tensors = stacks.folds * size.fold // HALF  # of every fold that is trained with others as one
    here["features"] = COPIES * max(size.fold, size.whole) + tensors
    return MemoryNeeds(here, there)


def _solved(fold: FitCost, whole: FitCost, size: Size, stacks: Stacks) -> dict[str, int]:
    """Of the folds that are solved at once, or of all rows, whichever is more."""
    return max(
        {**_trained(fold, stacks.folds), "features": stacks.folds * COPIES * size.fold},
        {**_trained(whole, 1), "features": COPIES * size.whole},
        key=lambda shares: sum(shares.values()),
    )


def _trained(cost: FitCost, fits: int) -> dict[str, int]:
    """What is held by fits that are trained at once."""
    shares = {name: fits * size for name, size in cost.shares.items()}
    return {**shares, "workspace": fits * cost.fit_bytes - sum(shares.values())}
