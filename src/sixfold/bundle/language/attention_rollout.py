"""Which tokens of a prompt the layers of a language model take an answer from, by their attention. The places
that the answer's tokens are predicted at are averaged.

Shape letters: L layers, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.faithfulness import sentence_of
from sixfold.bundle.explain.rollout import HOW, rolled_out
from sixfold.bundle.gguf_header import GgufHeader
from sixfold.bundle.language.network_graph import NetworkGraph
from sixfold.bundle.language.opened_network import OpenedNetwork, Single
from sixfold.core.errors import RowError

MOST_CELLS: Final = 1 << 26  # attentions of all heads of a layer, and of all layers: 256 MiB each


class Attentions:
    """Of one file."""

    def __init__(self, path: Path, header: GgufHeader) -> None:
        self._header = header
        self._network = OpenedNetwork(path, header, NetworkGraph.attention)

    @property
    def most_tokens(self) -> int:
        """Of a text, so that its attentions fit into memory."""
        heads = self._header.number("attention.head_count")
        return int((MOST_CELLS // max(heads, self._header.number("block_count"))) ** 0.5)

    def means(self, ids: Sequence[int]) -> Single:
        """[L, T, T] how much each token takes from the others, the mean over heads; rows add up to 1. Raises
        RowError for more tokens than fit into memory.
        """
        self.check(ids)
        return self._network.read(ids)

    def check(self, ids: Sequence[int]) -> None:
        """Raises RowError for more tokens than fit into memory."""
        if len(ids) > self.most_tokens:
            expected = f"at most {self.most_tokens:,} tokens with the answer, for a rollout"
            raise RowError("the prompt", expected, f"{len(ids):,}", "Leave method out.")


@dataclass(frozen=True)
class TokenShares:
    """`texts` and `shares` of the prompt's tokens; `answer`: its text; `elsewhere`: the share of the chat
    template's marks and of the answer's own tokens. All shares add up to 1. `areas`: how faithful they are, as
    `faithfulness.of_one` tells it.
    """

    texts: tuple[str, ...]
    shares: tuple[float, ...]
    answer: str
    elsewhere: float
    areas: dict[str, dict[str, float]]

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "method": HOW,
            "answer": self.answer,
            "elsewhere": self.elsewhere,
            "tokens": [{"text": text, "share": share} for text, share in self.pairs()],
            **self.areas,
        }

    def pairs(self) -> list[tuple[str, float]]:
        """The prompt's tokens, with their shares."""
        return list(zip(self.texts, self.shares, strict=True))

    def lines(self) -> list[str]:
        """What is told above them."""
        rest = f"  {self.elsewhere:.4g} of it from the template and the answer itself"
        judged = [sentence_of(each, "tokens") for each in self.areas.values()]
        return [f"{self.answer!r}: shares of attention", rest, *judged]


def shares_of(attentions_LTT: npt.NDArray[Any], answered: range) -> npt.NDArray[np.float64]:
    """[T] the mean over the places `answered`, at which tokens of an answer are predicted."""
    return np.asarray(rolled_out(attentions_LTT)[answered.start : answered.stop].mean(axis=0))
