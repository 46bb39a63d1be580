"""How probable a character is after others: n-grams of the training texts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from sixfold.recipe.ctc_decoder import END, MOST_NGRAMS

Counts = Mapping[str, Mapping[str, int]]
MOST_KEPT: Final = 1 << 18  # probabilities that are remembered


def counted(texts: Iterable[str], order: int) -> dict[str, dict[str, int]]:
    """What comes before (at most `order` - 1 characters) → a character → how often; the longest are left out
    where there are more than MOST_NGRAMS.
    """
    found: list[Counter[tuple[str, str]]] = [Counter() for _ in range(order)]
    for text in texts:
        whole = END + text + END
        for at in range(1, len(whole)):
            for length in range(min(order, at + 1)):
                found[length][whole[at - length : at], whole[at]] += 1
    counts: dict[str, dict[str, int]] = {}
    left = MOST_NGRAMS
    for grams in found:
        if len(grams) > left:
            break
        left -= len(grams)
        for (before, character), count in sorted(grams.items()):
            counts.setdefault(before, {})[character] = count
    return counts


class CharacterModel:
    """Interpolated n-grams: P(c | h) = (count(h c) + kinds(h) · P(c | h')) / (count(h) + kinds(h)), where
    kinds(h) is how many characters followed h, and h' is h without its first character; before the shortest
    one all characters are equally probable (Witten and Bell, The zero-frequency problem, 1991).
    """

    def __init__(self, counts: Counts, characters: int) -> None:
        self._counts, self._equal = counts, 1.0 / (characters + 1)
        self._longest = max(map(len, counts), default=0)
        self._known: dict[tuple[str, str], float] = {}

    def seen(self, before: str) -> str:
        """What the n-grams look at of a text so far."""
        return before[-self._longest :] if self._longest else ""

    def log_probability(self, before: str, character: str) -> float:
        """ln P(character | before); `before` starts with END, and END as a character ends a text."""
        before = self.seen(before)
        key = before, character
        if key not in self._known:
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[key] = math.log(self._probability(before, character))
        return self._known[key]

    def _probability(self, before: str, character: str) -> float:
        found = self._equal
        for length in range(len(before) + 1):
            follows = self._counts.get(before[len(before) - length :])
            if follows is None:
                break
            kinds = len(follows)
            found = (follows.get(character, 0) + kinds * found) / (sum(follows.values()) + kinds)
        return found
