"""What proves that a served language model is the trained one: texts, their tokens, answers and log-probabilities, by
the code that trained, on the weights of the GGUF file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch.nn.functional import log_softmax

from sixfold.bundle.language.parity import CLEAR, StoredText
from sixfold.bundle.language.tokens import LanguageTokens
from sixfold.package.served_weights import served_network

TEXTS: Final = 8
CHARACTERS: Final = 160  # of a stored text
ANSWER: Final = 16  # tokens
LEAST: Final = 4  # tokens that a text may always have
SHARE: Final = 2  # a text takes at most this part of the context
CHAT: Final = ({"role": "user", "content": "Hello! What is this?"},)


def stored_texts(
    files: Mapping[str, bytes], content: bytes, texts: Sequence[str]
) -> list[StoredText]:
    """Of some of `texts`, and of a chat where the model has a template. `files`: the checkpoint's;
    `content`: of the GGUF file.
    """
    tokens = LanguageTokens.of(files, "the checkpoint")
    network = served_network(files, content)
    most = max(LEAST, tokens.context // SHARE - ANSWER)
    found = []
    for text in texts[:TEXTS]:
        given, ids = _fitting(text[:CHARACTERS], tokens, most)
        if ids:
            found.append(_scored(network, ids, tokens, text=given))
    if tokens.template is not None:
        ids = tokens.chat(CHAT)
        if len(ids) <= most:
            found.append(_scored(network, ids, tokens, messages=CHAT))
    return found


def _fitting(text: str, tokens: LanguageTokens, most: int) -> Any:
    """A beginning of the text that has at most `most` tokens, and these."""
    while len(ids := tokens.prompt(text)) > most:
        text = text[: len(text) // 2]
    return text, ids


def _scored(network: Any, ids: Sequence[int], tokens: LanguageTokens, **given: Any) -> StoredText:
    """The answer by the most probable tokens, and all log-probabilities. It ends before a score that has no token:
    a network may have room for more of them than its tokenizer has.
    """
    whole, clear, sure = list(ids), 0, True
    for _ in range(min(ANSWER, tokens.context - len(ids) - 1)):
        best = _logprobs(network, whole)[-1].topk(2)
        if int(best.indices[0]) >= tokens.size:
            break
        sure = sure and float(best.values[0] - best.values[1]) > CLEAR
        clear += sure
        whole.append(int(best.indices[0]))
    scores = _logprobs(network, whole)
    logprobs = tuple(round(float(scores[place, token]), 6) for place, token in enumerate(whole[1:]))
    answer = tuple(whole[len(ids) :])
    return StoredText(**given, ids=tuple(ids), answer=answer, logprobs=logprobs, clear=clear)


def _logprobs(network: Any, ids: Sequence[int]) -> torch.Tensor:
    """[tokens, vocabulary]"""
    with torch.no_grad():
        return log_softmax(network(torch.tensor([list(ids)])).logits[0].float(), dim=-1)
