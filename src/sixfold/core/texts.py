"""How a text is read: normalized, then cut into words or n-grams. What training and serving share.
Standard library only.

Every step takes time that grows linearly with the text.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Unicode = Literal["NFKC", "NFC", "none"]
Case = Literal["fold", "keep"]
Unit = Literal["words", "characters", "characters_in_words"]

LONGEST: Final = 100_000  # characters of a text that are read, 40 pages; guessed
CACHED_WORDS: Final = (
    100_000  # whose n-grams are kept, 30 MB at the most; then from the start again
)
LONGEST_CACHED: Final = 60  # characters of a word that is kept: longer ones hardly come back
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
# C0, DEL and C1, but tab, newline, return, the separators 1C to 1F and next line (85), which are
# white space.
_CONTROLS: Final = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
# Soft hyphen, zero-width space, word joiner, byte order mark, and the marks that turn text: they
# change no word. The joiners U+200C and U+200D stay: Persian, Indic scripts and emoji need them.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
_SPACES: Final = re.compile(r"\s\s+")  # as scikit-learn's character n-grams
# Punctuation and symbols; everything else that is no white space belongs to a word: letters, digits
# and marks of every script (`\w` cuts words of Hindi at their vowel signs, which are marks).
_SYMBOL: Final = (
    "!-/:-@\\[-\\^`{-~\u00a1-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7"
    "\u2010-\u2027\u2030-\u205e\u20a0-\u20cf\u2190-\u2bff\u3001-\u3003\u3008-\u3020\u3030\ufe10-\ufe19\ufe30-\ufe6f"
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001faff"
)
_WORDS: Final = re.compile(f"[^\\s{_SYMBOL}]+|[{_SYMBOL}]")


@dataclass(frozen=True)
class TextForm:
    """What of a text's form is levelled before it is read.

    `unicode`: NFKC makes one character of those that look or mean the same (ﬁ, ２, combining marks),
    NFC only of combining marks and their letter. `case`: fold makes STRASSE and straße one. Always:
    half surrogate pairs become U+FFFD, control characters a space, invisible characters nothing;
    what follows `longest` characters is not read.

    >>> TextForm().normalized("Cafe\\u0301 \\ufb01ne\\u200b")
    'café fine'
    """

    unicode: Unicode = "NFKC"
    case: Case = "fold"
    longest: int = LONGEST

    def normalized(self, text: str) -> str:
        """The text that is read."""
        text = text[: self.longest]
        if text.isascii():
            text = _CONTROLS.sub(" ", text)
            return text.lower() if self.case == "fold" else text
        text = self._composed(
            _INVISIBLE.sub("", _CONTROLS.sub(" ", _SURROGATES.sub("\ufffd", text)))
        )
        return self._composed(text.casefold()) if self.case == "fold" else text

    def _composed(self, text: str) -> str:
        return text if self.unicode == "none" else unicodedata.normalize(self.unicode, text)


def words(text: str) -> list[str]:
    """Letters, digits and marks that stand together; punctuation and symbols each by itself.

    >>> words("don't call 0800-123!")
    ['don', "'", 't', 'call', '0800', '-', '123', '!']
    """
    found: list[str] = _WORDS.findall(text)
    return found


@dataclass(frozen=True)
class Grams:
    """Which n-grams of a text are counted: `low` to `high` units, that are words or characters.

    Characters run across words, or stay within them, a space before and behind each (as
    scikit-learn's "char_wb").
    """

    unit: Unit
    low: int
    high: int

    def of(self, text: str) -> list[str]:
        """Every n-gram of a normalized text, as often as it occurs.

        >>> Grams("words", 1, 2).of("free prize")
        ['free', 'prize', 'free prize']
        >>> Grams("characters_in_words", 3, 3).of("a sea")
        [' a ', ' se', 'sea', 'ea ']
        """
        if self.unit == "words":
            return self._of_words(words(text))
        if self.unit == "characters":
            return self._of_characters(_SPACES.sub(" ", text))
        return [gram for word in text.split() for gram in self.of_word(word)]

    def of_word(self, word: str) -> list[str]:
        """Of one word, a space before and behind it; one that is shorter than `low` once, whole."""
        padded, found = f" {word} ", list[str]()
        for size in range(self.low, self.high + 1):
            last = len(padded) - size
            if last <= 0:
                found.append(padded)
                break
            found += [padded[at : at + size] for at in range(last + 1)]
        return found

    def _of_words(self, tokens: list[str]) -> list[str]:
        found = list(tokens) if self.low == 1 else []
        for size in range(max(2, self.low), self.high + 1):
            found += map(" ".join, zip(*(tokens[start:] for start in range(size)), strict=False))
        return found

    def _of_characters(self, text: str) -> list[str]:
        sizes = range(self.low, self.high + 1)
        return [text[at : at + size] for size in sizes for at in range(len(text) - size + 1)]


class GramReader:
    """From a text to the numbers of its n-grams. `number_of`: of an n-gram, None for one that is
    not counted; always the same for the same n-gram, as those of words that were seen are kept:
    most words occur again and again.
    """

    def __init__(
        self, form: TextForm, grams: Grams, number_of: Callable[[str], int | None]
    ) -> None:
        self.form, self.grams, self.number_of = form, grams, number_of
        self._known: dict[str, array[int]] = {}

    def numbers(self, text: str) -> array[int]:
        """Of 32 bits, one for each n-gram of the text, as often as it occurs, in no order that
        means anything.
        """
        text = self.form.normalized(text)
        if self.grams.unit != "characters_in_words":
            return self._counted(self.grams.of(text))
        found, known = array("i"), self._known
        for word in text.split():
            numbers = known.get(word)
            found += self._of_word(word) if numbers is None else numbers
        return found

    def _of_word(self, word: str) -> array[int]:
        numbers = self._counted(self.grams.of_word(word))
        if len(word) <= LONGEST_CACHED:
            if len(self._known) >= CACHED_WORDS:
                self._known.clear()
            self._known[word] = numbers
        return numbers

    def _counted(self, grams: list[str]) -> array[int]:
        return array("i", [number for number in map(self.number_of, grams) if number is not None])


def hashed(places: int) -> Callable[[str], int]:
    """From an n-gram to one of `places` places, the same on every machine: CRC-32, spread by
    Knuth's multiplier.

    >>> hashed(1000)("free")
    946
    """

    def number_of(gram: str) -> int:
        spread = zlib.crc32(gram.encode("utf-8", "surrogatepass")) * 2_654_435_769 & 0xFFFF_FFFF
        return spread * places >> 32

    return number_of
