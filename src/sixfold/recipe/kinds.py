"""The kinds of plug-ins and the folder that lists each: the one place to look when adding a kind."""

from __future__ import annotations

from typing import Final

from sixfold.core.plugins import Kind

SOURCE: Final = Kind("source", "data/sources")
DENOISER: Final = Kind("denoiser", "prepare/denoise")
IMPUTER: Final = Kind("imputer", "prepare/impute")
FEATURE: Final = Kind("feature", "prepare/features")
FAMILY: Final = Kind("family", "build", frozenset({"family", "network", "module_family", "candidate", "auto", "grid"}))
INITIALIZER: Final = Kind("initializer", "initialize", frozenset({"check"}))
OPTIMIZER: Final = Kind("optimizer", "train/optimizers", choosers=frozenset({"auto"}))
SCHEDULE: Final = Kind("schedule", "train/schedules")
SPLITTER: Final = Kind("splitter", "evaluate/splitters")
METRIC: Final = Kind("metric", "evaluate/metrics")
SELECTION: Final = Kind("selection", "select/selection")
PRUNER: Final = Kind("pruner", "compress/pruners")

KINDS: Final = {
    kind.name: kind
    for kind in (
        SOURCE,
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
    )
}
