"""A language model goes on with a text, one token after the other: to be looked at while it learns. What
serves it does so faster (`bundle/runtimes/language.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.text_tokenizer import TextTokenizer
from sixfold.parts.token_windows import one_text


def continued(
    network: PackedNetwork,
    ids: Sequence[int],
    tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[int]:
    """Up to `tokens` ids that follow `ids`, until a text ends. `temperature`: 0 takes the likeliest;
    else they are drawn, by scores over it; the same seed draws the same.
    """
    own = torch.Generator().manual_seed(seed)
    end, most = int(network.network.config.eos_token_id), network.longest
    found, device = list[int](), next(network.parameters()).device
    with torch.no_grad():
        while len(found) < tokens and len(ids) + len(found) < most:
            scores = network(one_text([*ids, *found]).to(device))[0, -1].to("cpu", torch.float64)
            if temperature > 0:
                drawn = torch.multinomial((scores / temperature).softmax(0), 1, generator=own)
            else:
                drawn = scores.argmax().reshape(1)
            found.append(int(drawn))
            if found[-1] == end:
                return found[:-1]
    return found


def sample(
    network: PackedNetwork, tokenizer: TextTokenizer, prompt: str, tokens: int, seed: int
) -> str:
    """What may follow a prompt, drawn at a temperature of 0.8; its marks of messages are text."""
    (ids,) = tokenizer.encode([prompt])
    text = tokenizer.decode(continued(network, [tokenizer.start, *ids], tokens, 0.8, seed))
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)
