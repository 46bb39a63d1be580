"""Pieces of texts, images and recordings in a terminal: which words, where, when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from sixfold.core.visible import one_line

SHOWN: Final = 20  # words
BAR: Final = 24  # characters
MOST: Final = 8  # patches of an image side by side


def pieces_shown(record: Mapping[str, Any]) -> Iterator[str]:
    """Lines of one explanation."""
    plain = {
        name: told["change"]
        for name, told in record.get("pieces", {}).items()
        if told["kind"] == "value"
    }
    for name, told in record.get("pieces", {}).items():
        if told["kind"] == "text":
            words = [(each["text"].strip(), each["change"]) for each in told["words"]]
            words.sort(key=lambda each: -abs(each[1]))
            yield one_line(f"{name}: words, those that change the answer most first")
            yield from bars(words[:SHOWN])
        elif told["kind"] == "image":
            pixels = f"{told['height']} × {told['width']} pixels"
            yield one_line(f"{name}: patches of the {pixels} that the model sees")
            for row in _patches(told["changes"]):
                yield "  " + " ".join(f"{value:>+7.3f}" for value in row)
        elif told["kind"] == "audio":
            yield one_line(f"{name}: windows of time of the recording")
            yield from bars(list(_windows(told)))
            yield from _words_said(told)
        elif told["kind"] == "spectrum":
            yield one_line(f"{name}: bands of frequency in windows of time of the recording")
            yield from _bands(told)
    if plain:
        yield "columns, each against its usual value"
        yield from bars(sorted(plain.items(), key=lambda each: -abs(each[1])))
    if "faithfulness" in record:
        yield _judged(record)


def _judged(record: Mapping[str, Any]) -> str:
    """How faithful the explanation is, and what was taken away."""
    from sixfold.bundle.explain.faithfulness import sentence_of
    from sixfold.bundle.explain.occlusion import KINDS

    words = [KINDS[told["kind"]] for told in record["pieces"].values()]
    if record["method"].startswith("integrated gradients"):
        words = ["pixels"]
    if record["method"].startswith("attention rollout"):
        words = ["tokens"]
    return sentence_of(record["faithfulness"], " and ".join(dict.fromkeys(words)))


def _patches(changes: list[list[float]]) -> list[list[float]]:
    """As many as fit side by side, each the sum of its pixels."""
    sides = len(changes), len(changes[0])
    if max(sides) <= MOST:
        return changes
    rows, columns = ([size * at // MOST for at in range(MOST + 1)] for size in sides)
    return [
        [sum(sum(line[a:b]) for line in changes[top:bottom]) for a, b in pairwise(columns)]
        for top, bottom in pairwise(rows)
    ]


def _bands(told: Mapping[str, Any]) -> Iterator[str]:
    """A line a band, the highest first; the first line says when each window begins."""
    step = (told["to"] - told["from"]) / max(1, len(told["changes"][0]))
    begins = [told["from"] + at * step for at in range(len(told["changes"][0]))]
    yield f"  {'seconds':>19} " + " ".join(f"{each:>7.3f}" for each in begins)
    pairs = list(zip(told["bands"], told["changes"], strict=True))
    for (low, high), changes in reversed(pairs):
        band = f"{low:,.0f} to {high:,.0f} Hz"
        yield f"  {band:>19} " + " ".join(f"{value:>+7.3f}" for value in changes)


def _windows(told: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    count, start = len(told["changes"]), told["from"]
    step = (told["to"] - start) / max(1, count)
    for number, value in enumerate(told["changes"]):
        yield f"{start + number * step:.3f} to {start + (number + 1) * step:.3f} s", value


def _words_said(told: Mapping[str, Any]) -> Iterator[str]:
    """Of each word of what is said, when, and the window that it depends on most."""
    times = [name for name, _ in _windows(told)]
    for each in told.get("words", ()):
        when, change = max(zip(times, each["changes"], strict=True), key=lambda pair: pair[1])
        said = f"{each['start']:.3f} to {each['end']:.3f} s"
        yield one_line(f"  {each['word']!r}, {said}: most from {when} ({change:+.4g})")


def bars(values: list[tuple[str, float]]) -> Iterator[str]:
    """Names, numbers with sign, and bars as long as the numbers are large."""
    widest = max((abs(value) for _, value in values), default=0.0) or 1.0
    width = min(32, max((len(name) for name, _ in values), default=0))
    for name, value in values:
        bar = ("+" if value > 0 else "-") * round(BAR * abs(value) / widest)
        yield one_line(f"  {name:{width}.60} {value:>+11.4g}  {bar}").rstrip()
