"""From the tokens that a network wrote to a text."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt

from sixfold.bundle.transcription.decoder import Said
from sixfold.core.byte_letters import BYTES
from sixfold.recipe.token_decoder import TokenDecoder


class TokenTexts:
    """By what training wrote down. Calls may come from several threads at once."""

    def __init__(self, described: TokenDecoder) -> None:
        """Raises ValueError for pieces of other letters than those of bytes."""
        self.described = described
        try:
            self._pieces = [bytes(map(BYTES.__getitem__, piece)) for piece in described.pieces]
        except KeyError as error:
            raise ValueError(f"the letter {error}, which is no byte") from None

    def text_of_values(self, tokens: npt.NDArray[Any]) -> str:
        """Numbers of tokens [cells] → what they spell up to the end: what is no UTF-8 replaced, composed
        (Unicode NFC), and a single space for every white space.
        """
        found = np.asarray(tokens, dtype=np.float64)
        known = np.where((found >= 0) & (found < len(self._pieces)), found, self.described.end)
        spelled = bytearray()
        for number in known.astype(np.int64).tolist():
            if number == self.described.end:
                break
            spelled += self._pieces[number]
        text = unicodedata.normalize("NFC", spelled.decode("utf-8", "replace").replace("\0", ""))
        return " ".join(text.split())[: self.described.longest]

    def said(self, values: npt.NDArray[Any]) -> Said:
        """The same: a token has no time."""
        return Said(self.text_of_values(values), None)
