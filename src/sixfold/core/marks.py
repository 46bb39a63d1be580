"""How numbers are written with marks: a decimal comma, thousands marks, currencies and units,
parentheses for negatives.

The rules that training and serving share for columns whose recipe says so (`data.read`). Standard
library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sixfold.core import values

MINUS: Final = "\u2212"  # the minus of typesetters
SPACES: Final = (
    " \u00a0\u2009\u202f"  # plain, no-break, thin, narrow no-break: all of them separate thousands
)
ALIKE: Final = {" ": SPACES, "'": "'\u2019"}  # marks that are written in several ways
LONGEST: Final = 100  # characters of a number with its marks: bounds what a hostile cell can cost


@dataclass(frozen=True)
class NumberFormat:
    """The marks of one column's numbers.

    `strip`: texts that may stand before or behind the number ("$", "kg"). `accounting`: (3.2) and
    3.2- are -3.2. A number without any marks but the decimal one is always read; thousands marks
    only between groups of three digits.
    """

    decimal: str = "."
    thousands: str = ""
    strip: tuple[str, ...] = ()
    accounting: bool = True

    def plain(self, text: str) -> str | None:
        """The number as `core.values.number` reads it; None where the text is no number of this
        format.

        >>> NumberFormat(thousands=",", strip=("$",)).plain("($1,234.50)")
        '-1234.50'
        >>> NumberFormat(decimal=",", thousands=".").plain("1.234,5"), NumberFormat(decimal=",", thousands=".").plain("1.5")
        ('1234.5', None)
        """
        if len(text) > LONGEST:
            return None
        sign, body = self._peeled(text.replace(MINUS, "-").strip())
        if body.lower() in ("nan", "inf", "infinity"):
            return sign + body
        match = _body(self.decimal, self.thousands).fullmatch(body)
        if match is None:
            return None
        whole = "".join(letter for letter in match["whole"] if letter.isdecimal()) or "0"
        return f"{sign}{whole}{'.' if match['point'] else ''}{match['fraction'] or ''}{match['exponent'] or ''}"

    def number(self, text: str) -> float | None:
        """The number, by the rules of `core.values.number`; None where the text is no number of
        this format.

        >>> NumberFormat(strip=("%",)).number("15 %")
        15.0
        """
        plain = self.plain(text)
        return None if plain is None else values.number(plain)

    def show(self, value: float) -> str:
        """A number as this format reads it, to the same bits.

        >>> NumberFormat(decimal=",").show(-0.5)
        '-0,5'
        """
        return values.show_number(value).replace(".", self.decimal)

    def _peeled(self, rest: str) -> tuple[str, str]:
        """The sign ("" or "+" or "-"), and what is left without marks around it."""
        sign = ""
        while rest:
            shorter = self._without_mark(rest)
            if shorter != rest:
                rest = shorter
            elif not sign and rest[0] in "+-":
                sign, rest = rest[0], rest[1:].lstrip()
            elif not sign and self.accounting and rest[0] == "(" and rest[-1] == ")":
                sign, rest = "-", rest[1:-1].strip()
            elif not sign and self.accounting and rest[-1] == "-":
                sign, rest = "-", rest[:-1].rstrip()
            else:
                break
        return sign, rest

    def _without_mark(self, text: str) -> str:
        """Without one mark at its start or its end; the longest goes first."""
        for mark in sorted(self.strip, key=len, reverse=True):
            if text.startswith(mark):
                return text[len(mark) :].lstrip()
            if text.endswith(mark):
                return text[: -len(mark)].rstrip()
        return text


@lru_cache(maxsize=64)
def _body(decimal: str, thousands: str) -> re.Pattern[str]:
    """Digits, in groups of three where there are thousands marks, with a fraction and an exponent
    or without.
    """
    point = re.escape(decimal)
    mark = f"[{re.escape(ALIKE.get(thousands, thousands))}]" if thousands else "(?!)"
    grouped = rf"\d{{1,3}}(?:{mark}\d{{3}})+|\d+|(?={point}\d)"  # the last one: .5
    number = (
        rf"(?P<whole>{grouped})(?:(?P<point>{point})(?P<fraction>\d*))?(?P<exponent>[eE][+-]?\d+)?"
    )
    return re.compile(number, re.ASCII)
