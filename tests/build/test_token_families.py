"""Families over tokens: killed and continued they end with the same bits, and padding changes
nothing of a trained one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from killed_training import KilledError, killed_at, saving
from sixfold.build._token_network import TokenNetwork, trimmed
from sixfold.core.errors import FitError
from sixfold.parts.fit import FeatureGroup, Fit, Fitted, Setting
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context

FAMILIES = ["text_cnn", "text_encoder"]
LENGTH = 16


def fit_of(name: str, rows: int = 40, **options: Any) -> Fit:
    rng = np.random.default_rng(0)
    x = rng.integers(3, 30, size=(rows, LENGTH))
    x[:, 10:] = 0
    y = np.arange(rows) % 2
    x[y == 1, 4] = 1
    train = Train(
        **{
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "epochs": 2,
            "batch_size": 16,
            **options,
        }
    )
    setting = Setting(name, FAMILY.load(name)(size="nano"), train=train)
    layout = (FeatureGroup("tokens", ("text",), 0, LENGTH, tokens=30),)
    return Fit(x.astype(np.float32), y, "classification", 2, seed=5, layout=layout, setting=setting)


def weights(found: Sequence[Fitted]) -> dict[str, Any]:
    (one,) = found
    assert isinstance(one, TokenNetwork)
    return one.weights


@pytest.mark.parametrize("name", FAMILIES)
def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = FAMILY.load(name)()
    whole = weights(list(family.fit([fit_of(name)], Context())))
    with killed_at(4, monkeypatch) as steps:
        with pytest.raises(KilledError):
            list(family.fit([fit_of(name)], saving(tmp_path)))
        again = weights(list(family.fit([fit_of(name)], saving(tmp_path))))
    assert next(steps) < 8  # it went on, and did not begin anew
    for key, value in whole.items():
        np.testing.assert_array_equal(again[key], value)


@pytest.mark.parametrize("name", FAMILIES)
def test_padding_and_neighbors_change_no_answer_of_a_trained_network(name: str) -> None:
    fit = fit_of(name)
    (fitted,) = FAMILY.load(name)().fit([fit], Context())
    together = fitted.predict(np.asarray(fit.x))
    for row in (0, 1, 39):
        np.testing.assert_allclose(
            fitted.predict(fit.x[row : row + 1])[0], together[row], atol=1e-6
        )
        np.testing.assert_allclose(
            fitted.predict(fit.x[row : row + 1, :10])[0], together[row], atol=1e-6
        )
    longer = np.concatenate([np.asarray(fit.x), np.full((40, LENGTH), 7, dtype=np.float32)])[
        :, :LENGTH
    ]
    np.testing.assert_allclose(fitted.predict(longer)[:40], together, atol=1e-6)
    assert weights([fitted])["network.vectors.weight"][0].any() == np.False_


def test_what_all_rows_of_a_batch_pad_is_not_read() -> None:
    x = np.zeros((3, 40), dtype=np.float32)
    assert trimmed(x).shape == (3, 8)
    x[1, 8] = 1
    assert trimmed(x).shape == (3, 16)
    assert trimmed(x).dtype == np.int64
    assert trimmed(x[:, :10]).shape == (3, 10)


@pytest.mark.parametrize("name", FAMILIES)
def test_other_features_are_refused(name: str) -> None:
    fit = fit_of(name)
    other = Fit(fit.x, fit.y, "classification", 2, setting=fit.setting)
    with pytest.raises(
        FitError, match="expected the tokens of one column of text, and nothing else"
    ):
        list(FAMILY.load(name)().fit([other], Context()))
