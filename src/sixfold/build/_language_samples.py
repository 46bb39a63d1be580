"""What a language model writes while it learns: how texts go on, how questions are answered."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import takewhile
from typing import Final, NamedTuple

import numpy as np

from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.stored_tokens import Ids, StoredTokens
from sixfold.parts.text_sampling import continued, sample
from sixfold.parts.text_tokenizer import MESSAGE_END
from sixfold.parts.token_windows import ids_of

TOKENS: Final = 60  # that are written
PROMPTS, PROMPT_TOKENS = 2, 12  # openings of training texts
QUESTIONS: Final = 3  # of training examples


class Written(NamedTuple):
    """A prompt and what the model made of it."""

    prompt: str
    text: str


def written(
    network: PackedNetwork, tokens: StoredTokens, stops: Collection[int] = ()
) -> Iterator[Written]:
    """Of texts: from nothing, and from how some of them begin, drawn by fixed seeds. Of examples: the
    likeliest answers to what some of them ask; `stops`: ids that end one, besides the tokenizer's.
    """
    if tokens.whole:
        tokenizer = tokens.tokenizer
        yield from _answers(network, tokens, {tokenizer.end, tokenizer.id_of(MESSAGE_END), *stops})
        return
    for number, prompt in enumerate(["", *_openings(tokens)]):
        yield Written(prompt, sample(network, tokens.tokenizer, prompt, TOKENS, number))


def sampling(operations: float) -> float:
    """Of writing all of it once, by a model that takes so many operations a token: each token reads all before it."""
    return (1 + PROMPTS) * operations * TOKENS * (PROMPT_TOKENS + TOKENS / 2)


def _answers(
    network: PackedNetwork, tokens: StoredTokens, ends: Collection[int | None]
) -> Iterator[Written]:
    tokenizer = tokens.tokenizer
    for ids in _some(tokens, QUESTIONS):
        asked = ids_of(ids[: int(np.argmax(ids >= 0))]).tolist()  # up to what is learned
        said = takewhile(lambda one: one not in ends, continued(network, asked, TOKENS))
        yield Written(tokenizer.decode(asked), tokenizer.decode(list(said)))


def _openings(tokens: StoredTokens) -> list[str]:
    """How some of the texts begin, cut behind a word."""
    found = [
        tokens.tokenizer.decode(ids_of(text[1 : 1 + PROMPT_TOKENS]).tolist())
        for text in _some(tokens, PROMPTS)
    ]
    return [text.rpartition(" ")[0] or text for text in found]


def _some(tokens: StoredTokens, count: int) -> Iterator[Ids]:
    """Rows that are spread evenly."""
    rows = np.unique(np.linspace(0, len(tokens) - 1, count).astype(np.int64))
    return tokens.take(rows).texts()
