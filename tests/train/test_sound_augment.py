"""Training recordings are changed as asked for, each by numbers of its own, and no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sixfold.parts.log_mel import LogMel
from sixfold.train.sound_augment import (
    DRAWS,
    SoundAugment,
    changed_samples,
    heard_in,
    masked,
    replayed,
    room_response,
)
from sixfold.train.sound_examples import SoundExamples

NONE = {"shift": 0.0, "speed": 0.0, "time_mask": 0.0, "band_mask": 0.0}
LENGTH, RATE = 800, 8_000


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
    found = changed_samples(x, settings, RATE, draws(c2=1.0), torch.Generator().manual_seed(0)) - x
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
    assert torch.equal(changed_samples(x, settings, RATE, draws(), draw), x)
    assert torch.equal(masked(x[:, None, :], settings, draws()), x[:, None, :])
    assert settings.changes() == "Training recordings are augmented: not at all."
    assert SoundAugment(room=0.4).changes() == (
        "Training recordings are augmented: shift 10%, speed 20%, room 0.4 s, time mask 20%, band mask 20%."
    )


def test_one_change_more_moves_no_other() -> None:
    x, some = waves(), torch.rand((2, DRAWS), dtype=torch.float64)
    first = SoundAugment(**{**NONE, "shift": 0.2})
    both = SoundAugment(**{**NONE, "shift": 0.2, "time_mask": 0.3, "band_mask": 0.3})
    one, other = (changed(x, each, some) for each in (first, both))
    assert torch.equal(one, other)
    room, noise = ({**NONE, name: 0.3} for name in ("room", "noise"))
    all_of_it = changed(x, SoundAugment(**{**room, "noise": 0.3}), some)
    added = changed(x, SoundAugment(**noise), some) - x  # the power is that of x in a room, too
    echoes = changed(x, SoundAugment(**room), some)
    assert torch.allclose(all_of_it, echoes + added, atol=1e-5)


def changed(x: torch.Tensor, settings: SoundAugment, some: torch.Tensor) -> torch.Tensor:
    return changed_samples(x, settings, RATE, some, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("seconds", [0.5, 0.2])
def test_a_room_fades_as_it_was_drawn(seconds: float) -> None:
    """By the integral of what is still to come (Schroeder 1965), from 5 to 25 dB below its beginning; the mean of
    some rooms.
    """
    reflections = torch.randn((100, RATE), generator=torch.Generator().manual_seed(0))
    found = room_response(torch.full((100,), seconds), RATE, reflections).numpy()
    assert (found[:, 0] == 1).all()
    left = np.cumsum(found[:, :0:-1].astype(np.float64) ** 2, axis=1)[:, ::-1].mean(axis=0)
    decay = 10 * np.log10(left / left[0])
    places = np.flatnonzero((decay < -5) & (decay > -25))
    slope = np.polyfit(places / RATE, decay[places], 1)[0]
    assert -60 / slope == pytest.approx(seconds, rel=0.05)
    # of a room of 60 m3, half a meter away: 16 pi r2 RT60 / (0.161 V)
    assert left[0] == pytest.approx(1.3 * seconds, rel=0.05)


def test_what_is_heard_in_a_room_is_a_convolution() -> None:
    x, some = waves(), torch.rand((2, DRAWS), dtype=torch.float64)
    responses = torch.randn((2, 300), generator=torch.Generator().manual_seed(0))
    found = heard_in(responses, x)
    assert torch.allclose(found.pow(2).mean(1), x.pow(2).mean(1), rtol=1e-4)
    for row, response, sound in zip(found, responses, x, strict=True):
        expected = np.convolve(sound.numpy(), response.numpy())[:LENGTH]
        expected *= np.sqrt(np.mean(sound.numpy() ** 2) / np.mean(expected**2))
        np.testing.assert_allclose(row, expected, atol=1e-4)
    room = SoundAugment(**{**NONE, "room": 0.5})
    assert torch.equal(changed(x, room, some), changed(x, room, some))
    drawn = draws(c7=0.0)  # of the first recording no room at all
    found = changed(x, room, drawn)
    assert torch.allclose(found[0], x[0], atol=1e-5) and not torch.allclose(found[1], x[1])
    assert not heard_in(responses, torch.zeros(2, LENGTH)).any()


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
