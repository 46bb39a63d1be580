"""What all stages of a run share: the recipe and its folder, the rows, the plan; and what a stage
depends on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sixfold.build.candidate import Candidate
from sixfold.evaluate.fold import Fold
from sixfold.parts import state
from sixfold.parts.modality import is_modality, modality_of
from sixfold.parts.state import State
from sixfold.parts.table import Dataset, FloatArray, Table
from sixfold.recipe.load import Loaded
from sixfold.recipe.section import Section
from sixfold.recipe.strategy import Strategy
from sixfold.runs.budget import Limits
from sixfold.runs.context import Context
from sixfold.runs.folder import RunFolder, code_digest
from sixfold.runs.memory import MemoryGuard

# Stages that nothing reads once there is a winner: they go first where the disk is short.
SPARE = ("evaluate-*", "nested-*")


@dataclass(frozen=True)
class RunContext:
    """What every stage of one run shares. `inside`: of an outer fold's run, where its stages are
    kept until it is done. `guard`: of the memory that is held. `workers`: stages that are done side
    by side, of which `sharing` share this machine's memory.
    """

    loaded: Loaded
    folder: RunFolder
    limits: Limits
    context: Context
    inside: str = ""
    guard: MemoryGuard = field(default_factory=lambda: MemoryGuard(None))
    workers: int = 1
    sharing: int = 1


@dataclass(frozen=True)
class DataSplit:
    """Step 0: everything that was read, split into rows for training and rows held out."""

    training: Dataset
    held_out: Dataset
    digest: str


@dataclass(frozen=True)
class Plan:
    """What will be compared: candidates × folds, scored by metrics of which the first one
    decides. `strategy`: that of candidates that a search proposes; None: as the recipe says.
    `memory`: candidate → bytes of a process that trains it, as planned.
    """

    candidates: tuple[Candidate, ...]
    folds: tuple[Fold, ...]
    metrics: tuple[str, ...]
    baseline: dict[str, FloatArray]
    strategy: Strategy | None = None
    memory: Mapping[str, int] = field(default_factory=dict)

    def needs_bytes(self, candidates: Sequence[Candidate]) -> int | None:
        """Of those that are trained as one; of one that a search proposes the most of its space."""
        most = max(self.memory.values(), default=None)
        known = [self.memory[one.name] for one in candidates if one.name in self.memory]
        return max(known, default=most)


def store(run: RunContext, found: State, folder: Path, spare: Sequence[str] = ()) -> None:
    """Save a stage's result into its folder, if there is room for it. `spare`: stages that may go
    for it. Raises BudgetError.
    """
    size = 0 if run.folder.disk.most is None else state.file_bytes(found)
    run.folder.disk.room(size, spare, keep=(folder,))
    state.save(found, folder)


def digest(dataset: Dataset) -> str:
    """SHA-256 of every value of a dataset: the same rows read from another kind of file give the
    same digest.
    """
    sha = hashlib.sha256()
    _add_columns(sha, dataset.table)
    for name, side in dataset.table.sides.items():
        sha.update(json.dumps([name, side.keys]).encode())
        _add_columns(sha, side.table)
    target = dataset.target
    told: list[object] = [target.task, target.names, target.classes, target.class_type]
    told += [target.quantiles] if target.quantiles else []
    sha.update(json.dumps(told).encode())
    sha.update(np.ascontiguousarray(dataset.target.values).data)
    # Groups and times decide which rows a fold holds, weights how often each counts.
    for order in (dataset.groups, dataset.times, target.weights):
        if order is not None:
            sha.update(np.ascontiguousarray(order).data)
    return sha.hexdigest()


def _add_columns(sha: hashlib._Hash, table: Table) -> None:
    for name, column in table.columns.items():
        sha.update(
            json.dumps([name, column.kind, column.levels_in_digest, column.level_type]).encode()
        )
        sha.update(np.ascontiguousarray(column.values).data)
        if is_modality(column.kind):  # what its files hold now
            for content in modality_of(column.kind).contents(column):
                sha.update(hashlib.sha256(content).digest())


def joint_digest(training: Dataset, held_out: Dataset) -> str:
    """The same for two files: one to train on, one to hold out."""
    return hashlib.sha256(f"{digest(training)}\n{digest(held_out)}".encode()).hexdigest()


def stage_key(run: RunContext, data: DataSplit, candidate: str, *sections: Section) -> str:
    """What a stage depends on: the rows, their split, the folds, the candidate, sections of the
    recipe, where and in how many processes networks train, and the code.

    Not on `evaluate.nested`: nested cross-validation moves no candidate and no model.
    """
    recipe = run.loaded.recipe
    parts = [recipe.data, recipe.evaluate.model_copy(update={"nested": None}), *sections]
    ranks = recipe.budget.data_parallel  # another number of them gives other last bits
    facts = (str(run.context.seed), run.context.device, *([f"{ranks} ranks"] if ranks > 1 else []))
    texts = [
        code_digest(),
        data.digest,
        candidate,
        *facts,
        *(part.model_dump_json() for part in parts),
    ]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
