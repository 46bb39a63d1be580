"""Recordings of a report: short, of bounded size, and none where a file cannot be read."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tiny_sounds
from sixfold.package import data_uris, players
from sixfold.package.players import player
from sixfold.parts.table import Column, Table
from sixfold.recipe.report import ExampleList, ShownExample, ShownValue

PREFIX = "data:audio/mpeg;base64,"


def heard(uri: str) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], int]:
    content = base64.b64decode(uri.removeprefix(PREFIX), validate=True)
    samples, rate = soundfile.read(io.BytesIO(content))
    return samples, rate


@pytest.mark.parametrize(("rate", "heard_at"), [(8_000, 8_000), (44_100, 16_000), (22_050, 16_000)])
def test_a_player_plays_the_sound(rate: int, heard_at: int) -> None:
    samples, found = heard(player(tiny_sounds.wav(tiny_sounds.tone(440, 1.0, rate), rate), "a"))
    assert found == heard_at and len(samples) == pytest.approx(heard_at, rel=0.1)
    assert np.abs(np.fft.rfft(samples)).argmax() * heard_at / len(samples) == pytest.approx(
        440, abs=2
    )


def test_of_a_long_recording_the_middle_is_played() -> None:
    samples, rate = heard(player(tiny_sounds.wav(tiny_sounds.tone(440, 9.0)), "a"))
    assert len(samples) / rate == pytest.approx(players.LONGEST_S, rel=0.05)


def shown(rows: int) -> ExampleList:
    value = (ShownValue(column="sound", type="audio", text="a.wav"),)
    examples = tuple(
        ShownExample(row=row, truth="a", predicted="b", values=value) for row in range(rows)
    )
    return ExampleList(kind="wrong", rows=rows, examples=examples)


def test_together_they_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = tiny_sounds.draw(tmp_path, 6)
    paths[1].write_bytes(b"a text")
    table = Table(
        {"sound": Column("audio", np.arange(6, dtype=np.int32), tuple(map(str, paths)))}, 6
    )
    found = players.players(table, [shown(6)])
    assert sorted(found) == [(row, "sound") for row in (0, 2, 3, 4, 5)]
    assert all(uri.startswith(PREFIX) for uri in found.values())
    monkeypatch.setattr(data_uris, "MOST_BYTES", len(found[0, "sound"]) + len(found[2, "sound"]))
    assert sorted(players.players(table, [shown(6)])) == [(0, "sound"), (2, "sound")]
