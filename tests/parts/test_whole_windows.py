"""Examples in shared windows: none is cut, none sees another, nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.stored_tokens import StoredTokens
from sixfold.parts.text_tokenizer import LEAST_VOCABULARY, TextTokenizer
from sixfold.parts.token_windows import IGNORED, filled
from sixfold.parts.whole_windows import PackedExamples, whole_windows
from tiny_language_models import MODELS, VOCABULARY, tiny


def stored(folder: Path, *rows: list[int]) -> StoredTokens:
    path = folder / "tokens"
    ids = np.array([one for row in rows for one in row], dtype=np.int32)
    ids.tofile(path)
    starts = np.cumsum([0, *map(len, rows)])
    tokenizer = TextTokenizer("", "{}", 0, 0, LEAST_VOCABULARY)
    return StoredTokens(
        path, starts, np.ones(len(rows), dtype=np.int64), np.arange(len(rows)), tokenizer
    )


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 32))
def test_every_example_is_in_one_window_whole_or_cut_at_its_length(
    inputs: list[int], length: int
) -> None:
    windows = whole_windows(inputs, length)
    spans = [span for window in windows for span in window]
    assert sorted(span.row for span in spans) == list(range(len(inputs)))
    assert all(span.start == span.scored == 0 for span in spans)
    assert all(span.stop == min(inputs[span.row], length) for span in spans)
    assert all(0 < sum(span.stop for span in window) <= length for window in windows)
    if inputs:
        assert windows[0][0].stop == min(max(inputs), length)
    least = -(-sum(min(one, length) for one in inputs) // length)
    assert len(windows) <= 11 / 9 * least + 1 or len(windows) <= least + 1


@pytest.mark.parametrize("kind", MODELS)
def test_logits_of_packed_examples_are_those_of_each_alone(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    network: Any = PackedNetwork(json.dumps(model.config.to_dict()))
    network.network.load_state_dict(model.state_dict())
    rng = np.random.default_rng(0)
    rows = [rng.integers(4, VOCABULARY, size).tolist() for size in (5, 9, 3, 20, 7)]
    tokens = stored(tmp_path, *rows)
    packed = PackedExamples(tokens, 32)
    assert packed.length == 32
    assert [[span.row for span in window] for window in packed.windows] == [[3, 1, 0], [4, 2]]
    batch = packed.read(np.arange(2), None)
    with torch.no_grad():
        scores = network.eval()(batch.x)
        for window, spans in enumerate(packed.windows):
            at = 0
            for span in spans:
                alone = model(input_ids=torch.tensor([rows[span.row][:-1]])).logits[0]
                here = slice(at, at + span.stop)
                torch.testing.assert_close(scores[window, here], alone, rtol=1e-4, atol=1e-5)
                assert batch.y[window, here].tolist() == rows[span.row][1:]
                at = here.stop
            assert (batch.y[window, at:] == IGNORED).all()


def test_what_is_not_learned_and_what_is_counted(tmp_path: Path) -> None:
    tokens = stored(tmp_path, [~0, ~5, 6, 7, ~8, 9], [~0, 4, 0])
    packed = PackedExamples(tokens, 1024)
    assert packed.length == 32
    assert packed.facts() == {
        "examples": 2,
        "windows": 1,
        "length": 32,
        "tokens": 7,
        "learned": 5,
        "filling": 25,
    }
    batch = packed.read(np.arange(1), None)
    assert batch.x[0, 0, :7].tolist() == [0, 5, 6, 7, 8, 0, 4]
    assert batch.y[0, :7].tolist() == [IGNORED, 6, 7, IGNORED, 9, 4, 0]
    short = PackedExamples(stored(tmp_path, list(range(4, 60))), 16)
    assert (short.length, len(short)) == (16, 1)  # the first tokens of a longer one
    first = filled(short.windows, short.tokens, 16)
    assert first.y[0].tolist() == list(range(5, 21))
