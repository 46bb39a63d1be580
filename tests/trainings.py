"""What the tests of several processes and of GPUs train: images, language models; and the losses on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sixfold.build.family import Family
from sixfold.build.language import Settings as Language
from sixfold.parts.conversation import example_of, text_of
from sixfold.parts.fit import FeatureGroup, Fit, Fitted, Setting
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.stored_tokens import StoredTokens
from sixfold.prepare.text.learned_tokens import stored_examples
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train.progress import Progress
from tiny_language import sentences, stored, tokenizer

X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32) / 16.0
OWN = tokenizer()


def images(**train: Any) -> list[Fit]:
    """With batch norms, and images that are shifted and turned at random."""
    family: Any = FAMILY.load("cnn")(size="nano")
    options = {**family.train_defaults.options, "batch_size": 64, "epochs": 2, **train}
    layout = (FeatureGroup("pixels", ("image",), 0, 64, ImageShape(8, 8, 1)),)
    setting = Setting("cnn", family, train=Train(**options))
    x = np.round(X[:150] * 255)
    return [Fit(x, Y[:150], "classification", 10, seed=5, layout=layout, setting=setting)]


def texts(**train: Any) -> list[Fit]:
    """Of unequal lengths, so that the shares of a batch have unequally many tokens to learn."""
    return [_language(stored(sentences(150), OWN), **{"batch_size": 24, **train})]


def preferences(**train: Any) -> list[Fit]:
    """Pairs of answers of unequal lengths: direct preference optimization."""
    answers = zip(sentences(26), sentences(26, seed=1, words=8), strict=True)
    rows = [{"prompt": "the old cat", "chosen": good, "rejected": bad} for good, bad in answers]
    x = stored_examples([text_of(example_of(row, "here")) for row in rows], OWN)
    assert x.rejected is not None
    return [_language(x, **{"batch_size": 8, "optimizer": "adamw", **train})]


def _language(x: StoredTokens, **train: Any) -> Fit:
    shape: dict[str, Any] = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "context": 32}
    family = Language(**shape)
    section = Train(**{**family.train_defaults.options, "epochs": 2, **train})
    setting = Setting("language", family, train=section)
    return Fit(x, np.zeros((len(x), 3)), "generation", 3, seed=3, setting=setting)


def trained(
    fits: Sequence[Fit], context: Context, patch: pytest.MonkeyPatch
) -> tuple[list[Fitted], list[np.ndarray]]:
    """The models, and the losses of every step."""
    losses: list[np.ndarray] = []
    plain = Progress.took_step

    def took_step(self: Progress, found: torch.Tensor) -> None:
        losses.append(found.double().cpu().numpy().copy())
        plain(self, found)

    family = fits[0].setting.family
    assert isinstance(family, Family)
    with patch.context() as inside:
        inside.setattr(Progress, "took_step", took_step)
        return list(family.fit(fits, context)), losses
