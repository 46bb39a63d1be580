"""What a model is for."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

TaskName: TypeAlias = Literal[
    "classification", "regression", "reconstruction", "generation", "recommendation"
]
# What answers for a task whose models are no graph of rows.
OWN_RUNTIMES: Final = {"generation": "language", "recommendation": "recommender"}
