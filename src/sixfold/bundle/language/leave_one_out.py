"""Which tokens of a prompt an answer depends on: each is left out, and the log-probability of the
same answer is computed again (Li, Monroe and Jurafsky, 2016).

change = log p(answer | prompt) - log p(answer | prompt without the token), in nats: above 0 where
the token made the answer more probable. What the layers look at is another question, which a rollout of
their attention answers (`attention_rollout`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain import faithfulness
from sixfold.bundle.explain.explainer import over_time
from sixfold.bundle.explain.faithfulness import JudgedRow, sentence_of
from sixfold.bundle.explain.rollout import rolled_out
from sixfold.bundle.language.answer_text import NEAR
from sixfold.bundle.language.attention_rollout import TokenShares, shares_of
from sixfold.bundle.language.requests import GenerationRequest, Sampling
from sixfold.core.errors import RowError

if TYPE_CHECKING:
    from sixfold.bundle.language.model import LanguageRuntime

HOW: Final = "tokens left out one after the other: what the answer's log-probability loses"
MOST_PIECES: Final = 256  # of a prompt; a longer one is cut into as many runs of tokens
LEAST_PIECES: Final = 8
ANSWER_TOKENS: Final = 16  # that are generated where no answer is given


@dataclass(frozen=True)
class TokenChanges:
    """`texts` and `changes` [pieces] of the prompt, in nats; `answer`: its text; `logprob`: of all
    tokens of the answer, and `without_prompt` the same without the prompt's text, None where nothing
    would be left. `areas`: how faithful they are, as `faithfulness.of_one` tells it.
    """

    texts: tuple[str, ...]
    changes: tuple[float, ...]
    answer: str
    logprob: float
    without_prompt: float | None
    areas: dict[str, dict[str, float]]

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "method": HOW,
            "answer": self.answer,
            "logprob": self.logprob,
            "without_prompt": self.without_prompt,
            "tokens": [{"text": text, "change": change} for text, change in self.pairs()],
            **self.areas,
        }

    def pairs(self) -> list[tuple[str, float]]:
        """Pieces of the prompt, with their changes."""
        return list(zip(self.texts, self.changes, strict=True))

    def lines(self) -> list[str]:
        """What is told above them."""
        found = [f"{self.answer!r}: log-probability {self.logprob:.4g}"]
        if self.without_prompt is not None:
            found.append(f"  without the prompt {self.without_prompt:.4g}")
        found += [sentence_of(each, "tokens") for each in self.areas.values()]
        return found


def changes(
    model: LanguageRuntime, prompt: str, answer: str | None = None, seconds: float = 60.0
) -> TokenChanges:
    """Of the user's message, where the model has a chat template, else of the text to go on with.
    `answer`: None for the most probable one, of up to 16 tokens.

    Raises RowError for a prompt or an answer without tokens or beyond the context, and where it
    would take longer than `seconds`.
    """
    asked = AskedPrompt.of(model, prompt)
    return changes_of(model, asked, answered(model, asked.ids, answer), seconds)


def changes_of(
    model: LanguageRuntime, asked: AskedPrompt, told: tuple[int, ...], seconds: float
) -> TokenChanges:
    """Of an answer whose tokens are known. Raises RowError where it would take longer than `seconds`."""
    model.engine_of(True)  # opening it takes its time once
    started = time.perf_counter()
    whole = _logprob(model, asked.ids, told)
    a_piece_s = time.perf_counter() - started
    pieces = asked.pieces(int(min(MOST_PIECES, seconds / max(a_piece_s, 1e-9))))
    if len(pieces) < min(LEAST_PIECES, asked.stop - asked.start):
        raise over_time(seconds, LEAST_PIECES * a_piece_s)
    lost = tuple(whole - _logprob(model, asked.without(piece), told) for piece in pieces)
    nothing = asked.without(range(asked.start, asked.stop))
    judged = JudgedRow(PromptGame(model, asked, told, pieces), np.array(lost), 0)
    left_s = seconds - (time.perf_counter() - started)
    return TokenChanges(
        texts=tuple(_text(model, [asked.ids[at] for at in piece]) for piece in pieces),
        changes=lost,
        answer=model.tokens.decode(told, asked.ids[-NEAR:]),
        logprob=whole,
        without_prompt=_logprob(model, nothing, told) if nothing else None,
        areas=faithfulness.of_one(judged, left_s) if nothing else {},
    )


@dataclass(frozen=True)
class AskedPrompt:
    """The tokens of what is asked; those of the user's own text are from `start` up to `stop`."""

    ids: tuple[int, ...]
    start: int
    stop: int

    @classmethod
    def of(cls, model: LanguageRuntime, prompt: str) -> AskedPrompt:
        """Raises RowError for a text without tokens, or of one token alone."""
        tokens = model.tokens
        if tokens.template is None:
            ids, around = tokens.prompt(prompt), tokens.prompt("")
        else:
            ids, around = (
                tokens.chat([{"role": "user", "content": text}]) for text in (prompt, "")
            )
        return cls.within(ids, around, repr(prompt[:60]))

    @classmethod
    def within(cls, ids: Sequence[int], around: Sequence[int], shown: str) -> AskedPrompt:
        """`around`: the tokens of what is asked without the user's text, which is `shown` where it is refused.
        Raises RowError for a text without tokens, or of one token alone.
        """
        start = _alike(ids, around)
        behind = _alike(ids[::-1], around[::-1])
        stop = len(ids) - min(behind, len(around) - start)
        if stop <= start or len(ids) < 2:
            raise RowError("the prompt", "a text of at least two tokens", shown, "Write one.")
        return cls(tuple(ids), start, stop)

    def pieces(self, most: int) -> list[range]:
        """Runs of tokens, each of one where there are not more than `most`."""
        count = min(self.stop - self.start, most)
        bounds = np.linspace(self.start, self.stop, count + 1).round().astype(int).tolist()
        return [range(bounds[at], bounds[at + 1]) for at in range(count)]

    def without(self, piece: range) -> tuple[int, ...]:
        """The other tokens."""
        return (*self.ids[: piece.start], *self.ids[piece.stop :])


@dataclass(frozen=True)
class PromptGame:
    """Of a prompt's text `pieces` are left out; what is answered is the log-probability of the answer `told`."""

    model: LanguageRuntime
    asked: AskedPrompt
    told: tuple[int, ...]
    pieces: list[range]

    @property
    def count(self) -> int:
        """Pieces."""
        return len(self.pieces)

    def answers(self, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """[n, pieces] → [n, 1]."""
        return np.array([[_logprob(self.model, self._ids(row), self.told)] for row in kept])

    def _ids(self, kept: npt.NDArray[np.bool_]) -> tuple[int, ...]:
        ids, start, stop = self.asked.ids, self.asked.start, self.asked.stop
        some = (piece for piece, stays in zip(self.pieces, kept, strict=True) if stays)
        return (*ids[:start], *(ids[at] for piece in some for at in piece), *ids[stop:])


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def rollout(
    model: LanguageRuntime, prompt: str, answer: str | None = None, seconds: float = 60.0
) -> TokenShares:
    """Of the same tokens how much of each is in the last layer where the answer is predicted. Raises RowError
    as `changes`, and for more tokens than fit into memory.
    """
    asked = AskedPrompt.of(model, prompt)
    return rollout_of(model, asked, answered(model, asked.ids, answer), seconds)


def rollout_of(
    model: LanguageRuntime, asked: AskedPrompt, told: tuple[int, ...], seconds: float
) -> TokenShares:
    """Of an answer whose tokens are known. Raises RowError for more tokens than fit into memory, and where it
    would take longer than `seconds`.
    """
    count, started = len(asked.ids), time.perf_counter()
    _check_rollout(model, (*asked.ids, *told[:-1]), seconds)
    attentions = model.attentions.means((*asked.ids, *told[:-1]))
    shares = shares_of(attentions, range(count - 1, count - 1 + len(told)))[
        asked.start : asked.stop
    ]
    pieces = [range(at, at + 1) for at in range(asked.start, asked.stop)]
    judged = JudgedRow(PromptGame(model, asked, told, pieces), shares, 0)
    left_s = seconds - (time.perf_counter() - started)
    is_all = len(pieces) == count
    return TokenShares(
        texts=tuple(_text(model, [token]) for token in asked.ids[asked.start : asked.stop]),
        shares=tuple(shares.tolist()),
        answer=model.tokens.decode(told, asked.ids[-NEAR:]),
        elsewhere=float(1.0 - shares.sum()),
        areas={} if is_all else faithfulness.of_one(judged, left_s),
    )


def _check_rollout(model: LanguageRuntime, ids: tuple[int, ...], seconds: float) -> None:
    """Raises RowError where a rollout would take longer, by that of a quarter of the tokens: reading them takes
    at most 16 times as long for all, and multiplying their attentions 64 times.
    """
    few = ids[: -(-len(ids) // 4)]
    model.attentions.check(ids)
    model.attentions.means(few[:1])  # opening the model takes its time once
    started = time.perf_counter()
    attentions = model.attentions.means(few)
    read_s = time.perf_counter() - started
    rolled_out(attentions)
    expected_s = 16 * read_s + 64 * (time.perf_counter() - started - read_s)
    if expected_s > seconds:
        raise over_time(seconds, expected_s)


def answered(model: LanguageRuntime, ids: tuple[int, ...], answer: str | None) -> tuple[int, ...]:
    """The tokens of an answer. Raises RowError for one without tokens, or beyond the context."""
    found = _answer(model, ids, answer)
    limit, count = model.tokens.context, len(ids) + len(found)
    if count >= limit:
        raise RowError(
            "the prompt",
            f"fewer than {limit:,} tokens with its answer",
            f"{count:,}",
            "Shorten it.",
        )
    return found


def _answer(model: LanguageRuntime, ids: tuple[int, ...], answer: str | None) -> tuple[int, ...]:
    """Raises RowError for one without tokens."""
    if answer is not None:
        found = tuple(model.tokens.plain.encode(answer, add_special_tokens=False).ids)
    else:
        request = GenerationRequest(
            ids, ANSWER_TOKENS, Sampling(temperature=0), end=model.tokens.end
        )
        found = tuple(each for each in model.complete(request).ids if each not in model.tokens.end)
    if not found:
        raise RowError("the answer", "a text", "none", "Give one with --answer.")
    return found


def _logprob(model: LanguageRuntime, ids: Sequence[int], answer: tuple[int, ...]) -> float:
    """Of all tokens of the answer, in nats."""
    whole = (*ids, *answer)
    request = GenerationRequest(whole, 1, Sampling(temperature=0), logprobs=True, echo=True)
    return float(sum(model.complete(request).logprobs[len(ids) : len(whole)]))


def _text(model: LanguageRuntime, ids: Sequence[int]) -> str:
    return b"".join(map(model.tokens.token_bytes, ids)).decode("utf-8", "replace")
