"""Steady noise gets weaker and sounds stay; what tells nothing of its noise is not touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sixfold.bundle import noise
from sixfold.bundle.audio import recorded, start_s
from sixfold.bundle.noise import noise_reduced
from sixfold.data.sources.sounds import sung
from sixfold.recipe.audio import AudioInput
from tiny_sounds import RATE, wav

TEXTS = ("ace bad", "dead ebb cab", "a bed", "bead")


def decibels(power: Any) -> float:
    return float(10 * np.log10(power))


def hiss(count: int, seed: int = 0, power: float = 1e-3) -> Any:
    return np.random.default_rng(seed).normal(0, np.sqrt(power), count)


def ratio(found: Any, clean: Any) -> float:
    """dB of the sound over all that is not the sound, however loud it is."""
    scaled = clean * (found @ clean) / (clean @ clean)
    return decibels((scaled @ scaled) / ((found - scaled) @ (found - scaled)))


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_tones_in_noise_stand_out_more(number: int) -> None:
    """Of a noisy made set every recording gains."""
    clean = 0.8 * sung(TEXTS[number], number)
    power = float(np.mean(clean**2)) / 10  # 10 dB below the tones
    noisy = clean + hiss(len(clean), number, power)
    found = noise_reduced(noisy.astype(np.float32), RATE, 20.0)
    assert found.dtype == np.float32 and len(found) == len(clean)
    assert ratio(found, clean) > ratio(noisy, clean) + 5


def test_noise_alone_is_weaker_by_what_was_asked_for() -> None:
    noisy = hiss(4 * RATE).astype(np.float32)
    for most in (6.0, 12.0):
        found = noise_reduced(noisy, RATE, most)
        assert decibels(np.mean(noisy**2) / np.mean(found**2)) == pytest.approx(most, abs=0.7)


def test_windows_add_up_to_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken away at 0 dB; how many windows are made at once moves no bit."""
    for count in (3 * RATE, 3 * RATE + 17):
        noisy = hiss(count).astype(np.float32)
        np.testing.assert_allclose(noise_reduced(noisy, RATE, 0.0), noisy, atol=1e-6)
    found = noise_reduced(noisy, RATE, 12.0)
    monkeypatch.setattr(noise, "AT_ONCE", 7)
    np.testing.assert_allclose(noise_reduced(noisy, RATE, 12.0), found, atol=1e-7)


def test_a_clean_recording_stays_about_what_it_is() -> None:
    clean = 0.8 * sung("dead ebb cab", 5)
    assert ratio(noise_reduced(clean.astype(np.float32), RATE, 12.0), clean) > 20


@pytest.mark.parametrize("count", [0, 1, 200, 12 * 128])
def test_what_is_short_stays(count: int) -> None:
    short = hiss(count).astype(np.float32)
    assert np.array_equal(noise_reduced(short, RATE, 12.0), short)


def test_silence_is_no_noise() -> None:
    """Of a recording with zeros around it the noise is that of its own quiet parts."""
    silence = np.zeros(2 * RATE, dtype=np.float32)
    assert np.array_equal(noise_reduced(silence, RATE, 12.0), silence)
    noisy = hiss(2 * RATE).astype(np.float32)
    found = noise_reduced(np.concatenate([silence, noisy, silence]), RATE, 12.0)
    middle = found[2 * RATE : -2 * RATE]
    assert decibels(np.mean(noisy**2) / np.mean(middle**2)) == pytest.approx(12.0, abs=1.0)


def test_ends_are_cut_behind_it() -> None:
    """What is silent once the noise is gone, and where the first sample of the rest is."""
    clean = np.concatenate([np.zeros(RATE), 0.5 * sung("bead", 1), np.zeros(RATE // 4)])
    content = wav(clean + hiss(len(clean), power=2e-4))
    form = AudioInput(
        name="audio_0", column="sound", rate=RATE, samples=RATE, trim=30.0, noise_reduction=20.0
    )
    plain = form.model_copy(update={"noise_reduction": 0.0})
    assert start_s(content, "a", form) > start_s(content, "a", plain)
    assert not np.array_equal(recorded(content, "a", form), recorded(content, "a", plain))
