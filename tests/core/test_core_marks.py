"""Numbers with marks: whatever a format writes it reads, and it reads nothing that is written in
another way.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core import values
from sixfold.core.errors import RecipeError
from sixfold.core.marks import NumberFormat
from sixfold.recipe.load import from_object
from sixfold.recipe.reading import ReadFile

FORMATS = st.builds(
    NumberFormat,
    decimal=st.sampled_from([".", ","]),
    thousands=st.sampled_from(["", " ", "'", "_"]),
    strip=st.sampled_from([(), ("$",), ("%", "€"), ("kg", "km/h"), ("US$", "$")]),
    accounting=st.booleans(),
)


def written(value: float, chosen: NumberFormat, seed: int) -> str:
    """The number with every mark of its format, somewhere."""
    sign, digits = ("-", repr(value)[1:]) if math.copysign(1, value) < 0 else ("", repr(value))
    whole, point, fraction = digits.partition(".")
    if chosen.thousands and "e" not in digits:
        whole = f"{int(whole):,}".replace(",", chosen.thousands)
    text = whole + (chosen.decimal if point else "") + fraction
    mark = chosen.strip[seed % len(chosen.strip)] if chosen.strip else ""
    space = " " * (seed % 2)
    text = f"{mark}{space}{text}" if seed % 3 else f"{text}{space}{mark}"
    if sign and chosen.accounting and seed % 5 < 2:
        return f"({text})" if seed % 5 else f"{text}-"
    return ("\u2212" if seed % 2 else sign) + text if sign else text


@given(st.floats(allow_nan=False, allow_infinity=False), FORMATS, st.integers(0, 30))
def test_what_a_format_writes_it_reads_to_the_same_bits(
    value: float, chosen: NumberFormat, seed: int
) -> None:
    read = chosen.number(written(value, chosen, seed))
    assert read is not None
    assert (read, math.copysign(1, read)) == (value, math.copysign(1, value))
    assert chosen.number(chosen.show(value)) == value


@given(st.text("0123456789.,-+()$ %kg'eE_\u2212\u00a0", max_size=12))
def test_without_marks_a_format_reads_what_every_column_reads(text: str) -> None:
    plain = NumberFormat(accounting=False)
    assert (
        plain.number(text.strip()) == values.number(text.strip())
        or "+ " in text
        or "- " in text
        or "\u2212" in text
    )


@pytest.mark.parametrize(
    ("text", "chosen", "value"),
    [
        ("$1,234.50", NumberFormat(thousands=",", strip=("$",)), 1234.5),
        ("-$5", NumberFormat(strip=("$",)), -5),
        ("$-5", NumberFormat(strip=("$",)), -5),
        ("($ 5)", NumberFormat(strip=("$",)), -5),
        ("$(5)", NumberFormat(strip=("$",)), -5),
        ("5-", NumberFormat(), -5),
        ("(3.2)", NumberFormat(), -3.2),
        ("EUR 5", NumberFormat(strip=("EUR",)), 5),
        ("12 kg", NumberFormat(strip=("kg",)), 12),
        ("15%", NumberFormat(strip=("%",)), 15),
        ("1\u00a0234,5", NumberFormat(",", " "), 1234.5),
        ("1’234.5", NumberFormat(thousands="'"), 1234.5),
        ("\u22125", NumberFormat(), -5),
        (".5", NumberFormat(), 0.5),
        (",5", NumberFormat(","), 0.5),
        ("1,", NumberFormat(","), 1),
        ("1.234.567,8", NumberFormat(",", "."), 1234567.8),
        ("1,234", NumberFormat(","), 1.234),
        ("1,234", NumberFormat(thousands=","), 1234),
    ],
)
def test_writings(text: str, chosen: NumberFormat, value: float) -> None:
    assert chosen.number(text) == value


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("1.5", NumberFormat(",", ".")),
        ("12,34", NumberFormat(thousands=",")),
        ("1,2345", NumberFormat(thousands=",")),
        ("(3.2)", NumberFormat(accounting=False)),
        ("5-", NumberFormat(accounting=False)),
        ("-(5)", NumberFormat()),
        ("--5", NumberFormat()),
        ("5 kg", NumberFormat(strip=("g",))),
        ("$", NumberFormat(strip=("$",))),
        ("", NumberFormat()),
        ("1" * 200, NumberFormat()),
        ("5 $ 6", NumberFormat(strip=("$",))),
        ("(5", NumberFormat()),
    ],
)
def test_what_a_format_does_not_read(text: str, chosen: NumberFormat) -> None:
    assert chosen.number(text) is None


def test_a_column_adds_to_what_the_file_says() -> None:
    read = ReadFile.model_validate(
        {"decimal": ",", "columns": {"price": {"strip": ["$"]}, "n": {"decimal": "."}}}
    )
    assert read.format_of("price") == NumberFormat(",", "", ("$",))
    assert read.format_of("n") == NumberFormat(".")
    assert read.format_of("other") == NumberFormat(",")
    assert ReadFile(encoding="cp1252").format_of("other") is None
    assert (
        ReadFile.model_validate({"columns": {"a": {"accounting": True}}}).format_of("a")
        == NumberFormat()
    )


@pytest.mark.parametrize(
    ("read", "message"),
    [
        ({"decimal": ",", "thousands": ","}, "expected different marks for decimals and thousands"),
        ({"thousands": "."}, "Set decimal: ',', or leave out thousands."),
        (
            {"decimal": ",", "columns": {"a": {"thousands": ","}}},
            "expected different marks for decimals and thousands",
        ),
        (
            {"strip": ["-"]},
            "data.read.strip: expected marks such as '$', '%' or 'kg', without digits and signs",
        ),
        ({"strip": ["1"]}, "without digits and signs"),
        ({"strip": [""]}, "without digits and signs"),
        ({"encoding": "base64"}, "data.read.encoding: expected the name of an encoding of text"),
        ({"encoding": "cp99"}, "Usual: cp1252"),
        ({"decimal": ";"}, "data.read.decimal: expected one of"),
        ({"columns": {"a": {"decimals": ","}}}, "Did you mean 'decimal'?"),
    ],
)
def test_marks_that_contradict_each_other(read: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        from_object({"data": {"source": "a.csv", "target": "y", "read": read}})
    assert message in str(caught.value)
