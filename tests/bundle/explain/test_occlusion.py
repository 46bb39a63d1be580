"""What answers depend on, of bundles whose graphs are written by hand: every change is known."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
import bright_images
import loud_recordings
import tiny_bundle

import tiny_sounds
from sixfold.bundle.audio import recorded
from sixfold.bundle.explain.explainer import ExplainEffort
from sixfold.bundle.explain.faithfulness import JudgedRow, of_one
from sixfold.bundle.explain.occlusion import not_occluded, occluded
from sixfold.bundle.explain.told import explanations, faithfulness_of, is_explained
from sixfold.bundle.load import Bundle, load
from sixfold.bundle.spectrum_pieces import SpectrumPieces
from sixfold.core.errors import RowError

PIXELS = np.arange(0, 256, 16).reshape(4, 4)


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(bright_images.make(tmp_path_factory.mktemp("occlusion") / "bright"))


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(loud_recordings.make(tmp_path_factory.mktemp("occlusion") / "loud"))


def shot(note: str = "a night, late") -> dict[str, Any]:
    stream = io.BytesIO()
    Image.fromarray(PIXELS.astype(np.uint8)).save(stream, "PNG")
    return {"photo": stream.getvalue(), "weight": 3.0, "note": note}


def sound() -> bytes:
    """Half of it is loud."""
    tone = tiny_sounds.tone(440, 0.1, 8_000)
    return tiny_sounds.wav(np.concatenate([0.1 * tone[:400], tone[400:]]), 8_000)


def test_every_piece_is_told_by_what_it_changes(bright: Bundle) -> None:
    assert not_occluded(bright.explainer) == ""
    assert not bright.explainer.is_possible  # an image is no column of others
    found = explanations(bright.explainer, [shot()], output="bright")
    (record,) = found.records
    gray = PIXELS.mean()
    whole = bright_images.probability(gray, 3.0, 1)
    assert record["prediction"] == pytest.approx(whole, abs=1e-9)
    nothing = bright_images.probability(round(gray), 1.0, 0)
    assert record["base"] == pytest.approx(nothing, abs=1e-9)
    pieces = record["pieces"]
    assert list(pieces) == ["photo", "note", "weight"]
    words = {each["text"].strip(): each["change"] for each in pieces["note"]["words"]}
    assert list(words) == ["a", "night,", "late"]
    assert words["a"] == words["late"] == 0.0
    without = bright_images.probability(gray, 3.0, 0)
    assert words["night,"] == pytest.approx(whole - without, abs=1e-9)
    usual = bright_images.probability(gray, 1.0, 1)
    assert pieces["weight"]["change"] == pytest.approx(whole - usual, abs=1e-9)
    patches = np.array(pieces["photo"]["changes"])[::2, ::2]  # 4 pixels of 8 patches a side
    expected = [
        [
            whole - bright_images.probability(gray + (round(gray) - value) / 16, 3.0, 1)
            for value in row
        ]
        for row in PIXELS.tolist()
    ]
    np.testing.assert_allclose(patches, expected, atol=1e-9)
    assert found.asked == 64 + 3 + 1 + 2
    assert found.predictions.records() == bright.predict([shot()]).records()


def test_windows_of_a_recording(loud: Bundle) -> None:
    content = sound()
    (record,) = explanations(loud.explainer, [{"sound": content}], output="loud").records
    told = record["pieces"]["sound"]
    assert len(told["changes"]) == 20
    assert told["to"] == pytest.approx(0.1, abs=1e-3)
    samples = recorded(content, "a", loud_recordings.WANTED)
    whole = loud_recordings.probability(content)
    assert record["contributions"] == {"sound": record["prediction"] - record["base"]}
    power = 400 * np.mean((samples / 32768.0) ** 2)
    own = 400 * np.sum((samples[-40:] / 32768.0) ** 2) / len(samples)
    without = 1 / (1 + np.exp(-(power - own - 4)))
    assert told["changes"][-1] == pytest.approx(whole - without, abs=2e-3)
    assert max(told["changes"][:10]) < min(told["changes"][10:])


def test_order_of_pieces_is_better_than_chance(bright: Bundle, loud: Bundle) -> None:
    for bundle, row, what in (
        (bright, shot(), "words and patches"),
        (loud, {"sound": sound()}, "windows of time"),
    ):
        told = faithfulness_of(bundle.explainer, [row])
        assert told.what == what
        area = told.found.areas()
        assert area["deletion"] > area["random_deletion"]
        assert area["insertion"] < area["random_insertion"]
        assert f"taking {what} away" in told.sentence()


def test_each_explanation_is_judged_against_random_orders(bright: Bundle, loud: Bundle) -> None:
    """Of the model of texts and images one word counts, of the one of recordings the loud half."""
    gray = {
        "photo": bright_images.photo(120),
        "weight": 1.0,
        "note": "late on a cold night by the sea",
    }
    for bundle, row, method in (
        (bright, gray, "auto"),
        (bright, shot(), "auto"),
        (loud, {"sound": sound()}, "auto"),
        (loud, {"sound": chirp()}, "bands"),
    ):
        (record,) = explanations(bundle.explainer, [row], method).records
        area = record["faithfulness"]
        assert set(area) == {"deletion", "insertion", "random_deletion", "random_insertion"}
        assert area["deletion"] > area["random_deletion"] + 0.1
        assert area["insertion"] < area["random_insertion"] - 0.1
        again = explanations(bundle.explainer, [row], method).records
        assert again == [record]  # the random orders are seeded


def test_an_explanation_that_cannot_be_judged_is_not(bright: Bundle) -> None:
    found = occluded(bright.explainer, [shot()], plain=False)
    judged = JudgedRow(found.rows[0], found.changes[0][:, 0], 0)
    assert "faithfulness" in of_one(judged, 60.0)
    assert of_one(judged, 0.0) == {}  # it would take longer
    flat = occluded(bright.explainer, [{**shot(""), "photo": bright_images.photo(90)}], plain=False)
    assert of_one(JudgedRow(flat.rows[0], flat.changes[0][:, 0], 0), 60.0) == {}  # nothing moves it


def chirp() -> bytes:
    """A low tone that is quiet, then a high one that is loud."""
    low, high = (tiny_sounds.tone(hz, 0.05, 8_000) for hz in (200, 2_500))
    return tiny_sounds.wav(np.concatenate([0.1 * low, high]), 8_000)


def test_bands_of_frequency_in_windows_of_time(loud: Bundle, bright: Bundle) -> None:
    (record,) = explanations(loud.explainer, [{"sound": chirp()}], "bands", output="loud").records
    told = record["pieces"]["sound"]
    changes = np.array(told["changes"])
    assert changes.shape == (6, 10)
    assert told["bands"][0][0] == 0.0
    assert told["bands"][-1][1] == pytest.approx(4_000.0)
    (at,) = [n for n, (low, high) in enumerate(told["bands"]) if low <= 2_500 < high]
    others = np.delete(changes, at, axis=0)
    assert changes[at, 6:9].min() > 3 * np.abs(others[:, 6:9]).max()
    assert np.abs(changes[:, :4]).max() < changes[at, 6:9].min() / 10
    assert "which a filter takes out of the samples" in record["method"]
    with pytest.raises(RowError, match="a model without recordings"):
        explanations(bright.explainer, [shot()], "bands")


@pytest.mark.parametrize("most", [9, 20, 1_000])
def test_all_bands_together_are_the_recording(most: int) -> None:
    rng = np.random.default_rng(0)
    samples = np.concatenate([np.zeros(100), rng.integers(-9_000, 9_000, 1_501), np.zeros(7)])
    pieces = SpectrumPieces.of(samples, 8_000, most)
    assert 9 <= pieces.count <= min(most, 60)
    np.testing.assert_allclose(pieces.shares.sum(axis=0), 1.0)
    kept = np.ones((3, pieces.count), dtype=np.bool_)
    kept[1] = False
    kept[2, 0] = False
    found = pieces.features(kept)
    np.testing.assert_array_equal(found[0], samples)
    np.testing.assert_array_equal(found[1], 0.0)
    assert 0 < np.abs(found[2] - samples).max() <= 9_000
    silence = SpectrumPieces.of(np.zeros(50), 8_000, most)
    assert (silence.count, silence.record([])["changes"][0]) == (0, [])
    np.testing.assert_array_equal(silence.features(np.ones((2, 0), dtype=np.bool_)), 0.0)


def test_a_missing_text_has_no_pieces_and_rows_may_differ(bright: Bundle) -> None:
    rows = [shot(""), shot("one"), shot("one night")]
    found = occluded(bright.explainer, rows, plain=False)
    counts = [len(found.pieces(row, 0)["note"]["words"]) for row in range(3)]
    assert counts == [0, 1, 2]
    assert faithfulness_of(bright.explainer, rows).found.rows == 3


def test_fewer_pieces_or_none_where_there_is_not_the_time(bright: Bundle) -> None:
    with pytest.raises(RowError, match=r"at most 1e-09 s of work"):
        explanations(bright.explainer, [shot()], effort=ExplainEffort(seconds=1e-9))
    found = occluded(bright.explainer, [shot()], ExplainEffort(float("inf"), rows=16))
    assert len(found.pieces(0, 0)["photo"]["changes"]) == 4


def test_what_has_no_pieces_is_told_as_before(tmp_path: Path) -> None:
    bundle = load(tiny_bundle.make(tmp_path / "bundle"))
    rows = [tiny_bundle.raw()]
    assert not_occluded(bundle.explainer) == "columns of plain values"
    assert is_explained(bundle.explainer)
    told = explanations(bundle.explainer, rows, effort=ExplainEffort(rows=60))
    assert "pieces" not in told.records[0]
    with pytest.raises(RowError, match="columns of plain values"):
        explanations(bundle.explainer, rows, "occlusion")
    with pytest.raises(RowError, match="one of dark"):
        explanations(load_bright(tmp_path).explainer, [shot()], output="drak")


def load_bright(folder: Path) -> Bundle:
    return load(bright_images.make(folder / "bright"))
