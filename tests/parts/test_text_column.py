"""Columns of text: which are such, and what is said about them."""

from __future__ import annotations

import pytest

from sixfold.parts.text_column import describe, why_text

PROSE = [f"this is message number {number} about something that we said" for number in range(40)]


@pytest.mark.parametrize(
    ("levels", "rows", "expected"),
    [
        (PROSE, 40, "10 words on average, 40 different ones in 40 rows"),
        (PROSE, 80, "10 words on average, 40 different ones in 80 rows"),
        (PROSE, 81, ""),  # what repeats more is a category
        (PROSE[:10], 19, ""),  # too few rows to tell
        ([f"Person {n} Smith" for n in range(40)], 40, ""),  # names
        ([f"id-{n}" for n in range(40)], 40, ""),
        (
            [f"今日は天気がいいですね{n}" for n in range(40)],
            40,
            "6 words on average, 40 different ones in 40 rows",
        ),
        (["x" * 1_000_000 + str(n) for n in range(40)], 40, ""),
    ],
)
def test_text_or_category(levels: list[str], rows: int, expected: str) -> None:
    assert why_text(levels, rows) == expected


def test_languages_are_counted_by_their_common_words() -> None:
    english, german = ["the cat is not at the door"] * 6, ["der Hund ist nicht auf dem Sofa"] * 3
    assert describe("note", [*english, *german, "xyzzy", ""]) == [
        "note: by their commonest words, 6 English, 3 German, 1 not known texts."
    ]


def test_scripts_are_counted() -> None:
    said = describe("note", ["hello there", "привет как дела", "привет", "مرحبا", "\U0001f600"])
    assert said[0] == "note: 2 Cyrillic, 1 Arabic, 1 Latin texts by script."


def test_what_many_texts_share_is_told() -> None:
    mails = [
        f"Dear customer of our bank number {n} yes\nBest regards\nyour bank in the old town"
        for n in range(20)
    ]
    said = " ".join(describe("mail", mails))
    assert "20 of 20 texts have the line 'best regards'." in said
    assert "20 of 20 texts begin with 'dear customer of our'." in said
    assert "20 of 20 texts end with 'in the old town'." in said
    assert not any("begin" in sentence for sentence in describe("mail", mails[:9]))


def test_empty_texts_and_odd_ones_say_nothing() -> None:
    assert describe("note", ["", "", ""]) == []
    assert describe("note", ["\ud800", "!!!", "\u200b"]) == []
