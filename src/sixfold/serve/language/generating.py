"""The answers of one HTTP request while the engine generates them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from sixfold.bundle.language.requests import Deliver, GenerationRequest, Piece
from sixfold.serve.errors import ParameterRefusal, Refusal
from sixfold.serve.language.figures import TokenFigures
from sixfold.serve.language.parameters import WantedAnswers
from sixfold.serve.limits import Gate

if TYPE_CHECKING:
    from sixfold.bundle.language.answer_text import AnswerText
    from sixfold.bundle.language.engine import Ticket
    from sixfold.bundle.language.model import LanguageRuntime

BUSY: Final = "Send the request again in a second."


class Choice:
    """One answer. `text`: of the answer alone; `prompt_logprobs`: of the prompt's tokens, where they
    are asked for.
    """

    def __init__(self, index: int, request: GenerationRequest, text: AnswerText) -> None:
        self.index, self.request, self.text = index, request, text
        self.prompt_logprobs: list[float] = []
        self.content = ""
        self.ticket: Ticket | None = None
        self._prompt_left = len(request.prompt) if request.echo else 0

    def add(self, piece: Piece) -> str:
        """The text that is new. Raises the piece's error."""
        if piece.error is not None:
            raise piece.error
        own = min(self._prompt_left, len(piece.ids))
        self._prompt_left -= own
        self.prompt_logprobs += piece.logprobs[:own]
        new = self.text.add(Piece(piece.ids[own:], piece.logprobs[own:], piece.finish))
        self.content += new
        return new

    @property
    def done(self) -> bool:
        """Whether nothing follows."""
        return self.text.finish is not None

    def cancel(self) -> None:
        """No more of it is generated."""
        if self.ticket is not None:
            self.ticket.cancel()


class _Inbox:
    """From the engine's thread to the event loop. `at_once`: every piece wakes who waits; else the
    last one of an answer does.
    """

    def __init__(self, at_once: bool) -> None:
        self._loop, self._ready = asyncio.get_running_loop(), asyncio.Event()
        self._pieces: deque[tuple[Choice, Piece]] = deque()
        self._at_once = at_once

    def of(self, choice: Choice) -> Deliver:
        """What the engine calls for an answer."""

        def deliver(piece: Piece) -> None:
            self._pieces.append((choice, piece))
            if self._at_once or piece.last:
                with suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._ready.set)

        return deliver

    async def take(self) -> Iterator[tuple[Choice, Piece]]:
        """All that has come, as soon as there is something."""
        await self._ready.wait()
        self._ready.clear()
        return iter([self._pieces.popleft() for _ in range(len(self._pieces))])


class Generating:
    """All answers of one request."""

    def __init__(
        self, model: LanguageRuntime, wanted: WantedAnswers, figures: TokenFigures
    ) -> None:
        self.wanted, self._model, self._figures = wanted, model, figures
        self.choices = [
            Choice(
                index,
                request,
                model.answer_text(wanted.stops, request.prompt if wanted.continues else ()),
            )
            for index, request in enumerate(wanted.generations())
        ]
        self.explanation: dict[str, Any] | None = None
        figures.prompt_tokens += self.prompt_tokens

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts, each once."""
        return sum(map(len, self.wanted.prompts))

    @property
    def generated_tokens(self) -> int:
        """Of all answers."""
        return 0 if self.wanted.silent else sum(each.text.count for each in self.choices)

    async def texts(self) -> AsyncGenerator[tuple[Choice, str], None]:
        """Every new text, and '' at the end of an answer that adds none, until all answers are
        done. What is not taken to its end is cancelled.
        """
        inbox = _Inbox(self.wanted.stream or bool(self.wanted.stops))
        waiting = {choice.index for choice in self.choices}
        try:
            if self.choices[0].request.echo:  # opening what scores prompts takes a while
                await anyio.to_thread.run_sync(self._model.engine_of, True)
            for choice in self.choices:
                choice.ticket = self._model.submit(choice.request, inbox.of(choice))
            while waiting:
                for choice, piece in await inbox.take():
                    if choice.index not in waiting:
                        continue
                    new = choice.add(piece)
                    if choice.done:
                        waiting.remove(choice.index)
                        self._ended(choice)
                    if new or choice.done:
                        yield choice, new
        finally:
            for choice in self.choices:
                if not choice.done:
                    choice.cancel()

    def explain(self) -> None:
        """Of the one answer, once it is done: in a thread. Raises RowError."""
        wanted, (choice,) = self.wanted, self.choices
        if wanted.explanation is not None:
            self.explanation = wanted.explanation.of(
                self._model, wanted.prompts[0], choice.text.ids
            )

    def left(self) -> None:
        """Nobody waits any more: count the answers that are not done."""
        self._figures.ends["cancelled"] += sum(not choice.done for choice in self.choices)

    def _ended(self, choice: Choice) -> None:
        choice.cancel()  # a stop string ends an answer that the engine would go on with
        self._figures.ends[str(choice.text.finish)] += 1
        self._figures.generated_tokens += choice.text.count


@contextmanager
def places(gate: Gate, count: int) -> Iterator[None]:
    """Places in the queue for so many answers. Raises Refusal 400 for more than there are at all,
    429 for more than are free.
    """
    if count > gate.places:
        most, found = f"at most {gate.places:,} answers", f"{count:,}"
        raise ParameterRefusal("n", most, found, "Ask for fewer.", "invalid_value")
    check_room(gate, count)
    gate.inside += count
    try:
        yield
    finally:
        gate.inside -= count


def check_room(gate: Gate, count: int = 1) -> None:
    """Raises Refusal 429."""
    if gate.inside + count > gate.places:
        raise Refusal(429, "the server", f"at most {gate.places:,} answers at once", "more", BUSY)
