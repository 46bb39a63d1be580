"""Columns of text: which are such, and what is to be said about them: scripts, languages, what
repeats in many texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from sixfold.core.texts import TextForm, words
from sixfold.core.units import counted

LOOK: Final = 1000  # distinct texts that are looked at, evenly spread
LEAST_WORDS: Final = 5.0  # on average: names, addresses and job titles have fewer; guessed
LEAST_DISTINCT: Final = (
    0.5  # share of the values that differ: what repeats more is a category, however long; guessed
)
LEAST_ROWS: Final = 20  # fewer say nothing about that; guessed
LETTERS_A_WORD: Final = (
    2.0  # of scripts that put no spaces between words (Chinese, Japanese, Thai); guessed
)
MOST_DESCRIBED: Final = 10_000  # texts of a column, about, that are looked at for languages and boilerplate, evenly spread
READ: Final = 2000  # characters of a text that are looked at for its language
LEAST_COMMON: Final = (
    2  # of a language's common words, and more than of any other, before a text is said to be in it
)
LEAST_SHARE: Final = (
    0.01  # of the texts are in a language that is named: fewer may be mistaken ones
)
REPEATED: Final = 0.1  # of the texts have a line, or start or end alike: that is told; guessed
LEAST_REPEATED: Final = 10  # texts; guessed
EDGE: Final = 4  # words of a start or an end

_UNSPACED: Final = re.compile(
    "[\u0e00-\u0edf\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)
SCRIPTS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(f"[{letters}]")
    for name, letters in {
        "Latin": "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
        "Greek": "\u0370-\u03ff\u1f00-\u1fff",
        "Cyrillic": "\u0400-\u052f",
        "Hebrew": "\u0590-\u05ff",
        "Arabic": "\u0600-\u06ff\u0750-\u077f",
        "Devanagari": "\u0900-\u097f",
        "Thai": "\u0e00-\u0e7f",
        "Hangul": "\u1100-\u11ff\uac00-\ud7af",
        "Kana": "\u3040-\u30ff",
        "Han": "\u3400-\u9fff",
    }.items()
}
# The commonest words of a language; a text with LEAST_COMMON of them, more than of another, is in
# it.
COMMON: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(word for word in listed.split() if len(word) > 1)
    for name, listed in {
        "English": "the and of to is you that it for on with are this have be my your at not but what we they can will i",
        "German": "der die das und ist nicht ich sie ein eine zu mit den auf für von dem sich auch wir es im wie aber",
        "French": "le la les et est des un une que pas je vous dans pour qui sur avec ce il nous mais du au plus",
        "Spanish": "el los las y es una que no por con para su se lo como pero más del al está muy yo nos",
        "Italian": "il lo gli e è una che non per con sono di della del ma come più anche ho mi si nel questo",
        "Portuguese": "o os as e é uma que não por com para se da do mas em um você eu como mais foi na no",
        "Dutch": "de het een en van is dat niet ik je op te zijn voor met die er aan maar ook wat naar om",
        "Swedish": "och det att är en som inte jag på för med har den till av om ett vi men så kan du",
        "Polish": "i w nie na się jest to że z do jak ale co po tak za od czy ja jego było",
        "Turkish": "bir ve bu da de için çok ne ben mi ile var ama daha o gibi kadar sen değil",
        "Russian": "и в не на что я с он это как а но по из у за вы так же от мы его",
    }.items()
}


def why_text(levels: Sequence[str], rows: int) -> str:
    """Why a column is text, in a sentence; '' where it is a category or an identifier.

    `levels`: its distinct values; `rows`: how many values it has.
    """
    if rows < LEAST_ROWS or len(levels) < LEAST_DISTINCT * rows:
        return ""
    looked = levels[:: max(1, len(levels) // LOOK)]
    count = sum(_word_count(text) for text in looked) / len(looked)
    if count < LEAST_WORDS:
        return ""
    return f"{count:.0f} words on average, {len(levels):,} different ones in {rows:,} rows"


def _word_count(text: str) -> float:
    unspaced = len(_UNSPACED.findall(text))
    return max(len(text.split()), unspaced / LETTERS_A_WORD)


def describe(name: str, texts: Sequence[str]) -> list[str]:
    """Sentences about a column's texts (one a row, '' where missing): scripts, languages,
    boilerplate.
    """
    form = TextForm(longest=READ)
    looked = texts[:: max(1, len(texts) // MOST_DESCRIBED)]
    known = [form.normalized(text) for text in looked if text]
    said = []
    scripts = Counter(script for text in known if (script := _script(text)))
    if len(scripts) > 1:
        said.append(f"{name}: {_counts(scripts)} texts by script.")
    languages = Counter(_language(text) or "not known" for text in known)
    for language in [
        language for language, count in languages.items() if count < LEAST_SHARE * len(known)
    ]:
        languages["not known"] += languages.pop(language)
    if set(languages) - {"not known"}:
        said.append(f"{name}: by their commonest words, {_counts(languages)} texts.")
    return [*said, *(f"{name}: {sentence}" for sentence in _boilerplate(known))]


def _script(text: str) -> str:
    """The script of most letters; ''."""
    counts = {name: len(pattern.findall(text)) for name, pattern in SCRIPTS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else ""


def _language(text: str) -> str:
    """The language of whose common words a text has clearly the most; ''."""
    own = words(text)
    hits = sorted(
        ((sum(word in common for word in own), name) for name, common in COMMON.items()),
        reverse=True,
    )
    (best, name), (second, _) = hits[0], hits[1]
    return name if best >= LEAST_COMMON and best > second else ""


def _boilerplate(known: Sequence[str]) -> list[str]:
    """Lines, first words and last words that many texts share."""
    least = max(LEAST_REPEATED, REPEATED * len(known))
    lines, starts, ends = Counter[str](), Counter[str](), Counter[str]()
    for text in known:
        own = text.split()
        if len(own) > 2 * EDGE:
            starts[" ".join(own[:EDGE])] += 1
            ends[" ".join(own[-EDGE:])] += 1
        if "\n" in text:
            lines.update({line.strip() for line in text.splitlines()} - {""})
    found = []
    for what, counts in (("have the line", lines), ("begin with", starts), ("end with", ends)):
        found += [
            f"{count:,} of {counted(len(known), 'text')} {what} {part[:60]!r}."
            for part, count in counts.most_common(2)
            if count >= least
        ]
    return found


def _counts(counter: Counter[str]) -> str:
    """ "4,903 English, 12 German" """
    ranked = sorted(counter.items(), key=lambda pair: (pair[0] == "not known", -pair[1], pair[0]))
    return ", ".join(f"{count:,} {name}" for name, count in ranked)
