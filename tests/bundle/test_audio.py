"""Sound files are decoded alike whatever their format; what is none, damaged, or too long is told with
its name.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from sixfold.bundle.audio import AudioLimits, decode, facts_of, leveled, recorded, trimmed
from sixfold.bundle.audio_inputs import AudioEncoder
from sixfold.core.errors import DataError, RowError
from sixfold.recipe.audio import AudioInput
from tiny_sounds import RATE, tone, wav

SOUND = tone(440, 0.5).astype(np.float32)


def encoded(form: str, subtype: str, samples: Any = SOUND, rate: int = RATE) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=form, subtype=subtype)
    return stream.getvalue()


def wanted(samples: int, rate: int = RATE, **more: Any) -> AudioInput:
    return AudioInput(name="audio_0", column="sound", rate=rate, samples=samples, **more)


@pytest.mark.parametrize(
    ("form", "subtype", "off"),
    [
        ("WAV", "PCM_U8", 1 / 128),
        ("WAV", "PCM_16", 1 / 32768),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "FLOAT", 1e-7),
        ("FLAC", "PCM_16", 1 / 32768),
        ("FLAC", "PCM_24", 1e-6),
    ],
)
def test_formats_without_loss_give_the_samples(form: str, subtype: str, off: float) -> None:
    found, rate = decode(encoded(form, subtype), "a")
    assert rate == RATE and len(found) == len(SOUND)
    assert np.abs(found - SOUND).max() <= off


@pytest.mark.parametrize(("form", "subtype"), [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_formats_with_loss_give_about_the_sound(form: str, subtype: str) -> None:
    found, rate = decode(encoded(form, subtype), "a")
    assert rate == RATE and len(found) == len(SOUND)
    assert np.corrcoef(found, SOUND)[0, 1] > 0.98


def test_channels_are_mixed_to_their_mean() -> None:
    both = np.stack([SOUND, -0.5 * SOUND], axis=1)
    found, _ = decode(encoded("WAV", "FLOAT", both), "a")
    np.testing.assert_allclose(found, 0.25 * SOUND, atol=1e-7)


def test_a_file_of_16_bits_at_the_rate_keeps_its_numbers() -> None:
    content = wav(SOUND)
    whole = np.frombuffer(content[44:], dtype="<i2")
    assert np.array_equal(recorded(content, "a", wanted(len(whole))), whole)


def test_the_middle_is_kept_and_silence_put_around() -> None:
    content = wav(SOUND)
    whole = np.frombuffer(content[44:], dtype="<i2")
    assert np.array_equal(recorded(content, "a", wanted(100)), whole[1950:2050])
    padded = recorded(content, "a", wanted(4010))
    assert np.array_equal(padded[5:-5], whole)
    assert not padded[:5].any() and not padded[-5:].any()


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100])
def test_another_rate_is_resampled(rate: int) -> None:
    found = recorded(wav(tone(440, 0.5, rate), rate), "a", wanted(4000))
    expected = soxr.resample(decode(wav(tone(440, 0.5, rate), rate), "a")[0], rate, RATE)
    assert np.abs(found - np.rint(expected[:4000] * 32768.0)).max() <= 1
    spectrum = np.abs(np.fft.rfft(found))
    assert spectrum.argmax() == 220  # 440 Hz of 4,000 samples at 8 kHz


def test_silent_ends_are_cut_and_what_is_silent_stays() -> None:
    quiet = np.zeros(800, dtype=np.float32)
    sound = np.concatenate([quiet, SOUND, quiet + 1e-4])
    assert np.array_equal(trimmed(sound, RATE, 40.0), SOUND)
    assert np.array_equal(trimmed(quiet, RATE, 40.0), quiet)


def test_a_level_is_a_mean_power() -> None:
    found = leveled(SOUND, -20.0)
    assert 10 * np.log10(np.mean(found.astype(np.float64) ** 2)) == pytest.approx(-20.0, abs=1e-3)
    assert not leveled(np.zeros(9, dtype=np.float32), -20.0).any()


def flac_that_lies() -> bytes:
    """STREAMINFO says twice as many samples as there are."""
    content = bytearray(encoded("FLAC", "PCM_16"))
    packed = int.from_bytes(content[18:26], "big")
    total = packed & ((1 << 36) - 1)
    content[18:26] = (packed - total + 2 * total).to_bytes(8, "big")
    return bytes(content)


def of_many_channels(channels: int) -> bytes:
    return encoded("WAV", "PCM_16", np.zeros((100, channels), dtype=np.float32))


BAD = {
    "empty": (b"", "expected a recording; found an empty file"),
    "text": (b"no sound at all\n", "WAV, FLAC, MP3, OGG.*found text"),
    "zip": (b"PK\x03\x04" + bytes(60), "found bytes that begin with 50 4b 03 04"),
    "no samples": (wav([]), "found one without samples"),
    "cut": (wav(SOUND)[:4000], r"a whole WAV file; found one that was cut: 3,956 of 8,000 bytes"),
    "header alone": (wav(SOUND)[:44], "one that was cut: 0 of 8,000 bytes"),
    "half a header": (wav(SOUND)[:30], "a whole WAV file; found a damaged one"),
    "flac cut": (encoded("FLAC", "PCM_16")[:2000], "whole"),
    "flac that lies": (flac_that_lies(), "whole"),
    "ogg cut": (encoded("OGG", "VORBIS")[:2500], "a whole OGG file; found one without its last"),
    "rate": (wav(SOUND, 10), "1,000 to 384,000 samples a second; found 10"),
    "channels": (of_many_channels(9), "at most 8 channels; found 9"),
    "not a number": (
        encoded("WAV", "FLOAT", np.array([0.0, np.nan, 1.0], dtype=np.float32)),
        "samples that are numbers",
    ),
    "an hour of silence": (
        encoded("FLAC", "PCM_16", np.zeros(3600 * 1000, dtype=np.int16), 1000),
        r"at most 600 s.*found 3,600 s of 1",
    ),
    "mp3 of nothing": (b"ID3" + bytes(200), "a whole MP3 file; found a damaged one"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_told_with_its_name(name: str) -> None:
    content, message = BAD[name]
    with pytest.raises(DataError, match=message) as caught:
        decode(content, "folder/a.wav")
    assert caught.value.where == "folder/a.wav"


def test_no_damage_is_anything_but_an_error_of_data() -> None:
    random = np.random.default_rng(0)
    files = [
        wav(SOUND),
        encoded("FLAC", "PCM_16"),
        encoded("OGG", "VORBIS"),
        encoded("MP3", "MPEG_LAYER_III"),
    ]
    for content in files:
        for _ in range(40):
            damaged = bytearray(content)
            for place in random.integers(0, len(damaged), 8):
                damaged[place] = random.integers(0, 256)
            try:
                decode(bytes(damaged), "a")
            except DataError:
                continue


def test_a_header_is_not_believed_about_the_length() -> None:
    with pytest.raises(DataError, match=r"recording of at most 0\.1 s"):
        decode(wav(SOUND), "a", AudioLimits(most_s=0.1))
    with pytest.raises(DataError, match=r"at most 1\.0 kB; found 8\.0 kB"):
        facts_of(wav(SOUND), "a", AudioLimits(most_bytes=1000))
    streamed = bytearray(wav(SOUND))
    struct.pack_into("<I", streamed, 40, 0xFFFFFFFF)  # as a pipe leaves it
    assert len(decode(bytes(streamed), "a")[0]) == len(SOUND)


def test_the_encoder_names_rows_and_counts_by_headers() -> None:
    encoder = AudioEncoder(wanted(100))
    assert encoder.describe() == "0.0125 s at 8,000 Hz, mono"
    assert encoder.decoded_values([wav(SOUND), of_many_channels(2)]) == 4000 + 200
    found = encoder.encode([wav(SOUND)])
    assert found.shape == (1, 100) and found.dtype == np.float64
    for ask in (encoder.encode, encoder.decoded_values):
        with pytest.raises(RowError, match="row 6, column 'sound': expected a recording"):
            ask([wav(SOUND), b""], 5)
