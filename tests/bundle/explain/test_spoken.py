"""Where a text is said, of a bundle whose graph is written by hand: each tenth of a second is a letter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import spoken_letters

from sixfold.bundle.explain.explainer import ExplainEffort
from sixfold.bundle.explain.spoken import SpokenChanges, spoken
from sixfold.bundle.explain.told import explanations, faithfulness_of
from sixfold.bundle.load import Bundle, load
from sixfold.bundle.transcription.likelihood import log_likelihoods
from sixfold.bundle.transcription.paths import log_probabilities
from sixfold.core.errors import RowError


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(spoken_letters.make(tmp_path_factory.mktemp("spoken") / "letters"))


def told(
    bundle: Bundle, said: str, text: str | None = None, seconds: float = 60.0
) -> SpokenChanges:
    runtime: Any = bundle.predictor.runtime
    row = [{"sound": spoken_letters.said(said)}]
    return spoken(bundle.predictor, runtime.transcriber(), row, text, seconds)


@pytest.mark.parametrize("symbols", [[], [1], [2, 2], [1, 2, 1], [3, 3, 3]])
def test_a_text_is_as_probable_as_torch_says(symbols: list[int]) -> None:
    logs = np.stack(
        [log_probabilities(np.random.default_rng(n).normal(size=(7, 4))) for n in range(3)]
    )
    expected = -torch.nn.functional.ctc_loss(
        torch.from_numpy(logs.transpose(1, 0, 2)),
        torch.tensor([symbols] * 3, dtype=torch.int64).reshape(3, len(symbols)),
        torch.full((3,), 7),
        torch.full((3,), len(symbols)),
        reduction="none",
    )
    np.testing.assert_allclose(log_likelihoods(logs, symbols), expected, atol=1e-9)
    with pytest.raises(ValueError, match="9 frames are needed"):
        log_likelihoods(logs, [1, 1, 1, 1, 1])


def test_the_windows_of_a_word_are_what_it_depends_on(letters: Bundle) -> None:
    found = told(letters, "a--  --b")
    assert found.text == "a b"
    record = found.record()
    assert (record["output"], record["scale"]) == ("a b", "log-probability")
    assert record["prediction"] > record["base"]
    piece = record["pieces"]["sound"]
    middles = piece["from"] + (np.arange(20) + 0.5) / 20 * (piece["to"] - piece["from"])
    for word, start, end in (("a", 0.0, 0.1), ("b", 0.7, 0.8)):
        own = next(each for each in piece["words"] if each["word"] == word)
        assert (own["start"], own["end"]) == pytest.approx((start, end), abs=1e-6)
        inside = (middles > start - 0.03) & (middles < end + 0.03)
        changes = np.array(own["changes"])
        assert changes[inside].max() > 5 * np.abs(changes[~inside]).max()
    without = told(letters, "---  --b", "a b")
    assert without.logprob < found.logprob
    assert found.asked == 23


@pytest.mark.parametrize("letters_said", ["a--  --b", "a-  -b", "-a  b-", "-a b", "ab"])
def test_times_are_those_of_the_recording(letters: Bundle, letters_said: str) -> None:
    """As transcription tells them, of shorter recordings, too, which lie in the middle of what the model hears; the
    first window begins with the first sound, and the last one ends with the last.
    """
    runtime: Any = letters.predictor.runtime
    content = spoken_letters.said(letters_said)
    (piece,) = told(letters, letters_said).record()["pieces"].values()
    heard = runtime.transcriber().transcribe(content, "it")
    assert [(one["word"], one["start"], one["end"]) for one in piece["words"]] == [
        (one.word, one.start, one.end) for one in heard.words
    ]
    loud = [at for at, letter in enumerate(letters_said) if letter != "-"]
    assert (piece["from"], piece["to"]) == pytest.approx(
        (loud[0] / 10, (loud[-1] + 1) / 10), abs=1e-3
    )


def test_windows_of_what_is_said_are_better_than_chance(letters: Bundle) -> None:
    found = explanations(letters.explainer, [{"sound": spoken_letters.said("a--  --b")}])
    area = found.records[0]["faithfulness"]
    assert area["deletion"] > area["random_deletion"] + 0.1
    assert area["insertion"] < area["random_insertion"] - 0.1
    assert found.records == [told(letters, "a--  --b").record()]
    assert found.predictions.outputs["text"].tolist() == ["a b"]
    row = [{"sound": spoken_letters.said("ab------")}]
    for options, message in (
        ({"method": "gradients"}, "occlusion, of a model that writes down what is said"),
        ({"output": "a"}, "none, of a model that writes down what is said"),
        ({"effort": ExplainEffort(1e-9)}, "at most 1e-09 s of work"),
    ):
        with pytest.raises(RowError, match=message):
            explanations(letters.explainer, row, **options)


def test_how_faithful_all_windows_are(letters: Bundle) -> None:
    """Over recordings in which something is said, of all that are given."""
    rows = [{"sound": spoken_letters.said(one)} for one in ("a--  --b", "--------", "ab------")]
    found = faithfulness_of(letters.explainer, rows)
    assert (found.found.rows, found.what) == (2, "windows of time")
    areas = found.found.areas()
    assert areas["deletion"] > areas["random_deletion"] + 0.05
    assert areas["insertion"] < areas["random_insertion"]
    for some, effort, message in (
        (rows[1:2], ExplainEffort(), "something to take away"),
        (rows, ExplainEffort(1e-9), "at most .* s of work"),
    ):
        with pytest.raises(RowError, match=message):
            faithfulness_of(letters.explainer, some, effort=effort)
    with pytest.raises(RowError, match="occlusion, of a model that writes down"):
        faithfulness_of(letters.explainer, rows, "gradients")


def test_words_of_pieces_are_those_that_pieces_spell(tmp_path: Path) -> None:
    pieces = load(spoken_letters.make_pieces(tmp_path / "pieces"))
    found = told(pieces, "ab--ab--")
    assert found.text == "ab ab"
    assert [(each.said.word, round(each.said.start, 6)) for each in found.words] == [
        ("ab", 0.0),
        ("ab", 0.4),
    ]
    assert told(pieces, "ab--ab--", "ab ab").logprob == found.logprob
    assert told(pieces, "ab--ab--", "ab").logprob < found.logprob
    with pytest.raises(RowError, match="found 'x'"):
        told(pieces, "ab------", "ax")


def test_what_cannot_be_said_is_refused(letters: Bundle) -> None:
    for said, text, message in (
        ("--------", None, "one in which something is said"),
        ("--------", "a", "one in which something is said"),
        ("ab------", "ax", "characters among ' ab'; found 'x'"),
        ("ab------", "ababababa", "at most 8 symbols"),
    ):
        with pytest.raises(RowError, match=message):
            told(letters, said, text)
    with pytest.raises(RowError, match="at most 1e-09 s of work"):
        told(letters, "ab------", seconds=1e-9)
