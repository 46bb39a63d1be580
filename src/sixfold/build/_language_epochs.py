"""What is told and kept of a language model at the end of its epochs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from torch import nn

from sixfold.build._language_samples import written
from sixfold.build._language_work import student
from sixfold.parts import state
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.stored_tokens import StoredTokens
from sixfold.runs.context import Context
from sixfold.runs.saves import EPOCH

SAMPLED: Final = (
    5  # epochs after which it is asked to write, evenly spread, besides before the first
)


@dataclass(frozen=True)
class EpochObserver:
    """`stops`: ids that end an answer. `kept`: last epochs of the last training whose models are kept; `fitted` makes one
    of a network.
    """

    tokens: StoredTokens
    epochs: int
    stops: Collection[int]
    kept: int
    fitted: Callable[[nn.Module], LanguageModel]
    context: Context

    def __call__(self, module: nn.Module, epoch: int) -> None:
        """`epoch`: those that are done, 0 before the first."""
        network: Any = student(module)
        spread = np.linspace(0, self.epochs, min(self.epochs, SAMPLED) + 1).round()
        if epoch in spread:
            for prompt, text in written(network, self.tokens, self.stops):
                self.context.emit(
                    "sample", epoch=epoch, epochs=self.epochs, prompt=prompt, text=text
                )
        if "fold" not in self.context.facts:
            self._last_training(module, epoch)

    def _last_training(self, module: nn.Module, epoch: int) -> None:
        saves, count = self.context.saves, self.tokens.count
        if epoch == 0:
            told = f"{count:,} tokens in an epoch of the last training."
            self.context.emit("tokens", tokens=count, text=told)
        if saves is not None and epoch > max(0, self.epochs - self.kept):
            model = self.fitted(copy.deepcopy(module).to("cpu").eval())
            saves.keep(f"{EPOCH}{epoch}", partial(state.save, model), state.file_bytes(model))
