"""Which texts are left out, for which reason, and how many: each counts once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sixfold.core.errors import DataError
from sixfold.prepare.text.filtered_texts import kept_texts
from sixfold.recipe.schema import Denoise
from sixfold.recipe.text_filters import TextFilters

PLAIN = [f"A plain sentence with the number {n} in it, and some more words." for n in range(4)]


def kept(texts: list[str], duplicates: Any = "keep", **options: Any) -> Any:
    return kept_texts(texts, Denoise(duplicates=duplicates, texts=TextFilters(**options)))


def test_nothing_is_left_out_that_nobody_asked_for() -> None:
    found = kept_texts([*PLAIN, PLAIN[0], "", "\x00\ufffd"], Denoise())
    np.testing.assert_array_equal(found.rows, np.arange(7))
    assert found.notes == ()
    assert len(kept_texts([], Denoise(duplicates="drop")).rows) == 0


@pytest.mark.parametrize(
    ("text", "options", "note"),
    [
        ("x", {"least": 2}, "shorter than 2 characters"),
        ("x" * 101, {"most": 100}, "longer than 100 characters"),
        ("#### ---- a", {"symbols": 0.5}, "more than 50% symbols"),
        ("caf\ufffd", {"bad_unicode": 0.1}, "broken characters"),
        ("a\x00b", {"bad_unicode": 0.1}, "broken characters"),
        ("a\ud83d", {"bad_unicode": 0.1}, "broken characters"),
        ("\ue000\ue001", {"bad_unicode": 0.0}, "broken characters"),
        (PLAIN[1], {"duplicates": "drop"}, "the same as an earlier one"),
    ],
)
def test_each_reason(text: str, options: dict[str, Any], note: str) -> None:
    found = kept([*PLAIN, text], **options)
    np.testing.assert_array_equal(found.rows, np.arange(4))
    assert found.notes == (f"1 training text left out (20.0%): {note}.",)


def test_what_is_fine_stays() -> None:
    texts = ["Tabs\tand\nlines\r\n, ümläute, 你好, 🎉, code: x = y[0] + 1", *PLAIN]
    found = kept(texts, duplicates="drop", bad_unicode=0.0, symbols=0.3, least=1, most=100)
    np.testing.assert_array_equal(found.rows, np.arange(5))


def test_near_duplicates_leave_the_first() -> None:
    long = " ".join(f"word{n}" for n in range(60))
    texts = [long, PLAIN[0], long + " end", "start " + long, PLAIN[0]]
    found = kept(texts, near_duplicates="drop")
    np.testing.assert_array_equal(found.rows, [0, 1])
    assert found.notes == ("3 training texts left out (60.0%): nearly the same as an earlier one.",)


def test_a_text_counts_for_its_first_reason() -> None:
    found = kept(["a", "a", "##", *PLAIN], duplicates="drop", least=3, symbols=0.5)
    assert found.notes == ("3 training texts left out (42.9%): shorter than 3 characters.",)


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="expected training texts that stay; found none of 4"):
        kept(PLAIN, least=1000)
    with pytest.raises(ValidationError, match="most is at least as large as least"):
        TextFilters(least=5, most=4)
