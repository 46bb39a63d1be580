"""Training recordings are changed as asked for, each by numbers of its own, and no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sixfold.parts.log_mel import LogMel
from sixfold.train.sound_augment import DRAWS, SoundAugment, changed_samples, masked, replayed
from sixfold.train.sound_examples import SoundExamples

NONE = {"shift": 0.0, "speed": 0.0, "time_mask": 0.0, "band_mask": 0.0}
LENGTH = 800


def waves(hertz: float = 40.0) -> torch.Tensor:
    """[2, LENGTH]: the same sine twice."""
    return torch.sin(2 * torch.pi * hertz / LENGTH * torch.arange(LENGTH)).repeat(2, 1)


def draws(**columns: float) -> torch.Tensor:
    found = torch.full((2, DRAWS), 0.5, dtype=torch.float64)
    for name, value in columns.items():
        found[0, int(name[1:])] = value
    return found


def test_a_shift_moves_and_lets_zeros_in() -> None:
    x = waves() + 2
    found = replayed(x, torch.ones(2), torch.tensor([100.0, -50.0]))
    assert torch.allclose(found[0, :-100], x[0, 100:], atol=1e-5)
    assert not found[0, -99:].any() and not found[1, :49].any()
    assert torch.allclose(found[1, 50:], x[1, :-50], atol=1e-5)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_speed_changes_the_pitch(factor: float) -> None:
    found = replayed(waves(), torch.tensor([factor, 1.0]), torch.zeros(2))
    middle = found[:, 200:600]
    crossings = ((middle[:, 1:] > 0) & (middle[:, :-1] <= 0)).sum(1)
    assert abs(int(crossings[0]) - 20 * factor) <= 1
    assert torch.allclose(found[1], waves()[1], atol=1e-5)


def test_noise_is_as_loud_as_drawn() -> None:
    settings = SoundAugment(**{**NONE, "noise": 0.5})
    x = waves()
    found = changed_samples(x, settings, draws(c2=1.0), torch.Generator().manual_seed(0)) - x
    power = float(x.pow(2).mean().sqrt())
    assert float(found[0].std()) == pytest.approx(0.5 * power, rel=0.1)
    assert float(found[1].std()) == pytest.approx(0.25 * power, rel=0.1)


def test_masks_blank_a_stretch_and_a_range() -> None:
    x = torch.rand(2, 40, 50)
    settings = SoundAugment(**{**NONE, "time_mask": 0.4})
    found = masked(x, settings, draws(c3=0.5, c4=0.0))
    mean = x.mean((1, 2))
    assert torch.allclose(found[0, :, :10], mean[0].expand(40, 10))
    assert torch.equal(found[0, :, 10:], x[0, :, 10:])
    found = masked(x, SoundAugment(**{**NONE, "band_mask": 0.5}), draws(c5=0.5, c6=0.0))
    assert torch.allclose(found[0, :10], mean[0].expand(10, 50))
    assert torch.equal(found[0, 10:], x[0, 10:])


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    x, draw = waves(), torch.Generator().manual_seed(0)
    settings = SoundAugment(**NONE)
    assert torch.equal(changed_samples(x, settings, draws(), draw), x)
    assert torch.equal(masked(x[:, None, :], settings, draws()), x[:, None, :])
    assert settings.describe() == "Training recordings are augmented: not at all."
    assert SoundAugment().describe() == (
        "Training recordings are augmented: shift 10%, speed 20%, time mask 20%, band mask 20%."
    )


def test_one_change_more_moves_no_other() -> None:
    x, some = waves(), torch.rand((2, DRAWS), dtype=torch.float64)
    first = SoundAugment(**{**NONE, "shift": 0.2})
    both = SoundAugment(**{**NONE, "shift": 0.2, "time_mask": 0.3, "band_mask": 0.3})
    one, other = (
        changed_samples(x, each, some, torch.Generator().manual_seed(0)) for each in (first, both)
    )
    assert torch.equal(one, other)


def test_rows_that_are_asked_without_draws_are_as_they_are() -> None:
    mel = LogMel.of(8_000, LENGTH, 20)
    samples = np.rint(1000 * waves().numpy()).astype(np.int16)
    reader = SoundExamples(samples, torch.tensor([0, 1]), mel)
    plain, y = reader.read(np.array([1, 0]), None)
    assert plain.shape == (2, 1, 20, mel.frames) and y.tolist() == [1, 0]
    assert torch.equal(plain[:, 0], mel.spectrograms(torch.from_numpy(samples.astype(np.float32))))
    drawn = [
        reader.read(np.array([0]), torch.Generator().manual_seed(seed))[0] for seed in (3, 3, 4)
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
