"""How fast a language model answers: the engine that serves it, from a request to its tokens."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from sixfold.bundle.language.engine import Engine, EngineLimits
from sixfold.bundle.language.requests import GenerationRequest, Piece, Sampling
from sixfold.recipe.receipt import Cost

TOGETHER: Final = 8  # requests at once
ROUNDS: Final = 3
ANSWER: Final = 64  # tokens of an answer, in a context that has room for them
HOW: Final = (
    "Tokens/s: the engine that serves the bundle, from a request to the last of its tokens, the prompt included; one request "
    "alone, and eight at once; before and after in turn, the median.",
    "First token: from a request, alone, to its first token.",
)


@dataclass
class Stopwatch:
    """What is known of some requests at once: when they were asked, when each first and the last of all
    tokens came, and how many these are.
    """

    requests: int
    asked: float = 0.0
    first: float = 0.0
    last: float = 0.0
    tokens: int = 0
    errors: list[Exception] = field(default_factory=list)
    ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def deliver(self, piece: Piece) -> None:
        """Called by the engine's thread."""
        self.last = time.perf_counter()
        self.first = self.first or self.last
        self.tokens += len(piece.ids)
        if piece.error is not None:
            self.errors.append(piece.error)
        if piece.last:
            self.ended.release()

    @classmethod
    def of(cls, engine: Engine, prompts: Sequence[Sequence[int]], answer: int) -> Self:
        """Ask all at once, and wait. Raises what the engine could not do."""
        watch = cls(len(prompts))
        watch.asked = time.perf_counter()
        for prompt in prompts:
            request = GenerationRequest(tuple(prompt), answer, Sampling(temperature=0.0))
            engine.submit(request, watch.deliver)
        for _ in prompts:
            watch.ended.acquire()
        if watch.errors:
            raise watch.errors[0]
        return watch

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / (self.last - self.asked)


@dataclass(frozen=True)
class Speed:
    """Tokens a second of one request and of eight, and milliseconds to the first token."""

    one: float
    eight: float
    first_ms: float

    def into(self, cost: Cost) -> Cost:
        """With these figures."""
        rates = {"tokens_per_s_1": round(self.one, 1), "tokens_per_s_8": round(self.eight, 1)}
        return cost.model_copy(update={**rates, "first_token_ms": round(self.first_ms, 2)})


def speeds(
    models: Sequence[bytes], prompts: Sequence[Sequence[int]], context: int, most_s: float
) -> list[Speed]:
    """Of GGUF files, measured in turn for about `most_s`, one round in any case. `prompts`: eight, no
    two alike; they are cut so that an answer has room in the context.
    """
    answer = max(1, min(ANSWER, context // 2))
    asked = [list(prompt)[: max(1, context - answer - 1)] for prompt in prompts]
    limits = EngineLimits(TOGETHER, TOGETHER * (context + ANSWER), prefix_cache=False)
    end = time.monotonic() + most_s
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engines = []
        for number, model in enumerate(models):
            path = folder / f"{number}.gguf"
            path.write_bytes(model)
            engines.append(stack.enter_context(closing(Engine(path, limits))))
        seen: list[list[tuple[Stopwatch, Stopwatch]]] = [[] for _ in models]
        for engine in engines:
            Stopwatch.of(engine, asked, 1)  # warm
        for round_number in range(ROUNDS):
            if round_number and time.monotonic() >= end:
                break
            for engine, own in zip(engines, seen, strict=True):
                alone = Stopwatch.of(engine, asked[round_number : round_number + 1], answer)
                own.append((alone, Stopwatch.of(engine, asked, answer)))
    return [_median(own) for own in seen]


def _median(seen: Sequence[tuple[Stopwatch, Stopwatch]]) -> Speed:
    alone, together = zip(*seen, strict=True)
    return Speed(
        statistics.median(watch.rate for watch in alone),
        statistics.median(watch.rate for watch in together),
        statistics.median(1e3 * (watch.first - watch.asked) for watch in alone),
    )
