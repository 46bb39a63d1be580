"""What acts on a terminal is shown instead; everything else stays."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from sixfold.core.visible import one_line, visible

STAYS = {"\n", "\t"}


def acts(character: str) -> bool:
    """By Unicode: control characters, marks of direction, line and paragraph ends, half
    characters.
    """
    category, direction = unicodedata.category(character), unicodedata.bidirectional(character)
    marks = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return (
        category in ("Cc", "Zl", "Zp", "Cs")
        or direction in marks
        or character in "\u200e\u200f\u061c"
    )


def test_every_character_that_acts_is_escaped() -> None:
    every = [chr(code) for code in range(0x110000)]
    acting = [character for character in every if acts(character) and character not in STAYS]
    assert len(acting) > 2100
    assert all(
        visible(character).isascii() and visible(character)[0] == "\\" for character in acting
    )
    kept = "".join(character for character in every if character.isprintable())
    assert visible(kept) == kept


def test_a_name_is_no_line_of_its_own() -> None:
    assert one_line("a\nok  verified\r\tb") == "a\\nok  verified\\x0d\\tb"
    assert visible("a\n\tb\x1b]0;title\x07\u202e") == "a\n\tb\\x1b]0;title\\x07\\u202e"


@given(st.text())
def test_what_was_made_visible_stays(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert "\n" not in one_line(text)
