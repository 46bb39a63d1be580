"""A fit, and what comes out of it: the two shapes between preparation, families, evaluation and
compression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from sixfold.parts.graph import Graph
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.stored import StoredFeatures
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.parts.units import cut_off, with_every_class
from sixfold.recipe.ctc_decoder import CtcDecoder
from sixfold.recipe.schema import Initialize, Train
from sixfold.recipe.section import Section
from sixfold.recipe.strategy import PLAIN, Strategy
from sixfold.recipe.token_decoder import TokenDecoder

Matrix = npt.NDArray[np.float32] | npt.NDArray[np.float64]
# Training rows: large one-hot tables come sparse, images and recordings stay on disk (StoredFeatures), for
# families that take them so.
Features: TypeAlias = Matrix | csr_array
OutputKind = Literal["probability", "decision", "value"]
FeatureKind = Literal["numbers", "tokens", "pixels", "samples", "documents", "interactions"]
UNWATCHED = "no rows are watched for an early stop, as the groups (of equal rows, too) are too few and large to spare one"


class DocumentNeeds(NamedTuple):
    """Of a language model: how many tokens its vocabulary has (0: by the size of the texts), or the
    folder of the checkpoint whose tokens they are.
    """

    vocabulary: int = 0
    checkpoint: str = ""


class Needs(NamedTuple):
    """How a family likes its features: the defaults of `prepare` for it (names of plug-ins; () is
    none).
    """

    number: tuple[str, ...] = ("standard",)
    category: tuple[str, ...] = ("one_hot",)
    impute_number: str | None = "median"  # None: the family takes NaN as it is
    precision: Literal["float32", "float64"] = "float64"
    text: str = "ngrams"  # what texts become
    text_checkpoint: str = (
        ""  # the folder of the checkpoint whose tokens they become; '' for pieces that are learned
    )
    text_features: int = 2_000  # n-grams of a text; those who take sparse rows can use more
    sparse: bool = (
        False  # whether training rows may come as scipy.sparse.csr_array where that saves memory
    )
    stored: bool = False  # whether those of one column of files come as StoredFeatures
    image_side: int = 0  # pixels a side, in color, that images have to have; 0: any
    audio: str = "mel_statistics"  # what recordings become
    audio_rate: int = 0  # samples a second that they have to have; 0: any
    documents: DocumentNeeds | None = None  # of a family that learns texts themselves
    interactions: bool = False  # of a family that learns who did what
    side_features: bool = False  # and what is known of users and items


@dataclass(frozen=True)
class FeatureGroup:
    """Neighboring features, from `start` up to `stop`, that are read alike, and the raw columns
    they come from.

    `numbers`: each has a meaning of its own (a category's code too, see `Fit.levels`). `pixels`: of
    one column of images, of the size `image`, 0 to 255. `samples`: of one column of recordings,
    `rate` a second. `tokens`: of one column of texts, in their order, codes below `tokens`, 0 after
    the text's end; `documents`: whole texts, of which a row is one; `tokenizer`: SHA-256 of the
    checkpoint's whose codes these are, '' where they were learned. `interactions`: a
    user, an item, and when.
    """

    kind: FeatureKind
    columns: tuple[str, ...]
    start: int
    stop: int
    image: ImageShape | None = None
    tokens: int = 0
    tokenizer: str = ""
    rate: int = 0


class Shape(NamedTuple):
    """What a network must take and give. `levels`: of each feature, at least as many as it has
    codes of a category (rounded up, so that folds that lack some are alike), and 0 for a number; ()
    where all are numbers.
    """

    features: int
    outputs: int
    task: Task
    levels: tuple[int, ...] = ()


@dataclass(frozen=True)
class Watch:
    """The metric that `train.stop.metric` names: `score(y, predicted)` with `y` as in `Fit` and
    `predicted` as `Fitted` predicts it; its third argument: `Fit.weights`.
    """

    name: str
    greater_is_better: bool
    score: Callable[[FloatArray | IntArray, FloatArray, FloatArray | None], float]


@dataclass(frozen=True)
class Setting:
    """How a fit is made: one candidate's `build`, `initialize` and `train`. `family`: its Settings;
    None: those of the family that is asked. `watch`: what is watched for an early stop, where that
    is not the loss. `strategy`: how its training fits into memory.
    """

    name: str = ""
    family: Section | None = None
    initialize: Initialize = field(default_factory=Initialize)
    train: Train = field(default_factory=Train)
    watch: Watch | None = None
    strategy: Strategy = PLAIN


@dataclass(frozen=True)
class Fit:
    """The work of training one candidate on one set of rows.

    `x`: [rows, features] in the family's precision, no NaN unless the family takes them, dense
    unless it takes them sparse. `y`: int64 [rows] class indices in [0, outputs), float64 [rows], or
    float64 [rows, outputs], or code points of texts (`parts.transcripts`). `outputs`: classes, or
    values a row. `start`: what training continues from (after pruning), or None. `facts` stand in
    its events. `levels`: of each feature that is a category's code (0 and up, -1 for unseen), how
    many there are, 0 for a number; () for all numbers. `groups`: int64 [rows], equal numbers for rows
    that stay together when some are cut off to be watched; None: each is alone. `setting`: how it is
    made. `layout`: what the features are,
    in order; () for numbers all. `teacher`: a model of the same features, whose answers count
    beside the labels (of families of one module). `offset`: of each output, what was subtracted
    from `y`; () for nothing. `columns`: the raw column that each feature is, in another scale perhaps, ''
    for what is made otherwise; () where nobody asks. `weights`: float64 [rows], above 0, how often each row counts; None: once.
    `quantiles`: what the outputs are of `y` [rows], in (0, 1) and rising; () for `y` itself.
    """

    x: Features
    y: FloatArray | IntArray
    task: Task
    outputs: int
    seed: int = 0
    start: Fitted | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    levels: tuple[int, ...] = ()
    groups: IntArray | None = None
    setting: Setting = field(default_factory=Setting)
    layout: tuple[FeatureGroup, ...] = ()
    teacher: Fitted | None = None
    offset: tuple[float, ...] = ()
    weights: FloatArray | None = None
    columns: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()

    @property
    def rows(self) -> int:
        """Training rows."""
        return int(self.x.shape[0])

    @property
    def values(self) -> FloatArray:
        """[rows, outputs] what each output is compared with: every quantile with the same value."""
        y_RK = np.asarray(self.y, dtype=np.float64).reshape(len(self.y), -1)
        return np.repeat(y_RK, len(self.quantiles), axis=1) if self.quantiles else y_RK

    def take(self, rows: IntArray) -> Self:
        """The same work on some of its rows."""
        groups = None if self.groups is None else self.groups[rows]
        x = self.x.take(rows) if isinstance(self.x, StoredFeatures) else self.x[rows]
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, x=x, y=self.y[rows], groups=groups, weights=weights)

    def whole_groups(self, count: int, seed: int) -> IntArray:
        """Sorted rows to be watched while the others train, near `count`: whole groups, and of no
        class the last row.

        None of the rows where groups are so few that none can be spared; `groups` has to be given.
        """
        groups = np.arange(self.rows) if self.groups is None else self.groups
        if self.task != "classification":
            return cut_off(np.zeros(self.rows, dtype=np.int64), groups, count, seed)
        classes, inside = np.asarray(self.y, dtype=np.int64), np.zeros(self.rows, dtype=np.bool_)
        inside[cut_off(classes, groups, count, seed)] = True
        return np.flatnonzero(with_every_class(classes, inside, groups))

    @property
    def shape(self) -> Shape:
        """What its network must take and give; `levels` rounded up to powers of two."""
        levels = self.levels if any(self.levels) else ()
        rounded = tuple(1 << (count - 1).bit_length() if count else 0 for count in levels)
        return Shape(int(self.x.shape[1]), self.outputs, self.task, rounded)


@runtime_checkable
class Fitted(Protocol):
    """A trained model: always a `State` (a frozen dataclass of arrays), so that it can be written
    without pickle.
    """

    @property
    def output(self) -> OutputKind:
        """What `predict` returns."""

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, features] → [rows, outputs] float64: probabilities (rows sum to 1), decision values (the largest wins,
        binary: [-d, d]), or values."""

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes of the graph; `x` is [rows, features] in the family's precision;
        returns [rows, outputs].
        """


@runtime_checkable
class Wrapping(Protocol):
    """Ability: the model that answers is another one, `inner`, whose numbers are kept in another
    way (fixed point).
    """

    inner: Any


@runtime_checkable
class Parametric(Protocol):
    """Ability: θ can be read and replaced (fixed-point rounding, counting)."""

    def parameters(self) -> dict[str, npt.NDArray[np.float64]]:
        """Name → array of every learned real number."""

    def with_parameters(self, parameters: dict[str, npt.NDArray[np.float64]]) -> Self:
        """The same model with other numbers of the same shapes."""


@runtime_checkable
class Offset(Protocol):
    """Ability: values are predicted from where float32 tells them apart; `offset` [outputs] is
    added in double, () for none.
    """

    offset: tuple[float, ...]


@dataclass(frozen=True)
class Additive:
    """What exact attributions take besides the graph. `kind`: how the score is a sum: of trees, of
    their mean, or of features times weights. `link`: from scores to outputs. `arrays`: `cover` of
    trees (training rows of every leaf, as the graph numbers them); `weights` and `bias` of a linear model.
    """

    kind: Literal["trees", "mean of trees", "linear"]
    link: Literal["identity", "sigmoid", "softmax", "share"]
    arrays: dict[str, npt.NDArray[Any]]


@runtime_checkable
class Attributable(Protocol):
    """Ability: how much each feature adds to a score is known exactly."""

    def additive(self) -> Additive | None:
        """None where it is not known of this model."""


@runtime_checkable
class Differentiable(Protocol):
    """Ability: a network, whose answers follow its features smoothly, but for codes of categories."""

    differentiable: ClassVar[bool]


@runtime_checkable
class Multiplying(Protocol):
    """Ability: mostly products with weights, which integers of 8 bits can do."""

    def single(self) -> Fitted:
        """The same model, computing in float32."""


@runtime_checkable
class Decodes(Protocol):
    """Ability: its numbers become a text; `predict` gives code points, `export` what `decoder` takes."""

    @property
    def decoder(self) -> CtcDecoder | TokenDecoder:
        """What makes the text."""

    def margins(self, x: Matrix) -> FloatArray:
        """[rows] how far the score of each text is from that of another one."""


@runtime_checkable
class Ranked(Protocol):
    """Ability: says how much each feature matters to it."""

    def importances(self) -> FloatArray:
        """[features], not negative; the scale is the family's own."""


@runtime_checkable
class IncrementalPredictor(Protocol):
    """Ability: rows that differ in few features from rows that it knows are predicted sooner than
    others.
    """

    def near(self, x: Matrix) -> Callable[[Matrix], FloatArray]:
        """`predict`, bit for bit, for rows [rows, features] of which most features are those of
        `x`, row by row.
        """


@runtime_checkable
class Rounds(Protocol):
    """Ability: a sum built round after round, which can end earlier."""

    @property
    def rounds(self) -> int:
        """Rounds it has."""

    def first_rounds(self, rounds: int) -> Self:
        """The model as it was after `rounds` rounds, at least 1."""


@runtime_checkable
class Supported(Protocol):
    """Ability: a sum over stored training rows, some of which can be left out."""

    @property
    def support_count(self) -> int:
        """Stored rows."""

    def keep_support(self, indices: IntArray) -> Self:
        """The model with these stored rows only, their coefficients unchanged."""


@runtime_checkable
class Branching(Protocol):
    """Ability: made of trees whose nodes can be counted."""

    @property
    def node_count(self) -> int:
        """Branches and leaves."""
