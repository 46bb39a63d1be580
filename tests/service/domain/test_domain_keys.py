"""Keys: their form, and what is told of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sixfold.service.domain.ids import NAME, name_like, new_id
from sixfold.service.domain.keys import DIGITS, ApiKey, digest_of, new_key, well_formed


def test_a_new_key_is_well_formed_and_never_the_same() -> None:
    keys = {new_key() for _ in range(200)}
    assert len(keys) == 200
    assert all(well_formed(key) and len(key) == 52 and key.startswith("sf_") for key in keys)


@given(st.integers(3, 51), st.sampled_from(DIGITS))
def test_one_wrong_character_is_seen(at: int, digit: str) -> None:
    key = new_key()
    wrong = key[:at] + digit + key[at + 1 :]
    assert well_formed(wrong) is (wrong == key)


@given(st.text(max_size=80))
def test_any_text_is_judged(text: str) -> None:
    assert not well_formed(text)
    assert not well_formed("sf_" + text)


def test_a_key_is_valid_until_it_expires_or_is_revoked() -> None:
    row = ApiKey("key-1", "t", "n", digest_of("k"), "sf_", frozenset(), 0.0, expires_at=10.0)
    assert row.valid(9.9) and not row.valid(10.0)
    assert row.matches(digest_of("k")) and not row.matches(digest_of("l"))


def test_ids_sort_by_time() -> None:
    ids = [new_id("job") for _ in range(50)]
    assert len(set(ids)) == 50
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)


@given(st.text(max_size=200))
def test_any_text_has_a_name(text: str) -> None:
    assert NAME.fullmatch(name_like(text))
