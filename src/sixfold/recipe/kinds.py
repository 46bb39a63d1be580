"""The kinds of plug-ins and the folder that lists each: the one place to look when adding a
kind.
"""

from __future__ import annotations

from typing import Final

from sixfold.core.plugins import Kind

SOURCE: Final = Kind("source", "data/sources")
MODALITY: Final = Kind("modality", "prepare/modalities")
DENOISER: Final = Kind("denoiser", "prepare/denoise")
IMPUTER: Final = Kind("imputer", "prepare/impute")
FEATURE: Final = Kind("feature", "prepare/features")
FAMILY: Final = Kind(
    "family",
    "build",
    frozenset({"family", "network", "module_family", "candidate", "auto", "grid", "apart"}),
)
INITIALIZER: Final = Kind("initializer", "initialize", frozenset({"check"}))
OPTIMIZER: Final = Kind("optimizer", "train/optimizers", choosers=frozenset({"auto"}))
SCHEDULE: Final = Kind("schedule", "train/schedules")
SPLITTER: Final = Kind("splitter", "evaluate/splitters")
METRIC: Final = Kind("metric", "evaluate/metrics")
SELECTION: Final = Kind("selection", "select/selection")
PRUNER: Final = Kind("pruner", "compress/pruners")
RUNTIME: Final = Kind("runtime", "bundle/runtimes")

# What a recipe may name.
KINDS: Final = {
    kind.name: kind
    for kind in (
        SOURCE,
        MODALITY,
        DENOISER,
        IMPUTER,
        FEATURE,
        FAMILY,
        INITIALIZER,
        OPTIMIZER,
        SCHEDULE,
        SPLITTER,
        METRIC,
        SELECTION,
        PRUNER,
        RUNTIME,
    )
}

# The serving half of the modality of its name; a recipe names the modality.
READER: Final = Kind("reader", "bundle/readers")

# Columns of these kinds enter the graph as they are, an identifier never; every other kind is the
# name of a modality.
PLAIN_KINDS: Final = ("number", "category", "boolean", "date")
IDENTIFIER: Final = "identifier"
