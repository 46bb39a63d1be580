"""Decoding against all paths there are: their sums, the most probable one, and n-grams that sum to one."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.bundle.transcription import paths
from sixfold.bundle.transcription.beam import BeamSearch
from sixfold.bundle.transcription.characters import CharacterModel, counted
from sixfold.bundle.transcription.decoder import TranscriptDecoder
from sixfold.bundle.transcription.paths import Scores
from sixfold.recipe import ctc_decoder
from sixfold.recipe.ctc_decoder import END, CtcDecoder

ALPHABET = (" ", "a", "b")
SEEDS = st.integers(0, 2**32 - 1)


def logs(seed: int, frames: int = 4) -> Scores:
    scores = np.random.default_rng(seed).normal(0, 2, size=(frames, 1 + len(ALPHABET)))
    return paths.log_probabilities(scores)


def decoder(frames: int = 4, **options: object) -> CtcDecoder:
    return CtcDecoder.model_validate(
        {"frames": frames, "alphabet": ALPHABET, "first_s": 0.1, "frame_s": 0.02, **options}
    )


def every_path(found: Scores) -> dict[str, list[tuple[float, tuple[int, ...]]]]:
    """Text → ln of the probability of each of its paths, and the path: a slow twin."""
    texts = defaultdict(list)
    for path in itertools.product(range(found.shape[1]), repeat=len(found)):
        log = sum(float(found[frame, symbol]) for frame, symbol in enumerate(path))
        kept = [symbol for symbol, _ in itertools.groupby(path) if symbol]
        texts["".join(ALPHABET[symbol - 1] for symbol in kept)].append((log, path))
    return texts


@settings(max_examples=25)
@given(SEEDS)
def test_the_best_path_is_the_best_of_all(seed: int) -> None:
    found = logs(seed)
    text, (best, *_) = max(
        ((text, max(ways)) for text, ways in every_path(found).items()), key=lambda one: one[1]
    )
    assert "".join(ALPHABET[at - 1] for at in TranscriptDecoder(decoder()).symbols(found)) == text
    assert best == pytest.approx(found.max(axis=1).sum())
    second = sorted((log for ways in every_path(found).values() for log, _ in ways), reverse=True)
    assert paths.margin(found) == pytest.approx(second[0] - second[1])


@settings(max_examples=25)
@given(SEEDS)
def test_a_search_that_is_wide_enough_sums_over_all_paths(seed: int) -> None:
    """The slow twin sums over 4⁴ paths; with counts, what is said is weighed as well."""
    found, every = logs(seed), every_path(logs(seed))
    sums = {text: np.logaddexp.reduce([log for log, _ in ways]) for text, ways in every.items()}
    plain = BeamSearch(decoder(method="beam", width=256)).hypotheses(found)
    best = sorted(sums, key=lambda text: (-sums[text], text))
    assert plain[0].text == best[0]
    for one in plain[:5]:
        assert one.score == pytest.approx(
            sums[one.text], abs=1e-4
        )  # the least probable are not tried
    counts = counted(["ab ab", "b a", "ab"], 3)
    weighed = BeamSearch(
        decoder(method="beam", width=256, ngrams=counts, language_weight=0.7, length_bonus=0.4)
    ).hypotheses(found)
    language = CharacterModel(counts, len(ALPHABET))
    for one in weighed[:5]:
        whole = END + one.text + END
        own = sum(language.log_probability(whole[:at], whole[at]) for at in range(1, len(whole)))
        assert one.score == pytest.approx(
            sums[one.text] + 0.7 * own + 0.4 * len(one.text), abs=1e-4
        )


def searched(found: Scores, width: int, score: Callable[[str], float]) -> list[tuple[int, ...]]:
    """The prefixes that a search of one prefix after another keeps: its slow twin. `score`: of a text."""
    kept: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}

    def total(one: tuple[tuple[int, ...], tuple[float, float]]) -> float:
        return float(np.logaddexp(*one[1])) + score("".join(ALPHABET[at - 1] for at in one[0]))

    for frame in found:
        ways: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
        for prefix, (blank, symbol) in kept.items():
            both = np.logaddexp(blank, symbol)
            ways[prefix][0] = np.logaddexp(ways[prefix][0], both + frame[0])
            for at in range(1, len(frame)):
                again = prefix[-1:] == (at,)
                if again:
                    ways[prefix][1] = np.logaddexp(ways[prefix][1], symbol + frame[at])
                longer = ways[*prefix, at]
                longer[1] = np.logaddexp(longer[1], frame[at] + (blank if again else both))
        pairs = [(prefix, (own[0], own[1])) for prefix, own in ways.items()]
        kept = dict(sorted(pairs, key=lambda one: -total(one))[:width])
    return sorted(kept, key=lambda prefix: -total((prefix, kept[prefix])))


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 9), st.booleans())
def test_a_narrow_search_keeps_what_its_slow_twin_keeps(
    seed: int, width: int, weighed: bool
) -> None:
    """Over frames enough that prefixes go and come back."""
    found = paths.log_probabilities(
        np.random.default_rng(seed).normal(0, 1, size=(14, 1 + len(ALPHABET)))
    )
    counts = counted(["ab ab", "b a", "ab"], 3)
    options = {"ngrams": counts, "language_weight": 0.7, "length_bonus": 0.4} if weighed else {}
    language = CharacterModel(counts, len(ALPHABET))

    def score(text: str) -> float:
        if not weighed:
            return 0.0
        said = END + text
        own = sum(language.log_probability(said[:at], said[at]) for at in range(1, len(said)))
        return 0.7 * own + 0.4 * len(text)

    search = BeamSearch(decoder(14, method="beam", width=width, **options))
    assert {one.symbols for one in search.hypotheses(found)} == set(searched(found, width, score))


@settings(max_examples=25)
@given(SEEDS)
def test_a_text_lies_on_its_most_probable_path(seed: int) -> None:
    found = logs(seed)
    for text, ways in every_path(found).items():
        symbols = [ALPHABET.index(letter) + 1 for letter in text]
        spans = paths.aligned(found, symbols)
        _, path = max(ways)
        starts = [
            frame
            for frame, symbol in enumerate(path)
            if symbol and (not frame or path[frame - 1] != symbol)
        ]
        assert [span.first for span in spans] == starts
        for span, symbol in zip(spans, symbols, strict=True):
            assert path[span.first : span.last + 1] == (symbol,) * (span.last - span.first + 1)


def test_a_text_that_no_path_has() -> None:
    assert [paths.needed(symbols) for symbols in ([], [1], [1, 2], [1, 1], [2, 2, 2])] == [
        0,
        1,
        2,
        3,
        5,
    ]
    assert not paths.fits([1, 1, 1], 4)
    with pytest.raises(ValueError, match="5 frames are needed, and 4 are there"):
        paths.aligned(logs(0, 4), [1, 1, 1])


@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_of_characters_sum_to_one(order: int) -> None:
    language = CharacterModel(counted(["ab ab", "b a", "baab"], order), len(ALPHABET))
    for before in ("", "a", "ab", "b ", "aaaa", "bab"):
        logs = [language.log_probability(END + before, one) for one in (*ALPHABET, END)]
        assert sum(map(math.exp, logs)) == pytest.approx(1.0)


def test_the_formula_of_witten_and_bell() -> None:
    """ "a" came twice, "b" and the end once each: three kinds in four."""
    language = CharacterModel(counted(["aab"], 2), 2)
    assert language.log_probability("b", "b") == pytest.approx(
        math.log((0 + 1 * (1 + 3 / 3) / (4 + 3)) / (1 + 1))
    )


def test_the_longest_ngrams_go_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["".join(ALPHABET[(n * n + k) % 3] for k in range(9)) for n in range(5)]
    whole = counted(texts, 4)
    assert max(map(len, whole)) == 3
    shorter = {before: after for before, after in whole.items() if len(before) < 2}
    monkeypatch.setattr(
        "sixfold.bundle.transcription.characters.MOST_NGRAMS",
        sum(map(len, shorter.values())),
    )
    assert counted(texts, 4) == shorter
    assert sum(map(len, whole.values())) <= ctc_decoder.MOST_NGRAMS


def test_words_have_their_times() -> None:
    """a a – b _ _ b – a, in frames of 20 ms around 0.1 s."""
    path = [2, 2, 0, 3, 1, 1, 3, 0, 2]
    found = paths.log_probabilities(np.eye(4)[path] * 20)
    reader = TranscriptDecoder(decoder(frames=9))
    symbols = reader.symbols(found)
    assert reader.text_of(symbols) == reader.text(found) == "ab ba"
    told = [
        (one.word, round(one.start, 6), round(one.end, 6)) for one in reader.words(found, symbols)
    ]
    assert told == [("ab", 0.09, 0.17), ("ba", 0.21, 0.27)]


def of_pieces(frames: int, **options: object) -> CtcDecoder:
    """A text may be spelled in several ways: " ab" as one piece, or as two."""
    return decoder(frames, alphabet=(" a", "b", " ab"), **options)


@settings(max_examples=25)
@given(SEEDS)
def test_pieces_that_spell_one_text_are_summed(seed: int) -> None:
    """Against all 4⁴ paths; characters of a text are weighed as they are without pieces."""
    found = logs(seed)
    sums: dict[str, float] = defaultdict(lambda: -math.inf)
    for path in itertools.product(range(4), repeat=4):
        log = sum(float(found[frame, symbol]) for frame, symbol in enumerate(path))
        text = "".join((" a", "b", " ab")[at - 1] for at in paths.collapsed(path))
        sums[text] = np.logaddexp(sums[text], log)
    counts = counted([" ab", " a", " ab abb"], 3)
    search = BeamSearch(
        of_pieces(4, method="beam", width=256, ngrams=counts, language_weight=0.7, length_bonus=0.4)
    )
    language, heard = CharacterModel(counts, 3), search.hypotheses(found)
    assert len({one.text for one in heard}) == len(heard)
    for one in heard[:5]:
        assert "".join((" a", "b", " ab")[at - 1] for at in one.symbols) == one.text
        whole = END + one.text + END
        own = sum(language.log_probability(whole[:at], whole[at]) for at in range(1, len(whole)))
        expected = sums[one.text] + 0.7 * own + 0.4 * len(one.text)
        assert one.score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_words_of_pieces_have_their_times(method: str) -> None:
    """ " a" b b – " ab" – b, in frames of 20 ms around 0.1 s."""
    found = paths.log_probabilities(np.eye(4)[[1, 2, 2, 0, 3, 0, 2]] * 20)
    reader = TranscriptDecoder(of_pieces(7, method=method, width=4))
    symbols = reader.symbols(found)
    assert reader.text(found) == "ab abb"
    told = [
        (one.word, round(one.start, 6), round(one.end, 6)) for one in reader.words(found, symbols)
    ]
    assert told == [("ab", 0.09, 0.15), ("abb", 0.17, 0.23)]
    assert reader.described.longest == 21


def test_silence_is_an_empty_text() -> None:
    found = paths.log_probabilities(np.eye(4)[[0, 1, 0, 0, 1]] * 20)  # two spaces
    for method in ("greedy", "beam"):
        reader = TranscriptDecoder(decoder(method=method, width=4))
        assert reader.text(found) == ""
        assert reader.words(found, reader.symbols(found)) == []
