"""What a report says: `report.json` is this, `report.html` shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixfold.recipe.plan import PlanLine
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.section import Section


class ColumnSummary(Section):
    """One raw column in the training rows."""

    name: str
    type: str
    missing: float = Field(ge=0, le=1, description="Share of missing values.")
    distinct: int = Field(ge=0)
    detail: str = Field(
        description="Range and median of numbers; the most frequent values of categories."
    )


class Row(Section):
    """One candidate on the leaderboard, the best first. `scores`: metric → score of every fold that
    was done.

    `why`: it is there. `compared`: how it stands to the winner, with an interval. `dropped`: why it
    got no more folds than `folds` (from 0; left out: all).
    """

    name: str
    family: str
    scores: dict[str, tuple[float, ...]]
    fit_s: float
    why: str = ""
    compared: str = ""
    dropped: str = ""
    folds: tuple[int, ...] = ()


class Curve(Section):
    """Loss of one fit after each epoch; `validation` is empty where nothing was watched."""

    candidate: str
    fold: int
    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    validation: tuple[float, ...] = ()


class Confusion(Section):
    """Counts of out-of-fold predictions: `counts[i][j]` rows of class i predicted as class j."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class ShownValue(Section):
    """One raw value of a row, as text, cut where it is long; of an image, the name of its file."""

    column: str
    type: str
    text: str


class ShownExample(Section):
    """A training row, and what a fold's model that had not seen it says of it.

    `row`: among the training rows, from 0, as in out_of_fold.parquet. `score`: probability or
    decision value of the predicted class, `truth_score` that of the true one; of values left out.
    """

    row: int = Field(ge=0)
    truth: str
    predicted: str
    score: float | None = None
    truth_score: float | None = None
    values: tuple[ShownValue, ...]


class ExampleList(Section):
    """The most wrong rows, the most unsure ones, or those of one cell of the confusion matrix
    (`truth` and `predicted`: numbers of classes); `rows`: how many there are of the kind, of which
    `examples` are shown.
    """

    kind: Literal["wrong", "unsure", "cell"]
    truth: int | None = None
    predicted: int | None = None
    rows: int = Field(ge=0)
    examples: tuple[ShownExample, ...]


class Line(Section):
    """Points of one line: a ROC or precision-recall curve of a class, or a calibration curve."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Figure(Section):
    """One chart of out-of-fold predictions, and what it shows in words."""

    kind: Literal["roc", "pr", "calibration", "residuals", "quantiles"]
    lines: tuple[Line, ...]
    words: str = ""


class Importance(Section):
    """Loss of the deciding metric when a raw column is shuffled, mean and spread over the folds."""

    column: str
    mean: float
    spread: float


class Attribution(Section):
    """The mean size of what a raw column adds to an answer, over stored training rows."""

    column: str
    mean: float = Field(ge=0)


class Dependence(Section):
    """The answers to stored rows when a column has one value in all of them: their mean, and `lines`
    of single rows, at each of `x` (numbers) or `names` (other columns). `output`: class or value.
    """

    column: str
    output: str
    x: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    mean: tuple[float, ...]
    lines: tuple[tuple[float, ...], ...] = ()


class Cohort(Section):
    """Rows that have something in common, in words, and their mean out-of-fold loss."""

    text: str
    rows: int = Field(ge=1)
    loss: float


class Cohorts(Section):
    """Where the model is worst. `loss`: what is the mean; `overall`: of all rows; `tried`: slices of
    the table that were looked at; `worst`: those far above it.
    """

    loss: str
    overall: float
    tried: int = Field(ge=0)
    worst: tuple[Cohort, ...] = ()


class ExplainedPieces(Section):
    """What an answer changes by when a piece of a value is left out: of a text each of `texts`, of an
    image patches of a grid of `across` by `across` over its middle part of the shape `height` ×
    `width`, of a recording windows of time.
    """

    column: str
    kind: Literal["text", "image", "audio"]
    texts: tuple[str, ...] = ()
    across: int = Field(0, ge=0)
    height: int = Field(1, ge=1)
    width: int = Field(1, ge=1)
    changes: tuple[float, ...]


class ExplainedRow(Section):
    """Stored row number `row`, and what its answer depends on."""

    row: int = Field(ge=0)
    output: str
    prediction: float
    pieces: tuple[ExplainedPieces, ...]


class PairStrength(Section):
    """Friedman's H of two columns over stored rows, and the mean size of what they do together."""

    one: str
    other: str
    strength: float = Field(ge=0)
    size: float = Field(ge=0)


class SurrogateNode(Section):
    """Rows of one branch: how they come there, what the tree answers, and how many they are."""

    depth: int = Field(ge=0)
    text: str
    answer: str
    rows: int = Field(ge=0)
    is_leaf: bool


class SurrogateTree(Section):
    """A small tree grown on the model's answers to `rows` stored rows. `fidelity`: how well it agrees
    with the model on `held_out` other ones, by `measure`; `plain`: what one answer for all reaches.
    """

    measure: Literal["accuracy", "R²"]
    fidelity: float
    plain: float
    rows: int = Field(ge=1)
    held_out: int = Field(ge=1)
    nodes: tuple[SurrogateNode, ...]


class Explained(Section):
    """Attributions of the served model, the largest first; `how`: the method; `scale`: their unit;
    `faithfulness`: what deletion and insertion curves say, in words; `dependences` of the columns
    that add most; `pairs` of columns that act together; `surrogate`: a tree that does nearly as the
    model does; `examples`: stored rows of texts, images and recordings.
    """

    how: str
    scale: str
    rows: int = Field(ge=1)
    columns: tuple[Attribution, ...] = ()
    faithfulness: str = ""
    dependences: tuple[Dependence, ...] = ()
    pairs: tuple[PairStrength, ...] = ()
    surrogate: SurrogateTree | None = None
    examples: tuple[ExplainedRow, ...] = ()

    def named(self) -> set[str]:
        """The columns that are told of."""
        found = {each.column for each in self.columns}
        found |= {each.column for each in self.dependences}
        found |= {each.column for row in self.examples for each in row.pieces}
        return found | {name for pair in self.pairs for name in (pair.one, pair.other)}


class OutputScores(Section):
    """Of the winner's folds: what one of several targets scores, how many rows are below one quantile
    (`rows_below`), or inside an interval (`rows_inside`, `width`). `scores`: what is measured → of every fold.
    """

    name: str
    scores: dict[str, tuple[float, ...]]


class Layer(Section):
    """One layer of a network."""

    name: str
    shape: str
    parameters: int


class WrittenText(Section):
    """What a language model wrote after `epoch` of `epochs` (0: before training) when it was given
    `prompt`. `fold`: whose model, or None for that of the last training, on all training rows.
    """

    fold: int | None = None
    epoch: int = Field(ge=0)
    epochs: int = Field(ge=1)
    prompt: str
    text: str


class AnsweredQuestion(Section):
    """One of `report.questions`: what the checkpoint said that was tuned (None where there was none), and
    what the model says. `choices`: it was to choose, by likelihood.
    """

    question: str
    right: str
    choices: bool
    before: str | None = None
    after: str


class QuestionScores(Section):
    """Shares of right answers, of questions with choices and of those without; None where there are
    none. `asked`: as many as are shown, the first ones.
    """

    count: int = Field(ge=1)
    exact_before: float | None = None
    exact: float | None = None
    choice_before: float | None = None
    choice: float | None = None
    asked: tuple[AnsweredQuestion, ...] = ()


class LanguageReport(Section):
    """Of a language model: its loss by step (of folds, and of the last training), and what it wrote as it
    learned.
    """

    losses: tuple[Line, ...] = ()
    written: tuple[WrittenText, ...] = ()
    questions: QuestionScores | None = None


class ReportedItem(Section):
    """An item that a user gets, and those that he had which add most to its score."""

    item: str
    because: tuple[str, ...] = ()


class ReportedUser(Section):
    """What a user had in training (`more`: items that are not listed), and what he gets, the best first."""

    user: str
    had: tuple[str, ...]
    more: int = Field(0, ge=0)
    gets: tuple[ReportedItem, ...]


class Report(Section):
    """Everything a reader needs to trust, question or repeat a run."""

    verdict: tuple[str, ...] = Field(description="The result in sentences.")
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    columns: tuple[ColumnSummary, ...]
    baseline: dict[str, float]
    leaderboard: tuple[Row, ...]
    curves: tuple[Curve, ...] = ()
    confusion: Confusion | None = None
    figures: tuple[Figure, ...] = ()
    outputs: tuple[OutputScores, ...] = ()
    examples: tuple[ExampleList, ...] = ()
    importances: tuple[Importance, ...] = ()
    explained: Explained | None = None
    cohorts: Cohorts | None = None
    layers: tuple[Layer, ...] = ()
    language: LanguageReport | None = None
    recommended: tuple[ReportedUser, ...] = ()
    plan: tuple[PlanLine, ...] = Field(
        (), description="What was predicted, beside what was measured."
    )
    receipt: Receipt


class Reproduction(Section):
    """How to get the same result again."""

    command: str
    recipe: str
    data_sha256: str
    created: str
