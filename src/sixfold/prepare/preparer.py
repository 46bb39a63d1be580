"""The preparer: from raw columns to features, per type and per column, as one fitted state.

Order: clip → impute → indicator → centering → chain of features → side by side → select → reduce.
Dates become their parts first. Columns with the same treatment are one block, so that the graph has
few nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from sixfold.core.errors import DataError, RecipeError
from sixfold.core.seeds import derive
from sixfold.parts.fit import FeatureGroup, Features, Matrix, Needs
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.modality import ModalityBlock, StoresFeatures, is_modality, modality_of
from sixfold.parts.offsets import offsets
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.sparse import SparseStack, bounds, dense, side_by_side
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray, Table, Target
from sixfold.parts.weights import taken
from sixfold.prepare.block import Block, Rules, fit_block
from sixfold.prepare.choice import SelectedFeatures
from sixfold.prepare.denoising import clean
from sixfold.prepare.documents import DocumentPreparer, fit_documents
from sixfold.prepare.encoded_block import EncodedBlock
from sixfold.prepare.interactions import InteractionPreparer, fit_interactions
from sixfold.prepare.plan import Treatment, check_columns, over_all, treatments
from sixfold.prepare.step import FittedFeatures, Training, outputs
from sixfold.recipe.schema import Prepare

BATCH_ROWS = 16_384  # rows that are held as float64 features at once
BATCH_CELLS = 1 << 24  # features of texts that are held at once, 128 MiB


class Origin(NamedTuple):
    """What a feature is called, the raw column it comes from, and how many codes it has: as
    `Preparer` keeps them apart.
    """

    name: str
    source: str
    levels: int


@dataclass(frozen=True)
class Preparer(State):
    """Raw columns `inputs` → features in `precision`. `after`: selection and reduction over all
    features.

    `feature_sources`: the raw column of each feature, '' where it is made of several.
    `feature_levels`: of a category's code how many there are, 0 for a number. `notes`: what was
    done, in sentences.
    """

    blocks: tuple[Block | ModalityBlock, ...]
    after: tuple[Any, ...]
    precision: Literal["float32", "float64"]
    inputs: tuple[str, ...]
    feature_names: tuple[str, ...]
    feature_sources: tuple[str, ...]
    feature_levels: tuple[int, ...]
    notes: tuple[str, ...]

    def transform(self, table: Table) -> Matrix:
        """[rows, features] float32 or float64."""
        result: Matrix = np.empty((table.rows, len(self.feature_names)), dtype=self.precision)
        for rows, x in self.batches(table):
            result[rows] = x
        return result

    @property
    def rows_at_once(self) -> int:
        """Rows whose features are held at once: of texts they are many."""
        return _rows_at_once(self.blocks, len(self.feature_names))

    def batches(self, table: Table, at_once: int | None = None) -> Iterator[tuple[slice, Matrix]]:
        """The same in parts: which rows, and their features. For tables whose features would fill
        the memory.
        """
        for rows, some in _batches(self.blocks, table, {}, at_once or self.rows_at_once):
            x = dense(some)
            for step in self.after:
                x = step.transform(x)
            yield rows, _as_precision(x, self.precision)

    @property
    def plain_columns(self) -> tuple[str, ...]:
        """The raw column that each feature is, in another scale perhaps; '' for what is made otherwise."""
        named = zip(self.feature_names, self.feature_sources, self.feature_levels, strict=True)
        return tuple(
            source if name == source and not levels else "" for name, source, levels in named
        )

    @property
    def categories(self) -> frozenset[str]:
        """The raw columns that enter the graph as texts."""
        with_levels = [
            block
            for block in self.blocks
            if isinstance(block, Block) and block.vocabulary is not None
        ]
        return frozenset(name for block in with_levels for name in block.columns)

    @property
    def texts(self) -> frozenset[str]:
        """The raw columns whose features the front end makes."""
        return frozenset(
            name for block in self.blocks if not isinstance(block, Block) for name in block.columns
        )

    @property
    def growing(self) -> frozenset[str]:
        """The raw columns that have more features the more rows there are."""
        growing = [
            block for block in self.blocks if isinstance(block, EncodedBlock) and block.grows
        ]
        return frozenset(name for block in growing for name in block.columns)

    @property
    def layout(self) -> tuple[FeatureGroup, ...]:
        """What the features are, in order; a selection or reduction over all of them leaves
        numbers.
        """
        if self.after:
            return (FeatureGroup("numbers", self.inputs, 0, len(self.feature_names)),)
        ends = np.cumsum([len(block.names) for block in self.blocks]).tolist()
        starts = [0, *ends[:-1]]
        return tuple(block.group(start) for block, start in zip(self.blocks, starts, strict=True))

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The raw columns → the feature matrix, [rows, features] in `precision`."""
        x = graph.concat([block.export(graph, inputs) for block in self.blocks])
        for step in self.after:
            x = step.export(graph, x)
        return x if self.precision == "float64" else graph.cast(x, TensorProto.FLOAT)


def fit(
    table: Table,
    target: Target,
    prepare: Prepare,
    needs: Needs,
    seed: int,
    groups: IntArray | None = None,
) -> tuple[Preparer | DocumentPreparer | InteractionPreparer, Features, IntArray]:
    """Fit on exactly these training rows; of any other row nothing is learned. `groups`: as in
    `Training`.

    Returns the preparer, the features [kept rows, features] of the rows that denoising kept
    (cross-fitted where a method needs it; sparse where the family takes them so, and it saves
    memory), and which rows those are, int64, sorted. Raises RecipeError (a method that does not fit
    a column, a column that is not there) and DataError (no column or no row left).
    """
    check_columns(prepare, table)
    if needs.interactions:
        return _fit_interactions(table, prepare, needs, seed)
    if needs.documents is not None:
        about = Training((), outputs(target), target.task, seed)
        return fit_documents(table, prepare, needs.documents, about)
    cleaned = clean(table, target, prepare.denoise, seed)
    kept, training = cleaned.table, _training(cleaned.rows, target, seed, groups)
    rules = Rules(training, cleaned.bounds, prepare.impute.indicator)
    blocks, own = _fit_blocks(treatments(prepare, needs, kept), kept, rules)
    origins = _origins(blocks)
    select, reduce = prepare.features.select, prepare.features.reduce
    follows = select is not None or reduce is not None  # they work on dense float64
    features, in_own_form = _fitted_features(blocks, kept, own, needs, follows)
    after = []
    for name, method in over_all(prepare.features):
        names = tuple(origin.name for origin in origins)
        step = method.fit(features, replace(training, names=names, seed=derive(seed, name)))
        chosen = isinstance(step, SelectedFeatures)
        origins = [_origin(feature, origins, chosen) for feature in step.features(names)]
        features = step.transform(features)
        after.append(step)
    used = {name for block in blocks for name in block.columns}
    inputs = tuple(name for name in kept.columns if name in used)
    notes = (
        *cleaned.notes,
        *(note for block in blocks if isinstance(block, EncodedBlock) for note in block.notes),
    )
    preparer = Preparer(
        tuple(blocks), tuple(after), needs.precision, inputs, *_apart(origins), notes
    )
    result = features if in_own_form else _as_precision(features, needs.precision)
    _check_result(result, preparer, needs)
    return preparer, result, cleaned.rows


def _training(rows: IntArray, target: Target, seed: int, groups: IntArray | None) -> Training:
    """What methods are told of the rows that denoising kept."""
    y = outputs(target.take(rows))
    near = y - offsets(y)  # methods compare with y, and add none of it back
    own_groups = None if groups is None else groups[rows]
    weights = taken(target.weights, rows)
    return Training((), near, target.task, seed, groups=own_groups, weights=weights)


def _fit_interactions(
    table: Table, prepare: Prepare, needs: Needs, seed: int
) -> tuple[InteractionPreparer, Features, IntArray]:
    """With what is known of users and items, where the family reads it: fitted on those who are in the training
    rows, each once.
    """
    found, x, rows = fit_interactions(table, prepare)
    if not needs.side_features or not table.sides:
        return found, x, rows
    own, features = needs._replace(interactions=False, side_features=False), {}
    for part, side in table.sides.items():
        places = side.places(found.trained_names(part))
        places = places[places < len(side.keys)]
        if len(places):
            known, nothing = side.table.take(places), np.zeros(len(places))
            target = Target("regression", nothing, (part,))
            features[part] = fit(known, target, prepare, own, derive(seed, part))[0]
    found = replace(found, features=features)
    return found, found.coded(table), rows


def _fit_blocks(
    planned: Sequence[Treatment], table: Table, rules: Rules
) -> tuple[list[Block | ModalityBlock], dict[int, FloatArray]]:
    """A block for each treatment, and the training rows' own features of those that are
    cross-fitted, by number.
    """
    blocks: list[Block | ModalityBlock] = []
    own: dict[int, FloatArray] = {}
    for number, treatment in enumerate(planned):
        training = replace(rules.training, seed=derive(rules.training.seed, *treatment.columns))
        if is_modality(treatment.kind):
            method = treatment.chain[0]
            blocks.append(
                modality_of(treatment.kind).block(treatment.columns[0], method, table, training)
            )
            continue
        block, crossed = fit_block(treatment, table, replace(rules, training=training))
        blocks.append(block)
        if crossed is not None:
            own[number] = crossed
    return blocks, own


def _rows_at_once(blocks: Sequence[Block | ModalityBlock], width: int) -> int:
    many = any(not isinstance(block, Block) for block in blocks)
    return min(BATCH_ROWS, max(1, BATCH_CELLS // max(1, width))) if many else BATCH_ROWS


def _fitted_features(
    blocks: Sequence[Block | ModalityBlock],
    table: Table,
    own: Mapping[int, FloatArray],
    needs: Needs,
    follows: bool,
) -> tuple[Features, bool]:
    """The features of the training rows, and whether they are in a form of their own: sparse, or
    on disk. `follows`: a step works on all of them.
    """
    only: object = blocks[0] if len(blocks) == 1 else None
    if needs.stored and isinstance(only, StoresFeatures) and not follows:
        return only.stored(table), True
    width = sum(len(block.names) for block in blocks)
    precision = "float64" if follows else needs.precision
    stack = SparseStack(table.rows, width, precision, needs.sparse and not follows)
    for rows, x in _batches(blocks, table, own, _rows_at_once(blocks, width)):
        stack.add(rows, x)
    return stack.result(), stack.sparse


def _batches(
    blocks: Sequence[Block | ModalityBlock],
    table: Table,
    own: Mapping[int, FloatArray],
    at_once: int,
) -> Iterator[tuple[slice, Features]]:
    """Every block's features side by side, sparse where one of them is; `own` takes the place of
    what a block would give.
    """
    parts = [_features_of(block, table, own.get(number)) for number, block in enumerate(blocks)]
    for start in range(0, table.rows, at_once):
        rows = slice(start, start + at_once)
        yield rows, side_by_side([part(rows) for part in parts])


def _features_of(
    block: Block | ModalityBlock, table: Table, own: FloatArray | None
) -> Callable[[slice], Features]:
    """Gives a block's features of some rows."""
    if own is not None:
        return lambda rows: own[rows]
    if not isinstance(block, Block):
        return block.reader(table)
    read, number_block = block.reader(table), block
    return lambda rows: number_block.transform(read(rows))


def _origins(blocks: Sequence[Block | ModalityBlock]) -> list[Origin]:
    """Of the features of blocks, side by side."""
    return [
        Origin(*one)
        for each in blocks
        for one in zip(each.names, each.sources, each.levels, strict=True)
    ]


def _origin(feature: FittedFeatures, origins: Sequence[Origin], chosen: bool) -> Origin:
    """Of a feature after a step over all of them; one that was `chosen` is what it was."""
    if chosen:
        return origins[feature.source]
    return Origin(
        feature.name, origins[feature.source].source if feature.source >= 0 else "", feature.levels
    )


def _apart(origins: Sequence[Origin]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    return (
        tuple(origin.name for origin in origins),
        tuple(origin.source for origin in origins),
        tuple(origin.levels for origin in origins),
    )


def _as_precision(x: Matrix, precision: str) -> Matrix:
    with np.errstate(over="ignore"):  # beyond float32: infinite here and in the graph
        return np.ascontiguousarray(x, dtype=precision)


def _check_result(x: Features, preparer: Preparer, needs: Needs) -> None:
    """Training features a family could not work with, named before it fails on them."""
    if not x.shape[1]:
        raise DataError(
            "prepare",
            "at least one feature",
            "none",
            "Look at data.drop, data.types and prepare.features.",
        )
    totals = bounds(x)
    infinite = np.isinf(totals).any(axis=0)
    if infinite.any():
        name = preparer.feature_names[int(infinite.argmax())]
        raise DataError(
            f"prepare, feature '{name}'",
            f"numbers that {preparer.precision} can hold",
            "larger ones",
            "Scale the column in the data, drop it (data.drop), or clip outliers (prepare.denoise).",
        )
    missing = np.isnan(totals).any(axis=0)
    if missing.any() and needs.impute_number is not None:
        name = preparer.feature_names[int(missing.argmax())]
        raise RecipeError(
            "prepare.impute",
            "an imputer, for a family that takes no missing values",
            f"missing values in feature '{name}'",
            f"Use {needs.impute_number}, or a family such as boosting.",
        )
