"""Recordings on disk: survey, cache, views; what cannot be used is told or skipped; a header that says
too much costs nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sixfold.bundle.audio import recorded
from sixfold.core.errors import BudgetError, DataError
from sixfold.parts import sound_column
from sixfold.parts.decoded_rows import describe_faults, fill
from sixfold.parts.sound_store import SoundDecoder, StoredSamples, survey
from sixfold.parts.state import State
from sixfold.parts.stored_fit import SamplesPlace
from sixfold.parts.table import Column
from sixfold.recipe.audio import AudioInput
from tiny_sounds import tone, wav


def wanted(samples: int = 800, rate: int = 8_000) -> AudioInput:
    return AudioInput(name="audio_0", column="", rate=rate, samples=samples)


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    for number in range(5):
        (tmp_path / f"{number}.wav").write_bytes(wav(tone(300 + 100 * number, 0.1)))
    return sorted(map(str, tmp_path.glob("*.wav")))


def test_the_cache_holds_what_decoding_gives(names: list[str], tmp_path: Path) -> None:
    cache, faults = fill(names, SoundDecoder(wanted()), tmp_path / "cache")
    expected = [recorded(Path(name).read_bytes(), name, wanted()) for name in names]
    assert not faults
    assert np.array_equal(cache.read(np.arange(5)), np.stack(expected))
    assert (tmp_path / "cache").stat().st_size == 5 * 800 * 2


def test_views_read_their_own_rows(names: list[str], tmp_path: Path) -> None:
    cache, _ = fill(names, SoundDecoder(wanted()), tmp_path / "cache")
    stored = StoredSamples(cache).take(np.array([4, 2, 0]))
    assert stored.shape == (3, 800) and len(stored) == 3
    assert np.array_equal(stored[np.array([2, 0])], cache.read(np.array([0, 4])))
    assert np.array_equal(stored[1:], cache.read(np.array([2, 0])))
    again = SamplesPlace.of(stored).opened()
    assert np.array_equal(again[:], stored[:]) and isinstance(SamplesPlace.of(stored), State)


def test_rate_and_length_are_those_of_most(tmp_path: Path) -> None:
    for number in range(40):
        rate = 44_100 if number < 5 else 8_000
        seconds = 3.0 if number == 0 else 0.3
        (tmp_path / f"{number}.wav").write_bytes(wav(tone(300, seconds, rate), rate))
    rate, seconds, why = survey(sorted(map(str, tmp_path.glob("*.wav"))))
    assert (rate, seconds) == (8_000, 0.5)
    assert why.startswith("Recordings become 0.5 s at 8,000 Hz, mono: 95% are at most 0.30 s long")


def test_what_cannot_be_used_is_told_or_counted(names: list[str], tmp_path: Path) -> None:
    Path(names[1]).write_bytes(b"a text")
    Path(names[3]).unlink()
    cache, faults = fill(names, SoundDecoder(wanted()), tmp_path / "cache")
    assert [fault.row for fault in faults] == [1, 3] and len(cache) == 3
    told = describe_faults(faults, 5, "recording")
    assert told.startswith("2 of 5 recordings cannot be used and are skipped (")
    assert f"{names[1]}: text" in told and names[3] in told
    column = Column("audio", np.arange(5, dtype=np.int32), tuple(names))
    assert [fault.row for fault in sound_column.unusable(column, wanted())] == [1, 3]
    with pytest.raises(DataError, match=r"1\.wav.*others, too: .*3\.wav.*unreadable: skip"):
        sound_column.decoded(column, wanted())
    good = sound_column.decoded(column.take(np.array([0, 2, 4])), wanted())
    assert np.array_equal(good.read(np.arange(3)), cache.read(np.arange(3)))


def test_a_file_that_changes_is_decoded_again(names: list[str]) -> None:
    column = Column("audio", np.arange(5, dtype=np.int32), tuple(names))
    before = sound_column.decoded(column, wanted(400)).read(np.array([0]))
    Path(names[0]).write_bytes(wav(tone(2000, 0.11)))
    fresh = Column("audio", np.arange(4, dtype=np.int32), tuple(names[:4]))
    after = sound_column.decoded(fresh, wanted(400)).read(np.array([0]))
    assert not np.array_equal(before, after)


def test_the_disk_is_asked_first(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"room for 5 recordings of 0\.1 s at 8,000 Hz, mono"):
        fill(names, SoundDecoder(wanted()), tmp_path / "cache", 5 * 800 * 2 - 1)
    with pytest.raises(DataError, match="nothing"):
        fill([str(tmp_path / "nothing.wav")], SoundDecoder(wanted()), tmp_path / "cache")
