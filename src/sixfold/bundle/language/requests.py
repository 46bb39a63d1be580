"""What is asked of the engine, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

Finish = Literal["stop", "length"]
MOST_SEED: Final = 2**63 - 1
MOST_STOPS: Final = 4  # stop strings, as OpenAI has it


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. `temperature` 0: the most probable one; `top_k` 0: of all.

    `seed`: the same request with the same seed gets the same tokens, alone or beside others.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True)
class GenerationRequest:
    """`prompt`: token ids; `end`: tokens that end the answer; `json_schema`: which JSON the answer
    must be, as text.

    `logprobs`: natural logarithms of the probabilities of the tokens, before temperature and top-p;
    `echo`: those of the prompt, too, which come first.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    end: frozenset[int] = frozenset()
    json_schema: str | None = None
    logprobs: bool = False
    echo: bool = False


@dataclass(frozen=True)
class Piece:
    """Some tokens more. `finish`: why there are no others; `error`: the request cannot be
    answered, and this is the last piece.
    """

    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    finish: Finish | None = None
    error: Exception | None = None

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return self.finish is not None or self.error is not None


Deliver = Callable[[Piece], None]  # called in the engine's thread; it must not wait


def overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that a stop string begins with."""
    most = min(len(text), len(stop) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(stop[:size])), 0)
