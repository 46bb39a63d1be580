"""One resolved setting of `build` × `train`: what is compared, and what is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sixfold.build.family import Family
from sixfold.parts.fit import Fit, Setting, Watch
from sixfold.parts.state import State
from sixfold.prepare.plan import folder_digests
from sixfold.recipe.calibration import Calibration
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.recipe.strategy import PLAIN, Strategy


@dataclass(frozen=True)
class Candidate(State):
    """`name` is unique among the candidates of a run ("mlp", "svm C=10"); `family` is the family's
    Settings.
    """

    name: str
    family_name: str
    family: Family
    prepare: Prepare
    initialize: Initialize
    train: Train
    why: str = ""
    calibration: Calibration = field(default_factory=Calibration)
    strategy: Strategy = PLAIN

    def key(self) -> str:
        """SHA-256 of everything that the fits of this candidate depend on, besides the rows. Raises
        DataError for a folder of the recipe's that is not there.
        """
        parts = [
            self.family_name,
            *(
                s.model_dump(mode="json")
                for s in (self.family, self.prepare, self.initialize, self.train, self.calibration)
            ),
            *folder_digests(self.prepare.features),
            *filter(None, [self.family.content_digest()]),
            *self._strategy_key(),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _strategy_key(self) -> list[str]:
        """Sums of other parts differ in their last digits."""
        plain = self.strategy.model_copy(update={"adapt": False})
        return [] if plain == PLAIN else [plain.model_dump_json()]

    def batch_key(self) -> str:
        """Equal for candidates whose fits may be one piece of work: they differ in what their
        family shares, or in how the same network is stepped (`Family.shared`, `Family.apart`).
        """
        parts = [
            self.family_name,
            self.family.model_dump(mode="json", exclude=set(self.family.shared)),
            *(s.model_dump(mode="json") for s in (self.prepare, self.initialize, self.calibration)),
            self.train.model_dump(mode="json", exclude=set(self.family.apart)),
        ]
        return json.dumps(parts, sort_keys=True)

    def under(self, strategy: Strategy) -> Candidate:
        """Trained with a strategy. Where that changes what is learned, by the family's rate for it if the recipe names
        no other; batches and epochs stay.
        """
        family = self.family.under(strategy)
        before, after = (
            one.train_defaults.options.get("optimizer") for one in (self.family, family)
        )
        train = self.train
        if after is not None and self.train.optimizer == before:
            train = train.model_copy(update={"optimizer": after})
        return replace(self, family=family, train=train, strategy=strategy)

    def setting(self, watch: Watch | None = None) -> Setting:
        """What its fits carry."""
        return Setting(self.name, self.family, self.initialize, self.train, watch, self.strategy)


def fits_of(
    candidates: Sequence[Candidate], fits: Sequence[Fit], watch: Watch | None = None
) -> list[Fit]:
    """Every fit by every candidate, fit by fit: what `Family.fit` of the first candidate takes.
    They are alike (`batch_key`).

    Events of a fit say who it is: its number, where nothing else is known of one of several, and
    the candidate's name where there are several. `watch`: the metric that `train.stop.metric`
    names, where that is not `loss`.
    """
    settings = [candidate.setting(watch) for candidate in candidates]
    found = []
    for number, fit in enumerate(fits):
        facts = {"fit": number} if len(fits) > 1 and not fit.facts else fit.facts
        for setting in settings:
            own = {**facts, "candidate": setting.name} if len(candidates) > 1 else facts
            found.append(replace(fit, setting=setting, facts=own))
    return found


def by_device(candidates: Sequence[Candidate]) -> tuple[list[str], list[str]]:
    """Names of the candidates that a GPU can train, and of those that the processor trains
    always.
    """
    by_loop = [one.name for one in candidates if one.family.trained_by_the_loop]
    return by_loop, [one.name for one in candidates if one.name not in by_loop]
