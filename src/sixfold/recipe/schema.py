"""The recipe: every section in the order of the six steps. `schema.json` is generated from this and
the plug-ins.

A field that names a plug-in holds a `Choice`: written as `adam` or
`{name: adam, learning_rate: 0.01}`, kept as a mapping with `name`. The plug-in's own options are
checked against schema.json when the recipe is loaded, and by the plug-in's `Settings` when it is
made; this module imports none of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from sixfold.recipe.budget import Budget
from sixfold.recipe.calibration import Calibration
from sixfold.recipe.compression import Compress
from sixfold.recipe.grouping import LONGEST_PATTERN, checked_pattern
from sixfold.recipe.interactions import InteractionColumns
from sixfold.recipe.kinds import IDENTIFIER, MODALITY, PLAIN_KINDS
from sixfold.recipe.plugin_fields import (
    CalibrationMethod,
    Features,
    Imputer,
    LabelMetric,
    Options,
    chain,
    choice,
    column_kind,
    name_of,
    plugin,
)
from sixfold.recipe.reporting import Reporting
from sixfold.recipe.section import Section
from sixfold.recipe.serving import Serve
from sixfold.recipe.space import Search
from sixfold.recipe.table_files import FeatureTable, TableFile
from sixfold.recipe.task import OWN_RUNTIMES, QuantileRegression, TaskName
from sixfold.recipe.text_filters import TextFilters


class Data(TableFile):
    """Step 0: where the rows are and what is predicted."""

    target: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None,
        description="The column to predict, or several columns of numbers; left out where the task has none.",
    )
    interactions: InteractionColumns | None = Field(
        None, description="User, item and rating of task: recommendation; else `user` and `item`."
    )
    users: FeatureTable | None = Field(
        None, description="Features of users, for the family two_tower."
    )
    items: FeatureTable | None = Field(
        None,
        description="Features of items, also of items that nobody had yet, which are candidates, too.",
    )
    missing: tuple[str, ...] = Field(
        ("", "NA", "N/A", "NaN", "nan", "null", "None"), description="Tokens read as missing."
    )
    types: dict[
        str,
        Annotated[str, AfterValidator(column_kind), name_of("modality", *PLAIN_KINDS, IDENTIFIER)],
    ] = Field(default_factory=dict, description="Column types that overrule what was detected.")
    drop: tuple[str, ...] = Field((), description="Columns that are not used.")
    holdout: Annotated[float, Field(ge=0)] | Annotated[int, Field(ge=0)] = Field(
        0.2, description="Rows touched once, at the end: a share in [0, 1), or a count."
    )
    test: str | None = Field(
        None,
        description="A file of the same columns whose rows are touched once, at the end, instead of a share.",
    )
    group: str | None = Field(
        None, description="Column whose equal values stay on one side of every split."
    )
    group_pattern: Annotated[str | None, AfterValidator(checked_pattern)] = Field(
        None,
        max_length=LONGEST_PATTERN,
        description="Regular expression: what its `(?P<group>…)` finds in `group`, of paths in the file's name, stays together.",
    )
    time: str | None = Field(
        None, description="Column that orders the rows for time_series splits."
    )
    weight: str | None = Field(
        None,
        description="Column of numbers, 0 or more: as often as they say each row counts. It is no feature.",
    )
    seed: int = Field(0, ge=0, description="Seed of the holdout split.")
    duplicates: Literal["keep_together", "ignore"] = Field(
        "keep_together", description="Whether rows that are equal stay on one side of every split."
    )
    rare: Literal["keep", "merge", "drop"] = Field(
        "keep",
        description="Classes with few rows: kept, merged into one class `(rare)`, or left out with their rows.",
    )
    rare_rows: int = Field(5, ge=2, description="A class with fewer rows than this is rare.")

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict; () for none."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else self.target

    @field_validator("target")
    @classmethod
    def _each_once(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(value, tuple) and len(set(value)) < len(value):
            raise ValueError("columns of different names")
        return value


class Denoise(Section):
    """Step 1a: which training rows are dropped. Rows for validation, holdout and prediction are
    never dropped.
    """

    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="Exact duplicates of an earlier training row."
    )
    contradictions: Literal["keep", "report", "drop"] = Field(
        "report", description="Training rows with equal features and a different target."
    )
    constants: Literal["keep", "drop"] = Field(
        "drop", description="Columns with one value in the training rows."
    )
    outliers: Annotated[Options | None, BeforeValidator(choice), plugin("denoiser")] = Field(
        None,
        description="How outliers among the training rows are found, and whether they are dropped or clipped.",
    )
    texts: TextFilters | None = Field(None, description="Texts that no language model learns from.")


class Impute(Section):
    """Step 1b: what takes the place of a missing value, per type and per column. Left out: the
    family's default.
    """

    number: Imputer | None = Field(None, description="For numbers and dates' parts.")
    category: Imputer | None = Field(None, description="For categories.")
    boolean: Imputer | None = Field(None, description="For booleans.")
    columns: dict[str, Imputer] = Field(
        default_factory=dict, description="Per column; goes before the type's."
    )
    indicator: bool = Field(
        False, description="Add a 0/1 feature for every column that has missing training values."
    )


class Feature(Section):
    """Step 1c: how columns become features. Left out: the family's default. The name of a modality
    is a key, too.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Features | None] = Field(init=False)

    number: Features | None = Field(None, description="A chain of methods for number columns.")
    category: Features | None = Field(None, description="A chain of methods for category columns.")
    boolean: Features | None = Field(None, description="A chain of methods for boolean columns.")
    date: Features | None = Field(None, description="A chain of methods for date columns.")
    columns: dict[str, Features] = Field(
        default_factory=dict, description="Per column; goes before the type's."
    )
    select: Annotated[Options | None, BeforeValidator(choice), plugin("feature")] = Field(
        None, description="A selection over all features."
    )
    reduce: Annotated[Options | None, BeforeValidator(choice), plugin("feature")] = Field(
        None, description="A reduction (pca) over all features, after the selection."
    )

    def of(self, modality: str) -> list[Options] | None:
        """What columns of a modality become; None where nothing is said."""
        return self.__pydantic_extra__.get(modality)

    def of_modalities(self) -> list[Options]:
        """All that is said of columns of modalities, and of single columns."""
        chains = (*self.__pydantic_extra__.values(), *self.columns.values())
        return [options for chain in chains for options in chain or []]

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = sorted(set(self.__pydantic_extra__) - set(MODALITY.names()))
        if unknown:
            raise ValueError(
                f"a key of this section or the name of a modality, which '{unknown[0]}' is not"
            )
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """With a key for each modality, as what may stand there has names."""
        schema = handler(core)
        own = handler.resolve_ref_schema(schema)
        form = own.pop("additionalProperties")
        keys = {
            name: {
                **form,
                "default": None,
                "description": f"A method for columns of the modality {name}.",
            }
            for name in MODALITY.names()
        }
        own.update(additionalProperties=False, properties={**own["properties"], **keys})
        return schema


class Prepare(Section):
    """Step 1: from raw columns to features. Fitted on the training rows of each fold only."""

    denoise: Denoise = Field(default_factory=Denoise)
    impute: Impute = Field(default_factory=Impute)
    features: Feature = Field(default_factory=Feature)


class Initialize(Section):
    """Step 3: the first weights of a network."""

    scheme: Annotated[Options, BeforeValidator(choice), plugin("initializer")] = Field(
        default_factory=lambda: {"name": "he_normal"}, description="How weights start."
    )
    bias: Annotated[Options, BeforeValidator(choice), plugin("initializer")] = Field(
        default_factory=lambda: {"name": "zeros"}, description="How biases start."
    )
    seed: int = Field(
        0, ge=0, description="Seed of weights, row order, folds' fits and every random choice."
    )


class Stop(Section):
    """When a network's training ends, besides after `epochs`. Best weights are restored."""

    patience: int | None = Field(
        None, ge=1, description="Epochs without improvement on rows cut from the training rows."
    )
    metric: Annotated[str, name_of("metric", "loss")] = Field(
        "loss", description="What is watched: loss, or the name of a metric."
    )
    minimum_change: float = Field(0.0, ge=0, description="Smaller changes are no improvement.")
    target: float | None = Field(
        None, description="Stop when the watched metric reaches this value."
    )
    gradient_norm: float | None = Field(
        None, gt=0, description="Stop when the gradient's Euclidean norm falls below."
    )
    validation: float = Field(
        0.1, gt=0, lt=1, description="Share of the training rows that is cut off to be watched."
    )


class Average(Section):
    """Which mean of the weights is the model: of all steps, the last ones most (ema), or of the
    last epochs' ends (swa).
    """

    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="β in (0, 1): mean ← β·mean + (1 − β)·weights after every step; β rises to it at first.",
    )
    swa: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the epochs, in [0, 1), after which the weights of each epoch's end are averaged.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.ema is None) == (self.swa is None):
            raise ValueError("one of ema and swa")
        return self


class Weighing(Section):
    """What every family is trained by, with a loop or without."""

    class_weight: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None,
        description="Of every family: how often a row of each class counts in training: {CLASS: number above 0} (left out: "
        "1), or balanced: every class the same in total. What is measured does not change.",
    )


class Train(Weighing):
    """Step 4: the loop of gradient families. `batch_size: full` is gradient descent, 1 is
    stochastic gradient descent.
    """

    optimizer: Annotated[Options, BeforeValidator(choice), plugin("optimizer")] = Field(
        default_factory=lambda: {"name": "adam"},
        description="How weights are stepped; `auto` chooses by shape, batch and task. Most take `learning_rate: auto`.",
    )
    schedule: Annotated[Options, BeforeValidator(choice), plugin("schedule")] = Field(
        default_factory=lambda: {"name": "constant"}, description="How the learning rate changes."
    )
    warm_up: float = Field(
        0.0, ge=0, lt=1, description="Share of all steps over which the learning rate rises from 0."
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["full"] = Field(
        64, description="Rows a step, at least 1; `full` takes all."
    )
    epochs: int = Field(30, ge=1, description="Passes over the training rows.")
    stop: Stop = Field(default_factory=Stop)
    clip: float | None = Field(
        None,
        gt=0,
        description="Largest Euclidean norm of a gradient, above 0: longer ones are shortened to it.",
    )
    average: Average | None = Field(
        None, description="The model is a mean of weights, not the last ones."
    )
    precision: Literal["float32", "float64", "bfloat16", "auto"] = Field(
        "float32",
        description="Arithmetic of the training; of images, texts and language models also bfloat16: of products, with "
        "float32 weights; auto: float32, or bfloat16 where the first step shows that it is faster.",
    )
    compile: Literal["auto", "on", "off"] = Field(
        "off", description="Layers of language models as programs; auto: where that repays 20 s."
    )
    spike: float | None = Field(
        None,
        gt=0,
        description="Of images and texts: a loss so many deviations above the last 50's mean takes up to 25 steps back.",
    )
    report_every: int = Field(1, ge=1, description="Epochs between two printed losses.")


class Division(Section):
    """How rows are divided to compare candidates."""

    scheme: Annotated[str, name_of("splitter", "auto")] = Field(
        "auto", description="A splitter's name; auto: stratified for classes, kfold for values."
    )
    folds: int | None = Field(
        None, ge=2, description="Number of folds K; for the schemes that have it. Default 5."
    )
    repeats: int | None = Field(None, ge=1, description="Repeats, for `repeated`.")
    share: float | None = Field(None, gt=0, lt=1, description="Validation share, for `holdout`.")
    nested: int | None = Field(
        None,
        ge=2,
        description="Outer folds of a nested cross-validation: what to expect of the choice. Left out: none.",
    )
    seed: int = Field(0, ge=0, description="Seed of the folds.")


class Evaluate(Division):
    """Step 5: which folds, which metrics, and what becomes of the scores of every family.

    `calibrate` and `threshold` are fitted on predictions of inner folds of the training rows; a
    list is a grid.
    """

    metrics: tuple[Annotated[str, name_of("metric")], ...] = Field(
        (), description="Names of metrics; the first one decides. Left out: by task."
    )
    positive: str | int | float | bool | None = Field(
        None,
        description="Of two classes the one that is looked for, by precision, recall, f1, average_precision and the "
        "threshold. Left out: the last in order.",
    )
    select: Annotated[
        Options, BeforeValidator(lambda v: choice(v, "method")), plugin("selection")
    ] = Field(
        default_factory=lambda: {"method": "exhaustive"},
        description="Who gets all folds: all candidates, or those that may still win.",
    )
    search: Search | None = Field(
        None,
        description="Candidates are proposed, from lists and ranges in `build` and `train`. Left out: all of a grid.",
    )
    ensemble: bool | None = Field(
        None,
        description="Compare the weighted mean of the candidates as one more of them. Left out: with `build: auto` and "
        "`budget.time`, of tables that are not compressed.",
    )
    bag: bool | None = Field(
        None,
        description="Serve the mean of the winner's fold models in place of one model of all rows, where it validates better. "
        "Left out: as `ensemble`.",
    )
    calibrate: CalibrationMethod | tuple[CalibrationMethod, ...] | None = Field(
        None,
        description="For classes: how scores become probabilities; for quantiles conformal: intervals that hold as many rows "
        "as they say. Left out: none; platt for an svm of `build: auto`.",
    )
    threshold: LabelMetric | float | tuple[LabelMetric | float, ...] | None = Field(
        None,
        description="For two classes: the metric of labels that the decision threshold maximizes, or the threshold as a "
        "number: above it, a row is of the positive class. Left out: none.",
    )

    def calibration(self) -> Options:
        """What the recipe says of `calibrate` and `threshold`: a value, or a list of values to try;
        {} for neither.
        """
        found = {
            key: getattr(self, key)
            for key in Calibration.model_fields
            if getattr(self, key) is not None
        }
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in found.items()
        }


class Recipe(Section):
    """What the user asked for: what (task, data, evaluate), how (prepare … compress), within what
    (budget).
    """

    version: Literal[1] = 1
    name: str = Field(
        "model",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="Lower-case letters, digits, - and _.",
    )
    task: TaskName | QuantileRegression | None = Field(
        None,
        description="Left out: inferred from the target, and said so. {regression: {quantiles: [0.1, 0.5, 0.9]}}: these "
        "quantiles of the target.",
    )
    data: Data
    prepare: Prepare = Field(default_factory=Prepare)
    build: Annotated[
        Literal["auto"] | list[Options],
        BeforeValidator(lambda v: v if v == "auto" else chain(v, "family")),
        plugin("family", "chain"),
    ] = Field("auto", description="One model, or several candidates; a list as a value is a grid.")
    initialize: Initialize = Field(default_factory=Initialize)
    train: Annotated[Options, WithJsonSchema({"x-grid": "Train"})] = Field(
        default_factory=dict,
        description="The section Train; a list as a value is a grid, also within optimizer, schedule and stop.",
    )
    evaluate: Evaluate = Field(default_factory=Evaluate)
    compress: Compress | None = Field(None, description="Left out: nothing is compressed.")
    report: Reporting = Field(default_factory=Reporting)
    budget: Budget = Field(default_factory=Budget)
    serve: Serve = Field(default_factory=Serve)

    @property
    def task_name(self) -> TaskName | None:
        """Which task it is, whatever of it is predicted."""
        return "regression" if isinstance(self.task, QuantileRegression) else self.task

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Of the target, which are predicted; () for one value."""
        asked = self.task
        return asked.regression.quantiles if isinstance(asked, QuantileRegression) else ()

    @property
    def families(self) -> list[str] | None:
        """The family of each item of `build`; None for auto."""
        if self.build == "auto":
            return None
        return [str(item["family"]) for item in self.build if isinstance(item, dict)]

    @property
    def has_portfolio(self) -> bool:
        """Whether Sixfold works through a portfolio of settings, and searches around the best."""
        return self.build == "auto" and self.budget.time is not None

    @property
    def runtime(self) -> str:
        """What answers for the bundle."""
        return self.serve.runtime or OWN_RUNTIMES.get(self.task_name or "", "onnx")
