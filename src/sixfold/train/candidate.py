"""One resolved setting of `build` × `train`: what is compared, and what is trained."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from sixfold.build.family import GradientFamily, Shared, SolverFamily
from sixfold.parts.state import State
from sixfold.recipe.schema import Calibration, Initialize, Prepare, Train
from sixfold.recipe.section import Section

APART = frozenset({"optimizer", "schedule", "warm_up"})  # keys of `train` in which networks trained as one may differ


@dataclass(frozen=True)
class Candidate(State):
    """`name` is unique among the candidates of a run ("mlp", "svm C=10"); `family` is the family's Settings."""

    name: str
    family_name: str
    family: SolverFamily | GradientFamily
    prepare: Prepare
    initialize: Initialize
    train: Train
    why: str = ""
    calibration: Calibration = field(default_factory=Calibration)

    def key(self) -> str:
        """SHA-256 of everything that the fits of this candidate depend on, besides the rows."""
        family = self.family.model_dump(mode="json") if isinstance(self.family, Section) else repr(self.family)
        parts = [
            self.family_name,
            family,
            *(s.model_dump(mode="json") for s in (self.prepare, self.initialize, self.train, self.calibration)),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def batch_key(self) -> str:
        """Equal for candidates whose fits may be one piece of work: they differ in what their solver shares (`Shared`), or
        in how the same network is stepped (`APART`).
        """
        family = self.family.model_dump(mode="json") if isinstance(self.family, Section) else {"": repr(self.family)}
        shared = self.family.shared if isinstance(self.family, Shared) else frozenset()
        apart = APART if isinstance(self.family, GradientFamily) else frozenset()
        parts = [
            self.family_name,
            {name: value for name, value in family.items() if name not in shared},
            *(s.model_dump(mode="json") for s in (self.prepare, self.initialize, self.calibration)),
            self.train.model_dump(mode="json", exclude=set(apart)),
        ]
        return json.dumps(parts, sort_keys=True)
