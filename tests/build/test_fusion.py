"""fusion: learns what only shows where columns are seen together; answers each row alone; killed or
not, the same bits.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from killed_training import KilledError, killed_at, saving
from sixfold.build.fusion import FittedFusion
from sixfold.parts.fit import FeatureGroup, Fit, Setting
from sixfold.parts.image_resize import ImageShape
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context

FUSION: Any = FAMILY.load("fusion")
NUMBERS = FeatureGroup("numbers", ("weight", "age"), 0, 2)
TOKENS = FeatureGroup("tokens", ("note",), 2, 8, tokens=8)
PIXELS = FeatureGroup("pixels", ("scan",), 8, 72, ImageShape(8, 8, 1))
LAYOUT = (NUMBERS, TOKENS, PIXELS)
SPANS = {group.kind: slice(group.start, group.stop) for group in LAYOUT}


def mixed(rows: int, seed: int = 0) -> Fit:
    """Either the second word stands in the text, or the image is bright; where `age` is above 1,
    always so.
    """
    random = np.random.default_rng(seed)
    word, bright = random.integers(0, 2, rows), random.integers(0, 2, rows)
    numbers = random.normal(size=(rows, 2))
    tokens = random.integers(3, 8, size=(rows, 6))
    tokens[np.arange(rows), random.integers(0, 4, rows)] = 1 + word
    tokens[::2, 5] = 0
    pixels = random.integers(0, 50, size=(rows, 64)) + 120 * bright[:, None]
    y = np.where(numbers[:, 1] > 1, 1, word ^ bright)
    x = np.concatenate([numbers, tokens, pixels], axis=1).astype(np.float32)
    return Fit(
        x, y, "classification", 2, seed=1, levels=(0, 0, *(8,) * 6, *(0,) * 64), layout=LAYOUT
    )


def set_up(fit: Fit, family: Any = None, **train: Any) -> Fit:
    made = family or FUSION(size="nano")
    section = Train(**{**made.train_defaults.options, "epochs": 1, **train})
    return replace(fit, setting=Setting("fusion", made, train=section))


def trained(fit: Fit, context: Context | None = None) -> FittedFusion:
    (found,) = FUSION().fit([fit], context or Context())
    assert isinstance(found, FittedFusion)
    return found


def accuracy(predicted: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    return float((predicted.argmax(axis=1) == y).mean())


def assert_same(one: FittedFusion, other: FittedFusion) -> None:
    assert one.shape == other.shape
    for name, weight in one.weights.items():
        np.testing.assert_array_equal(other.weights[name], weight)


@pytest.mark.slow
def test_it_learns_what_no_column_tells_alone() -> None:
    fit, unseen = mixed(320), mixed(400, seed=9)
    commoner = max(np.bincount(unseen.y)) / unseen.rows
    for kind, span in SPANS.items():
        alone = RandomForestClassifier(50, max_depth=4, random_state=0).fit(fit.x[:, span], fit.y)
        assert accuracy(alone.predict_proba(unseen.x[:, span]), unseen.y) < commoner + 0.05, kind
    assert accuracy(trained(set_up(fit, epochs=15)).predict(unseen.x), unseen.y) > 0.95


def test_a_row_is_answered_alike_alone_in_a_batch_and_in_any_order() -> None:
    model, x = trained(set_up(mixed(40))), mixed(70, seed=2).x
    whole = model.predict(x)
    np.testing.assert_allclose(
        np.concatenate([model.predict(x[at : at + 1]) for at in range(8)]), whole[:8], atol=1e-6
    )
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_allclose(model.predict(x[order]), whole[order], atol=1e-6)
    assert model.predict(x[:0]).shape == (0, 2)


def test_an_empty_text_is_answered() -> None:
    fit = mixed(40)
    fit.x[::5, SPANS["tokens"]] = 0
    model = trained(set_up(fit))
    found = model.predict(fit.x[::5])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)


def test_kinds_that_are_missing_have_no_encoder_and_each_column_has_its_own() -> None:
    fit = mixed(24)
    only_numbers = Fit(fit.x[:, :2], fit.y, "classification", 2)
    assert not any(
        name.startswith(("network.texts", "network.images"))
        for name in trained(set_up(only_numbers)).weights
    )
    twice = replace(
        fit,
        x=np.concatenate([fit.x[:, 2:], fit.x[:, 2:]], axis=1),
        levels=(),
        layout=tuple(
            replace(
                group,
                columns=(f"{group.columns[0]} {at}",),
                start=group.start + add,
                stop=group.stop + add,
            )
            for at, add in enumerate((-2, 68))
            for group in (TOKENS, PIXELS)
        ),
    )
    model = trained(set_up(twice))
    assert (len(model.shape.texts), len(model.shape.images), model.shape.numbers) == (2, 2, ())
    assert not any(name.startswith("network.numbers") for name in model.weights)
    whole, changed = model.predict(twice.x), twice.x.copy()
    changed[:, 70 + 6 :] = 255 - changed[:, 70 + 6 :]  # of the second image
    assert not np.allclose(model.predict(changed), whole)


def test_codes_of_categories_have_vectors_and_a_value_never_seen_adds_nothing() -> None:
    random = np.random.default_rng(0)
    codes, number = random.integers(0, 3, 240), random.normal(size=240)
    x = np.stack([codes, number], axis=1).astype(np.float32)
    model = trained(
        set_up(Fit(x, (codes == 1).astype(np.int64), "classification", 2, levels=(3, 0)), epochs=12)
    )
    assert (model.shape.codes, model.shape.levels) == ((0,), (4,))
    assert accuracy(model.predict(x), codes == 1) > 0.95
    assert not model.weights["network.numbers.table.weight"][0].any()
    assert np.isfinite(model.predict(np.array([[-1, 0.5]], dtype=np.float32))).all()


@pytest.mark.slow
def test_values_are_learned_in_their_own_scale() -> None:
    fit = mixed(200)
    y = 1e4 + 500.0 * fit.x[:, 0].astype(np.float64)
    model = trained(set_up(replace(fit, y=y, task="regression", outputs=1), epochs=15))
    assert model.output == "value"
    assert np.mean((model.predict(fit.x)[:, 0] - y) ** 2) < 0.2 * np.var(y)


def test_only_pixels_are_augmented_and_only_of_training_rows() -> None:
    fit = set_up(mixed(16), FUSION(shift=0.3, flip=True, color=0.5))
    reader = fit.setting.family.examples(fit)  # type: ignore[union-attr]
    rows = np.arange(1, 9)
    plain, y = reader.read(rows, None)
    np.testing.assert_array_equal(plain.numpy(), fit.x[rows])
    np.testing.assert_array_equal(y.numpy(), fit.y[rows])
    before = fit.x.copy()
    changed, _ = reader.read(rows, torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(changed[:, :8].numpy(), fit.x[rows, :8])
    assert not np.array_equal(changed[:, 8:].numpy(), fit.x[rows, 8:])
    np.testing.assert_array_equal(fit.x, before)


@pytest.mark.parametrize("kills", [(1,), (5, 2)])
def test_killed_and_continued_it_ends_with_the_same_bits(
    kills: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = set_up(mixed(32), FUSION(size="nano", shift=0.1, dropout=0.2), epochs=2, batch_size=8)
    whole = trained(fit)
    for kill in kills:
        with killed_at(kill, monkeypatch), pytest.raises(KilledError):
            trained(fit, saving(tmp_path))
    assert_same(trained(fit, saving(tmp_path)), whole)


def test_what_was_chosen_is_said() -> None:
    notes: list[str] = []
    fit = set_up(mixed(24), FUSION())
    trained(
        fit,
        Context(
            emit_to=lambda kind, facts: notes.append(facts["text"]) if kind == "note" else None
        ),
    )
    assert notes[0].startswith(
        "fusion: size nano (24 rows, images of 8 pixels a side); an encoder each for numbers and categories (2 features), "
        "'note', 'scan'. Training images are augmented: shift 8%"
    )


def test_a_larger_size_costs_more() -> None:
    fit = mixed(24)
    costs = [
        FUSION(size=size).cost([set_up(fit, FUSION(size=size))], 1000).fit_bytes
        for size in ("nano", "small", "auto")
    ]
    assert costs[2] == costs[0] < costs[1]
