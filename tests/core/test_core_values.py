"""The scalar rules, and that serving reads the same text as the same value."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.bundle.cells import CellError, reader
from sixfold.core import values
from sixfold.core.values import LevelType
from sixfold.recipe.signature import Input

NUMBERS = ("1", "-1", "+1", "1.", ".5", "-.5e-3", "1e5", "1E+5", "00012", "0", "-0", "1e-400")
NOT_NUMBERS = (
    "",
    "abc",
    "1_000",
    "1,5",
    "1e",
    "--1",
    "0x10",
    "1f",
    "1d",
    "١",
    "nan(12)",
    "1 2",
    ".",
    "e5",
    "½",
    "- 1",
)


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_what_python_reads(text: str) -> None:
    assert values.number(text) == float(text)


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_what_only_some_languages_read_is_no_number(text: str) -> None:
    assert values.number(text) is None


def test_numbers_that_are_none() -> None:
    assert all(math.isnan(values.number(text) or 0) for text in ("nan", "NaN", "-nan"))
    assert [values.number(text) for text in ("inf", "-Infinity", "1e400")] == [
        math.inf,
        -math.inf,
        math.inf,
    ]


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
    [
        "",
        "2026",
        "11/23/2026",
        "23/11/2026",
        "2026-02-30",
        "2025-02-29",
        "2026-13-01",
        "2026-11-23T25:00",
        "Foo 3, 2026",
        "2026-11-23T15:20:61",
        "2026-11-23+30:00",
        "2026-11-23T10:00+24:00",
        "0000-01-01",
        "2026-11-23x",
        "2026-11-2٣",
    ],
)
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
    assert values.date(values.show_date(values.seconds(near))) == pytest.approx(
        values.seconds(near), abs=2e-5
    )


@given(st.datetimes(min_value=dt.datetime(1900, 1, 1), max_value=dt.datetime(2150, 1, 1)))
def test_dates_of_our_time_read_back_to_the_same_bits(moment: dt.datetime) -> None:
    assert values.date(values.show_date(values.seconds(moment))) == values.seconds(moment)


def served(kind: Any, text: str) -> float | str | None:
    try:
        return reader(Input(name="c", type=kind), frozenset({"", "NA"}))(text)  # type: ignore[no-any-return]
    except CellError:
        return None


def trained(kind: str, text: str) -> float | None:
    stripped = text.strip()
    if stripped in ("", "NA"):
        return math.nan
    read = {"number": values.number, "boolean": values.boolean, "date": values.moment}[kind](
        stripped
    )
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


@given(
    ISO
    | st.sampled_from(["23.11.2026", "3 May 2026", "11/23/2026", "NA", " 2026-01-01 "])
    | st.text(max_size=12)
)
def test_serving_reads_the_same_dates(text: str) -> None:
    assert repr(served("date", text)) == repr(trained("date", text))


@given(
    st.datetimes().map(lambda moment: moment.isoformat(" ", "milliseconds"))
    | st.datetimes().map(dt.datetime.isoformat)
)
def test_the_two_ways_to_read_a_moment_agree(text: str) -> None:
    assert (
        values.date(text)
        == values.date(f"{text}Z")
        == values.seconds(dt.datetime.fromisoformat(text))
    )


DURATIONS = st.timedeltas(dt.timedelta(days=-(10**5)), dt.timedelta(days=10**5))


@given(DURATIONS)
def test_durations_are_the_seconds_that_they_last(lasting: dt.timedelta) -> None:
    for text in (values.spell(lasting), str(pd.Timedelta(lasting))):
        assert text is not None
        assert values.number(text) == lasting.total_seconds()
    if abs(lasting) >= dt.timedelta(days=1):
        assert values.number(str(lasting)) == lasting.total_seconds()


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_a_number_is_one_level_however_it_is_written(value: float) -> None:
    texts = {values.spell(value), json.dumps(value), str(value)}
    if float(value).is_integer() and int(value) == value:
        texts |= {str(int(value))}
    levels = {values.level(text, "number") for text in texts if text is not None}
    assert len(levels) == 1
    (level,) = levels
    assert values.level_type([level]) == "number"
    assert values.level(level, "number") == level
    if isinstance(value, int) or abs(value) > 1e38 or np.float32(value) != value:
        assert values.typed(level, "number") == value


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_of_single_precision_is_the_one_that_it_is_written_as(value: float) -> None:
    written = (
        () if value.is_integer() and abs(value) >= 2**24 else (str(np.float32(value)),)
    )  # 123456790 is no float32
    for same in (value, np.float32(value), *written):
        text = values.spell(same)
        assert text is not None
        assert values.level(text, "number") == values.level(str(values.spell(value)), "number")


@given(st.integers())
def test_whole_numbers_never_pass_through_a_float(value: int) -> None:
    assert values.spell(value) == values.level(str(value), "number") == str(value)
    assert values.typed(str(value), "number") == value


@given(
    st.lists(
        st.text(max_size=5) | st.floats().map(str) | st.integers().map(str) | ISO,
        min_size=1,
        max_size=4,
    )
)
def test_levels_mean_themselves_and_the_rule_holds_for_all(texts: list[str]) -> None:
    kind = values.level_type(texts)
    for text in texts:
        level = values.level(text, kind)
        assert values.level(level, kind) == level
        assert kind != "text" or level == text
        if kind != "text":
            assert values.level_type([level]) == kind


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "2"], "number"),
        (["1.0", "0.5", "1e-07", "-3", "1e+16"], "number"),
        (["01", "2"], "text"),
        (["1.10", "1.1"], "text"),
        (["1E2"], "text"),
        (["v2", "1"], "text"),
        (["+1"], "text"),
        (["1."], "text"),
        (["True", "false"], "boolean"),
        (["yes", "no"], "text"),
        (["2026-11-23", "2026-11-23 10:00:00"], "date"),
        (["20261123"], "number"),
        (["23.11.2026"], "text"),
        (["nan", "1"], "text"),
        ([], "text"),
    ],
)
def test_what_levels_are(texts: list[str], kind: LevelType) -> None:
    assert values.level_type(texts) == kind
    assert kind in get_args(LevelType)


def test_objects_are_spelled_as_a_csv_holds_them() -> None:
    objects = [
        True,
        np.bool_(False),
        7,
        np.uint64(2**64 - 1),
        0.1,
        np.float32(0.1),
        float(np.float32(0.1)),
        np.float16(0.1),
        1.0,
        Decimal("1.10"),
        dt.date(2026, 11, 23),
        dt.datetime(2026, 11, 23, 10),
        dt.time(9, 30),
        pd.Timestamp(2026, 11, 23),
        np.datetime64("2026-11-23"),
        pd.Timedelta(hours=26),
        dt.timedelta(hours=26),
        pd.Interval(0, 5),
        pd.Period("2026-11"),
        None,
        float("nan"),
        pd.NA,
        pd.NaT,
        np.float32("nan"),
        np.datetime64("NaT"),
        np.str_("a"),
    ]
    assert [values.spell(value) for value in objects] == [
        "True",
        "False",
        "7",
        "18446744073709551615",
        "0.1",
        "0.1",
        "0.1",
        "0.1",
        "1.0",
        "1.10",
        "2026-11-23",
        "2026-11-23 10:00:00",
        "09:30:00",
        "2026-11-23 00:00:00",
        "2026-11-23 00:00:00",
        "1 days 02:00:00",
        "1 days 02:00:00",
        "(0, 5]",
        "2026-11",
        "",
        "",
        "",
        "",
        "",
        "",
        "a",
    ]
    for nothing in (b"a", [1], {}, (1,), np.array([1, 2]), object(), 1j, 10**5000):
        assert values.spell(nothing) is None
