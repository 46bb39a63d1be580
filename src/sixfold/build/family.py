"""One door to every kind of model: `Family.fit`. A family's `Settings` class is its options and
this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol, Self, runtime_checkable

from sixfold.core.cores import cores
from sixfold.parts.fit import FeatureKind, Fit, Fitted, Needs
from sixfold.parts.table import FloatArray, Task
from sixfold.recipe.compression import Compress
from sixfold.recipe.plugin_fields import Options
from sixfold.recipe.schema import Initialize
from sixfold.recipe.section import Section
from sixfold.recipe.strategy import MemoryStep, Strategy
from sixfold.runs.context import Context
from sixfold.train.rank_group import RankGroup

CACHE_BYTES = (
    512 * 2**20
)  # of features of folds: that are kept for other candidates, and that are trained as one
# Of features of fits solved side by side: where a fit is large, threads inside it do nearly as
# well.
SIDE_BYTES = 128 * 2**20


class FitCost(NamedTuple):
    """What fits take besides their features. `fit_bytes`: held at the peak by one fit (kernel
    matrices, trees while they grow), of all settings that are solved with it; by one replica of a
    network. `model_bytes`: of one result. `together`: fits that are trained as one piece of work at
    most, where the loop trains them. `shares`: what of `fit_bytes` is what, by names that a reader
    knows; the rest is workspace. `device_parts`: on a device one fit is trained at a time, whose
    batch is not cut into so many parts; 0: as many as on the processor.
    """

    fit_bytes: int = 0
    model_bytes: int = 0
    together: int = 1
    shares: Mapping[str, int] = {}
    device_parts: int = 0


class FitWork(NamedTuple):
    """What a fit does, for a clock that does not run. `flops`: of matrix products; `calls`:
    operations that torch is asked for; `moved_bytes`: what these read and write; `solver_s`:
    seconds of one core of the machine on which solvers were measured. `one_program`: fits that are
    trained as one ask for an operation once; `parts`: of a batch, that have a core each where there
    is one.
    """

    flops: float = 0.0
    calls: float = 0.0
    moved_bytes: float = 0.0
    solver_s: float = 0.0
    one_program: bool = False
    parts: int = 1


class CompressionWork(NamedTuple):
    """Of one model. `alone`: by one thread; `trained`: by the loop, as a training is; `held_bytes`: meanwhile."""

    alone: FitWork
    trained: FitWork
    held_bytes: int


class TrainDefaults(NamedTuple):
    """What a family likes of the recipe's `train`: `options` take the place of the keys that the
    recipe leaves out, and `why` is said with them. The recipe's own word goes before them, key by
    key.
    """

    options: Options = {}  # noqa: RUF012 (never changed)
    why: str = ""


class Family(Section, ABC):
    """One kind of model: how it likes its features, what a fit costs, and how fits are made. The
    options are the fields of the subclass. What is said here of all families are defaults that an
    ordinary solver needs not change.

    `tasks`: what it can learn. `trained_by_the_loop`: it is a network, and `train` is for it.
    `one_module`: each fit is a module of its own, whose batches may be divided. `layers_compile`: its
    layers can become programs; `shards`: processes can divide its weights among them.
    `ends_in_time`: a fit ends at the deadline with what it has; of other families one that has
    begun goes on to its end. `learns_quantiles`: it can, by the pinball loss; `all_values_at_once`: one fit gives all values,
    or quantiles, of a row, where others are fitted one by one. `decides`: for classes it gives decision values, no probabilities.
    `reads`: kinds of features that it can make something of. `shared`: fields in which settings may
    differ that are solved as one piece of work (one factorization for all penalties); `apart`: the
    same of the keys of `train`. `writing`: times a model's bytes that are held while its bundle is
    written (lists of Python's numbers in its graph, and their copies); `finish_bytes`: what
    onnxruntime, the report, Parquet, and tracing the network take at the end; `finish_s`: seconds of tracing it.
    """

    tasks: ClassVar[frozenset[Task]]
    trained_by_the_loop: ClassVar[bool] = False
    one_module: ClassVar[bool] = False
    layers_compile: ClassVar[bool] = False
    shards: ClassVar[bool] = False
    ends_in_time: ClassVar[bool] = False
    decides: ClassVar[bool] = False
    learns_quantiles: ClassVar[bool] = False
    all_values_at_once: ClassVar[bool] = False
    reads: ClassVar[frozenset[FeatureKind]] = frozenset({"numbers", "pixels"})
    shared: ClassVar[frozenset[str]] = frozenset()
    apart: ClassVar[frozenset[str]] = frozenset()
    writing: ClassVar[int] = 15  # measured with trees
    finish_bytes: ClassVar[int] = 100_000_000  # measured (bench/plan.py), as those of networks
    finish_s: ClassVar[float] = 0.0

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """How it likes its features: a constant of the class, or what follows from the settings."""

    def origin(self) -> Fitted | None:
        """What every fit goes on from, as a model of its own; None where it starts from nothing."""
        return None

    @property
    def train_defaults(self) -> TrainDefaults:
        """Of a network that is trained best otherwise than `train` says by itself."""
        return TrainDefaults()

    @property
    def side_by_side(self) -> bool:
        """Whether its solver lets other threads run, so that several fits are worked on at once."""
        return False

    @abstractmethod
    def fit(self, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
        """Yield one result a fit, in order; each fit by its own settings (`Fit.setting`), or by
        `self` where it names none.

        A grid on several folds is a sequence of fits, those on the same rows next to each other:
        what they have in common is done once. Raises FitError, RecipeError, BudgetError.
        """

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """Of fits on `rows` rows. `few`: the same on some of the rows, one a setting; they may be
        tried on.
        """
        return FitCost()

    def lighter(self, few: Sequence[Fit], rows: int, closed: bool = False) -> Iterator[MemoryStep]:
        """Ways to train with less memory than `cost` says, each stronger than the one before, in
        the order of the time that they cost. What changes what is learned comes last, and where the
        recipe has decided otherwise, only if `closed`.
        """
        yield from ()

    def under(self, strategy: Strategy) -> Self:
        """The settings with what a strategy chose of them."""
        return self

    def ending_bytes(self, model_bytes: int) -> int:
        """What the report and the bundle take of a model of so many bytes."""
        return self.finish_bytes + self.writing * model_bytes

    def ending_s(self, model_bytes: int) -> float:
        """Seconds that they take, besides what they take of any model."""
        return self.finish_s

    def observing(self, few: Sequence[Fit], rows: int) -> FitWork:
        """What is done between the epochs of the first fold and of the last training, to be shown: a trial does not."""
        return FitWork()

    def compressing(
        self, few: Sequence[Fit], rows: int, section: Compress
    ) -> CompressionWork | None:
        """What compressing one result takes; None where only the time of a training tells."""
        return None

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """What one fit on `rows` rows does, all epochs of it; None where only a trial can tell."""
        return None

    def work(self, rows: int) -> float:
        """What the time of a fit on `rows` rows is proportional to, in any unit."""
        return float(rows)

    @property
    def constraints(self) -> Mapping[str, int]:
        """Raw columns with which what is predicted may only rise (1) or fall (−1)."""
        return {}

    def folds_at_once(self, size: int) -> int:
        """Folds that are worked on as one piece of work, when the features of one take `size`
        bytes.
        """
        return max(1, min(cores(), SIDE_BYTES // max(1, size))) if self.side_by_side else 1

    def content_digest(self) -> str:
        """SHA-256 of what the files hold that its options name; '' where they name none. Raises
        DataError.
        """
        return ""

    def check_task(self, task: Task) -> None:
        """Raises RecipeError for options of another task."""

    def check_quantiles(self) -> None:
        """Raises RecipeError for options with which it cannot learn quantiles."""

    def check_start(self, initialize: Initialize) -> None:
        """Raises FitError for a start from which it could never be trained."""

    def own(self, fit: Fit) -> Self:
        """The settings of this family that a fit is made by. Raises TypeError for those of another
        family.
        """
        family = fit.setting.family
        if family is None:
            return self
        if not isinstance(family, type(self)):
            raise TypeError(
                f"{type(family).__module__} is another family than {type(self).__module__}"
            )
        return family


class SolverFamily(Family):
    """A family with a solver of its own: linear, svm, tree, forest, extra_trees, boosting."""

    def fit(self, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
        """Yield one result a fit, in order."""
        for rows in _grids(fits):
            settings = [self.own(fit) for fit in rows[0]]
            first = [same[0] for same in rows]
            if self.shared or len(settings) == 1:
                yield from settings[0].solve(settings, first, context)
            else:
                for same in rows:
                    for setting, fit in zip(settings, same, strict=True):
                        yield from setting.solve([setting], [fit], context)

    @abstractmethod
    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Yield fit by fit, and within a fit setting by setting. `settings` differ in the fields
        `shared` alone, and `self` is the first of them: one where there are none.
        """


def _grids(fits: Sequence[Fit]) -> Iterator[list[list[Fit]]]:
    """Fits by the rows that they are made on, those together that have the same settings on
    each.
    """
    grid: list[list[Fit]] = []
    for same in _on_same_rows(fits):
        if grid and [fit.setting for fit in grid[-1]] != [fit.setting for fit in same]:
            yield grid
            grid = []
        grid.append(same)
    if grid:
        yield grid


def _on_same_rows(fits: Sequence[Fit]) -> Iterator[list[Fit]]:
    """Neighbors that differ in their settings alone."""
    same: list[Fit] = []
    for fit in fits:
        if same and not (
            fit.x is same[0].x and fit.setting not in [other.setting for other in same]
        ):
            yield same
            same = []
        same.append(fit)
    if same:
        yield same


@runtime_checkable
class TrainsInRanks(Protocol):
    """Ability of a family's Settings: several processes train one network together (`budget.data_parallel`)."""

    def check_division(self, few: Sequence[Fit], rows: int, ranks: int) -> None:
        """Raises RecipeError where batches of fits on `rows` rows are too small for so many ranks; `few`: as in `cost`."""

    def train_rank(self, fits: Mapping[int, Fit], context: Context, ranks: RankGroup) -> None:
        """Train what rank 0 trains, as one of the others: of fits that train as one, by their numbers. Nothing is kept
        of it.
        """


@runtime_checkable
class CostComplexity(Protocol):
    """Ability of a family's Settings: its trees can be cut back by its field `complexity` (a float,
    0 cuts nothing).
    """

    def complexity_path(self, fit: Fit) -> FloatArray:
        """Rising values of `complexity`, at each of which the tree of `fit` loses a branch."""
