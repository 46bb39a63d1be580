"""Texts on disk: what was written is read, in any order; equal ones are one; a fitted thing keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core.errors import BudgetError, DataError
from sixfold.parts import scratch, state
from sixfold.parts.stored_texts import DerivedTexts, few_at_once, store_texts
from sixfold.parts.table import Column, Table

TEXTS = st.lists(st.text(max_size=6) | st.sampled_from(["", "a", "ä\n", "\ud800"]), max_size=30)


@given(TEXTS, st.data())
def test_what_was_written_is_read(texts: list[str], data: st.DataObject) -> None:
    stored = store_texts(iter(texts))
    assert list(stored) == texts == [stored[row] for row in range(len(texts))]
    assert list(stored[1::2]) == texts[1::2]
    assert list(DerivedTexts(stored, str.upper)[::-1]) == [text.upper() for text in texts[::-1]]
    rows = data.draw(st.lists(st.integers(-1, len(texts) - 1) if texts else st.nothing()))
    taken = stored.take(np.array(rows, dtype=np.int64))
    assert list(taken) == [texts[row] if row >= 0 else "" for row in rows]
    with pytest.raises(IndexError):
        stored[len(texts)]


@given(TEXTS)
def test_equal_texts_are_one_in_the_order_of_their_first_places(texts: list[str]) -> None:
    levels, codes = store_texts(texts).distinct()
    assert list(levels) == [text for text in dict.fromkeys(texts) if text]
    assert [levels[code] if code >= 0 else "" for code in codes.tolist()] == texts


@given(TEXTS, st.integers(1, 5), st.integers(1, 9))
def test_few_come_at_once_and_none_is_lost(texts: list[str], count: int, characters: int) -> None:
    found = list(few_at_once(texts, count, characters))
    assert [text for some in found for text in some] == texts
    assert all(0 < len(some) <= count for some in found)
    assert all(sum(map(len, some[:-1])) < characters for some in found)


def test_a_table_with_texts_on_disk_is_saved_and_read(tmp_path: Path) -> None:
    levels, codes = store_texts(["one", "", "two", "one"]).distinct()
    table = Table({"text": Column("text", codes, levels)}, 4)
    state.save(table.take(np.array([3, 1, 2])), tmp_path)
    found = state.load(tmp_path, Table).columns["text"]
    assert list(found.strings()) == ["one", "", "two"]
    assert found.levels_in_digest == table.columns["text"].levels_in_digest
    other = Column("text", codes, store_texts(["one", "three"]))
    assert found.levels_in_digest != other.levels_in_digest


def test_a_file_that_was_cut_and_a_full_disk_are_told(tmp_path: Path) -> None:
    stored = store_texts(["a text", "and another one"])
    Path(stored.file).write_bytes(b"a text")
    with pytest.raises(DataError, match="15 bytes at 6; found a shorter file"):
        list(stored)
    with scratch.of_run(tmp_path, 10):
        with pytest.raises(BudgetError, match="room for all texts; found 10 B"):
            store_texts(["x" * 8, "y" * 8])
        assert list(scratch.SCRATCH.folder().iterdir()) == []
