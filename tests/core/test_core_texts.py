"""How a text is read: one form for what is the same, and every n-gram of it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from sixfold.core.texts import CACHED_WORDS, GramReader, Grams, TextForm, hashed, words

ANY = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)  # with lone surrogates


def form(text: str, **options: object) -> str:
    return TextForm(**options).normalized(text)  # type: ignore[arg-type]


@given(ANY)
def test_composed_and_decomposed_letters_are_one(text: str) -> None:
    whole = "".join(letter for letter in text if not "\ud800" <= letter <= "\udfff")
    composed, decomposed = unicodedata.normalize("NFC", whole), unicodedata.normalize("NFD", whole)
    assert form(composed) == form(decomposed)
    assert form(composed, unicode="NFC", case="keep") == form(
        decomposed, unicode="NFC", case="keep"
    )


@given(ANY)
def test_what_is_read_is_text_that_utf8_can_hold(text: str) -> None:
    read = form(text)
    assert read.encode().decode() == read
    assert not any(unicodedata.category(letter) == "Cc" and not letter.isspace() for letter in read)


@given(ANY)
def test_upper_and_lower_case_of_ascii_are_one(text: str) -> None:
    plain = text.encode("ascii", "ignore").decode()
    assert form(plain.upper()) == form(plain.lower()) == form(plain)
    assert form(plain, case="keep") == "".join(
        " " if (c < " " and not c.isspace()) or c == "\x7f" else c for c in plain
    )


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", ""),
        ("\ufb01ne \uff12", "fine 2"),  # a ligature, a wide digit
        ("STRASSE stra\u00dfe", "strasse strasse"),
        ("fr\u200bee mon\u00adey \ufeffnow", "free money now"),
        ("a\u202eb\u202c", "ab"),  # marks that turn the text
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("a\x00b\x07c\x9bd", "a b c d"),
        ("\ud83d \ude00", "\ufffd \ufffd"),  # two halves that do not stand together
        ("\U0001f44d\U0001f3fd", "\U0001f44d\U0001f3fd"),
        ("\ufdfa", "صلى الله عليه وسلم"),  # one character becomes eighteen
    ],
)
def test_forms(text: str, read: str) -> None:
    assert form(text) == read


def test_nothing_is_levelled_that_was_not_asked_for() -> None:
    assert form("E\u0301 \ufb01 STRASSE", unicode="none", case="keep") == "E\u0301 \ufb01 STRASSE"
    assert form("E\u0301 \ufb01", unicode="NFC", case="keep") == "\u00c9 \ufb01"


def test_what_follows_the_longest_is_not_read() -> None:
    assert form("abcdef", longest=3) == "abc"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it's 5pm!!", ["it", "'", "s", "5pm", "!", "!"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),  # vowel signs are part of their word
        ("مرحبا بك", ["مرحبا", "بك"]),
        ("free\U0001f600\U0001f600", ["free", "\U0001f600", "\U0001f600"]),
        ("a_b £5", ["a_b", "£", "5"]),
        ("«naïve»、東京", ["«", "naïve", "»", "、", "東京"]),
        (" \t\n ", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(ANY)
def test_words_hold_every_character_that_is_no_space(text: str) -> None:
    assert "".join(words(text)) == "".join(text.split())


@pytest.mark.parametrize(
    ("grams", "analyzer"),
    [
        (Grams("characters_in_words", 2, 5), "char_wb"),
        (Grams("characters_in_words", 1, 1), "char_wb"),
        (Grams("characters", 1, 3), "char"),
        (Grams("words", 1, 2), "word"),
        (Grams("words", 2, 3), "word"),
    ],
)
@given(text=ANY)
def test_n_grams_are_those_of_scikit_learn(grams: Grams, analyzer: str, text: str) -> None:
    unit = {"tokenizer": words, "token_pattern": None} if analyzer == "word" else {}
    sizes = (grams.low, grams.high)
    own = CountVectorizer(
        analyzer=analyzer, ngram_range=sizes, lowercase=False, **unit
    ).build_analyzer()
    read = form(text)
    assert sorted(grams.of(read)) == sorted(own(read))


@pytest.mark.parametrize("unit", ["words", "characters", "characters_in_words"])
@given(texts=st.lists(ANY, max_size=5))
def test_a_reader_numbers_every_n_gram(unit: str, texts: list[str]) -> None:
    grams, place = Grams(unit, 1, 3), hashed(1000)  # type: ignore[arg-type]
    reader = GramReader(TextForm(), grams, place)
    for text in [*texts, *texts]:  # the second time from the words that are kept
        assert sorted(reader.numbers(text)) == sorted(map(place, grams.of(form(text))))


def test_terms_without_a_number_are_not_counted() -> None:
    reader = GramReader(TextForm(), Grams("words", 1, 1), {"a": 3}.get)
    assert reader.numbers("a b A").tolist() == [3, 3]


def test_the_words_that_are_kept_are_bounded() -> None:
    reader = GramReader(TextForm(longest=10**6), Grams("characters_in_words", 3, 3), hashed(10))
    reader.numbers(" ".join(str(number) for number in range(20_000)))
    reader.numbers("y" * 1000)
    assert len(reader._known) == 20_000
    for start in range(0, 2 * CACHED_WORDS, 10_000):
        reader.numbers(" ".join(f"w{number}" for number in range(start, start + 10_000)))
    assert len(reader._known) <= CACHED_WORDS


@pytest.mark.parametrize(
    "text",
    ["a" * 1_000_000, "ab " * 333_333, "e\u0301" * 500_000, "\ud800" * 1_000_000, "! " * 500_000],
)
@pytest.mark.parametrize("unit", ["words", "characters_in_words"])
def test_a_megabyte_is_read_as_far_as_the_longest(text: str, unit: str) -> None:
    reader = GramReader(TextForm(longest=10_000), Grams(unit, 1, 4), hashed(100))  # type: ignore[arg-type]
    assert reader.numbers(text) == reader.numbers(text[:10_000])
    whole = GramReader(TextForm(longest=2_000_000), Grams(unit, 2, 2), hashed(100))  # type: ignore[arg-type]
    assert len(whole.numbers(text)) >= len(reader.numbers(text)) // 4
