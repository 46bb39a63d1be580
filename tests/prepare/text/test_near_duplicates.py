"""Near duplicates by MinHash: against the exact share of n-grams."""

from __future__ import annotations

import random
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core.texts import Grams, TextForm
from sixfold.prepare.text import near_duplicates as minhash
from sixfold.prepare.text.near_duplicates import near_duplicates

POOL = [f"word{number}" for number in range(300)]


def jaccard(one: str, other: str) -> float:
    grams, form = Grams("words", 3, 3), TextForm()
    first, second = (set(grams.of(form.normalized(text))) for text in (one, other))
    return len(first & second) / len(first | second)


def changed(text: str, count: int, rng: random.Random) -> str:
    own = text.split()
    for place in rng.sample(range(len(own)), count):
        own[place] = "changed"
    return " ".join(own)


def test_near_duplicates_are_found_and_others_are_not() -> None:
    rng = random.Random(0)
    base = [" ".join(rng.choices(POOL, k=120)) for _ in range(60)]
    near, far = [changed(text, 2, rng) for text in base], [changed(text, 30, rng) for text in base]
    assert all(jaccard(one, other) > 0.88 for one, other in zip(base, near, strict=True))
    assert all(jaccard(one, other) < 0.6 for one, other in zip(base, far, strict=True))
    groups = near_duplicates([*base, *near, *far])
    assert (groups[:60] == groups[60:120]).all()
    assert len(set(groups.tolist())) == 120


def test_the_estimate_is_the_share_of_n_grams_in_common() -> None:
    rng = random.Random(1)
    base = " ".join(rng.choices(POOL, k=200))
    texts = [base, *(changed(base, count, rng) for count in (1, 5, 10, 20, 40))]
    with tempfile.TemporaryFile() as file:
        minhash._write_signatures(texts, file, 0)
        file.seek(0)
        signatures = np.frombuffer(file.read(), np.uint32).reshape(-1, minhash.HASHES)
    for text, own in zip(texts, signatures, strict=True):
        estimate, exact = float((own == signatures[0]).mean()), jaccard(base, text)
        assert abs(estimate - exact) <= 4 * np.sqrt(0.25 / minhash.HASHES)


def test_however_many_are_looked_at_together_the_groups_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(2)
    base = [" ".join(rng.choices(POOL, k=rng.choice([0, 1, 3, 40, 90]))) for _ in range(80)]
    texts = [*base, *(changed(text, rng.randint(0, 1), rng) for text in base if text), *base[:9]]
    expected = near_duplicates(iter(texts))
    for block, part, scanned in ((1, 1, 1), (50, 7, 3), (1000, 64, 1000)):
        monkeypatch.setattr(minhash, "BLOCK", block)
        monkeypatch.setattr(minhash, "PART", part)
        monkeypatch.setattr(minhash, "SCANNED", scanned)
        assert (near_duplicates(texts) == expected).all()


def test_case_and_form_make_no_difference() -> None:
    groups = near_duplicates(
        ["Caf\u00e9 OPEN now", "cafe\u0301 open now", "caf\u00e9 open n\u200bow", "cafe open now"]
    )
    assert groups[0] == groups[1] == groups[2] != groups[3]


@given(
    st.lists(
        st.sampled_from(["", "a", "a b", "a b c", "A  b c", "!", "\ud800", "x" * 50]), max_size=12
    )
)
def test_equal_texts_are_together_and_texts_without_words_alone(texts: list[str]) -> None:
    groups = near_duplicates(texts)
    assert len(groups) == len(texts)
    for at, text in enumerate(texts):
        same = [other for other in range(len(texts)) if groups[other] == groups[at]]
        expected = [
            other
            for other in range(len(texts))
            if texts[other].lower().split() == text.lower().split()
        ]
        assert same == (expected if text else [at])


def test_blocks_change_nothing(monkeypatch: object) -> None:
    rng = random.Random(2)
    texts = [" ".join(rng.choices(POOL[:30], k=rng.randint(0, 20))) for _ in range(50)]
    whole = near_duplicates(texts)
    monkeypatch.setattr(minhash, "BLOCK", 7)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(near_duplicates(texts), whole)


def test_many_equal_texts_take_no_pairs_of_pairs() -> None:
    groups = near_duplicates(["the same text again and again"] * 20_000)
    assert not groups.any()
