"""The scalar rules, and that serving reads the same text as the same value."""

from __future__ import annotations

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.bundle.cells import CellError, readers
from sixfold.core import values

NUMBERS = ("1", "-1", "+1", "1.", ".5", "-.5e-3", "1e5", "1E+5", "00012", "0", "-0", "1e-400")
NOT_NUMBERS = ("", "abc", "1_000", "1,5", "1e", "--1", "0x10", "1f", "1d", "١", "nan(12)", "1 2", ".", "e5", "½", "- 1")


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_what_python_reads(text: str) -> None:
    assert values.number(text) == float(text)


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_what_only_some_languages_read_is_no_number(text: str) -> None:
    assert values.number(text) is None


def test_numbers_that_are_none() -> None:
    assert all(math.isnan(values.number(text) or 0) for text in ("nan", "NaN", "-nan"))
    assert [values.number(text) for text in ("inf", "-Infinity", "1e400")] == [math.inf, -math.inf, math.inf]


def test_booleans() -> None:
    assert [values.boolean(t) for t in ("true", "YES", "t", "Y", "1", "1.0")] == [True] * 6
    assert [values.boolean(t) for t in ("false", "No", "F", "n", "0", "0.0")] == [False] * 6
    assert [values.boolean(t) for t in ("", "2", "maybe", "on", "ja")] == [None] * 5


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-23", "2026-11-23T00:00:00+00:00"),
        ("20261123", "2026-11-23T00:00:00+00:00"),
        ("2026/11/23", "2026-11-23T00:00:00+00:00"),
        ("2026/1/3", "2026-01-03T00:00:00+00:00"),
        ("23.11.2026", "2026-11-23T00:00:00+00:00"),
        ("3.1.2026 07:08", "2026-01-03T07:08:00+00:00"),
        ("23 Nov 2026", "2026-11-23T00:00:00+00:00"),
        ("23-Nov-2026", "2026-11-23T00:00:00+00:00"),
        ("November 23, 2026", "2026-11-23T00:00:00+00:00"),
        ("Sept. 1 2026", "2026-09-01T00:00:00+00:00"),
        ("2026-11-23T15:20", "2026-11-23T15:20:00+00:00"),
        ("2026-11-23 15:20:01", "2026-11-23T15:20:01+00:00"),
        ("2026-11-23T15:20:01.25Z", "2026-11-23T15:20:01.250000+00:00"),
        ("2026-11-23T15:20:01.123456789", "2026-11-23T15:20:01.123456+00:00"),
        ("2026-11-23T15:20:01+02:00", "2026-11-23T15:20:01+02:00"),
        ("2026-11-23 15:20:01 -0330", "2026-11-23T15:20:01-03:30"),
        ("20261123T152001Z", "2026-11-23T15:20:01+00:00"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59+00:00"),
        ("2024-02-29", "2024-02-29T00:00:00+00:00"),
    ],
)
def test_dates_in_common_forms(text: str, iso: str) -> None:
    assert values.date(text) == values.seconds(dt.datetime.fromisoformat(iso))


@pytest.mark.parametrize(
    "text",
    ["", "2026", "11/23/2026", "23/11/2026", "2026-02-30", "2025-02-29", "2026-13-01", "2026-11-23T25:00", "Foo 3, 2026",
     "2026-11-23T15:20:61", "2026-11-23+30:00", "2026-11-23T10:00+24:00", "0000-01-01", "2026-11-23x", "2026-11-2٣"],
)  # fmt: skip
def test_no_dates(text: str) -> None:
    assert values.date(text) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_so_that_they_read_back(value: float) -> None:
    text = values.show_number(value)
    again = values.number(text)
    assert again == value
    assert math.copysign(1, again) == math.copysign(1, value)
    assert not text.endswith(".0") or abs(value) >= 2**63 or text == "-0.0"


@given(st.datetimes())
def test_dates_are_written_so_that_they_read_back(moment: dt.datetime) -> None:
    near = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert values.date(values.show_date(values.seconds(near))) == pytest.approx(values.seconds(near), abs=2e-5)


@given(st.datetimes(min_value=dt.datetime(1900, 1, 1), max_value=dt.datetime(2150, 1, 1)))
def test_dates_of_our_time_read_back_to_the_same_bits(moment: dt.datetime) -> None:
    assert values.date(values.show_date(values.seconds(moment))) == values.seconds(moment)


def served(kind: str, text: str) -> float | str | None:
    try:
        return readers(frozenset({"", "NA"}))[kind](text)  # type: ignore[no-any-return]
    except CellError:
        return None


def trained(kind: str, text: str) -> float | None:
    stripped = text.strip()
    if stripped in ("", "NA"):
        return math.nan
    read = {"number": values.number, "boolean": values.boolean, "date": values.date}[kind](stripped)
    return None if read is None or math.isinf(read) else float(read)


ALPHABET = st.characters(codec="ascii", exclude_categories=("Cc",))
ISO = st.datetimes().map(str) | st.datetimes().map(dt.datetime.isoformat) | st.dates().map(str)


@pytest.mark.parametrize("kind", ["number", "boolean"])
@given(
    st.text(ALPHABET, max_size=8)
    | st.text("0123456789+-.eEinfa _", max_size=8)
    | st.floats().map(str)
    | st.sampled_from(["true", "No", "T", "1.0", " 1 ", "NA", " NA", "1_0"])
)
def test_serving_reads_the_same(kind: str, text: str) -> None:
    assert repr(served(kind, text)) == repr(trained(kind, text))


@given(ISO | st.sampled_from(["23.11.2026", "3 May 2026", "11/23/2026", "NA", " 2026-01-01 "]) | st.text(max_size=12))
def test_serving_reads_the_same_dates(text: str) -> None:
    assert repr(served("date", text)) == repr(trained("date", text))


@given(
    st.datetimes().map(lambda moment: moment.isoformat(" ", "milliseconds")) | st.datetimes().map(dt.datetime.isoformat)
)
def test_the_two_ways_to_read_a_moment_agree(text: str) -> None:
    assert values.date(text) == values.date(f"{text}Z") == values.seconds(dt.datetime.fromisoformat(text))
