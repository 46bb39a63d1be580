"""Pieces of values, as the graph takes them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.bundle.pieces import MOST_WORDS, AudioPieces, ImagePieces, TextPieces


def lengths(texts: object) -> np.ndarray:
    return np.array([[len(text)] for text in texts], dtype=np.float64)  # type: ignore[attr-defined]


@settings(max_examples=40)
@given(st.text(alphabet="aé \n\t日本ー语,.", max_size=60), st.integers(1, 300))
def test_words_are_the_whole_text(text: str, most: int) -> None:
    text = text.strip()
    pieces = TextPieces.of(text, lengths, most)
    assert "".join(pieces.texts) == text
    assert pieces.count <= min(most, MOST_WORDS)
    assert all(each.strip() for each in pieces.texts)
    if pieces.count:
        kept = np.ones((1, pieces.count), dtype=bool)
        assert pieces.features(kept) == len(text)
        assert pieces.features(~kept) == 0


def test_signs_without_spaces_are_words_of_their_own() -> None:
    assert TextPieces.of("我爱 cats", lengths, 9).texts == ("我", "爱 ", "cats")


@pytest.mark.parametrize(("height", "width", "channels"), [(4, 4, 1), (16, 24, 3), (9, 31, 1)])
def test_a_patch_becomes_the_mean_color(height: int, width: int, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(float)
    pieces = ImagePieces.of(pixels, 64)
    assert pieces.count == 64
    kept = np.ones((pieces.count + 2, pieces.count), dtype=bool)
    kept[1:-1][np.diag_indices(pieces.count)] = False
    kept[-1] = False
    found = pieces.features(kept).reshape(-1, height, width, channels)
    np.testing.assert_array_equal(found[0], pixels)
    mean = np.rint(pixels.mean(axis=(0, 1)))
    assert (found[-1] == mean).all()
    # every pixel is of one patch, and only that patch changes it
    changed = (found[1:-1] != pixels).any(axis=3).sum(axis=0)
    np.testing.assert_array_equal(changed, (pixels != mean).any(axis=2))
    told = pieces.record(list(range(64)))
    assert [len(row) for row in told["changes"]] == [8] * 8
    assert (told["height"], told["width"]) == (height, width)


def test_fewer_patches_where_there_is_no_time_for_more() -> None:
    assert ImagePieces.of(np.zeros((32, 32, 1)), 20).count == 16


def test_windows_cover_what_is_heard() -> None:
    samples = np.zeros(1000)
    samples[100:300] = 5.0
    pieces = AudioPieces.of(samples, 1000, 64)
    assert pieces.count == 20
    kept = np.ones((2, 20), dtype=bool)
    kept[1, 3] = False
    found = pieces.features(kept)
    np.testing.assert_array_equal(found[0], samples)
    np.testing.assert_array_equal(np.flatnonzero(found[1] != samples), np.arange(130, 140))
    told = pieces.record([0.0] * 20)
    assert (told["from"], told["to"]) == (0.1, 0.3)
    cut = AudioPieces.of(samples, 1000, 64, at_s=0.25)  # of a longer recording
    assert (cut.record([])["from"], cut.record([])["to"]) == (0.35, 0.55)
    assert AudioPieces.of(np.zeros(10), 1000, 64).count == 0
