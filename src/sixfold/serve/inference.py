"""The hot path: the body of a request → rows → the model → an answer; for our own form of requests
and for the protocol's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from sixfold.bundle.explain.explainer import ExplainEffort
from sixfold.bundle.explain.told import AskedMethod, explanations
from sixfold.bundle.frontend import Feeds, RawRows
from sixfold.bundle.load import Bundle
from sixfold.bundle.predictions import Predictions
from sixfold.core.errors import SixfoldError
from sixfold.recipe.serving import Serve
from sixfold.serve.bodies import Bodies
from sixfold.serve.errors import (
    JsonAnswer,
    Refusal,
    error_response,
    fault_response,
    json_response,
    to_json,
)
from sixfold.serve.limits import (
    EXPLAIN_ROWS,
    EXPLAIN_S,
    LARGE_BODY,
    SMALL_BODY,
    Gate,
    Headers,
    timed,
)
from sixfold.serve.metrics import TOGETHER, Metrics
from sixfold.serve.openapi import example_row

WARM_RUNS: Final = 10
WARM_S: Final = 0.1
MOST_DECODED: Final = 200_000_000  # pixels and samples of all files of a request, by their headers: sixteen photographs; guessed


class Question(NamedTuple):
    """What a body asks for: rows, their number, and the form of the answer. `feeds`: the rows of a
    large body, read already. `explain`: by which method each row's answer is explained, too; None: it is
    not.
    """

    rows: RawRows
    number: int
    answer: Callable[[Predictions], ASGIApp]
    feeds: Feeds | None = None
    explain: AskedMethod | None = None


Read = Callable[[bytes | bytearray, Headers], Question]


class Server(NamedTuple):
    """What all routes share."""

    bundle: Bundle
    settings: Serve
    gate: Gate
    bodies: Bodies
    metrics: Metrics

    def warm(self) -> None:
        """Ask for a row some times: the first ones wait for memory and caches, the quickest tells
        how long one takes.
        """
        row, end, seen = (
            [example_row(self.bundle.signature)],
            time.perf_counter() + WARM_S,
            [math.inf],
        )
        while len(seen) <= WARM_RUNS and time.perf_counter() < end:
            _, seconds = timed(lambda: json_response(self.bundle.predictor.predict(row).records()))
            seen.append(seconds)
        self.gate.seconds[1] = min(seen)


class Inference:
    """An ASGI endpoint of its own, without the rounds through Starlette's routes and middleware:
    they take as long as a model.

    `read`: raises a SixfoldError for what it does not take.
    """

    def __init__(self, server: Server, read: Read) -> None:
        self.server, self.read = server, read
        self._has_files = bool(server.bundle.predictor.becomes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with the four parts of an error."""
        try:
            response: ASGIApp = await self._response(dict(scope["headers"]), receive)
        except SixfoldError as error:
            response = error_response(error, scope["path"])
        except Exception:
            await fault_response(scope["path"])(scope, receive, send)
            raise  # for the log
        await response(scope, receive, send)

    async def _response(self, headers: Headers, receive: Receive) -> ASGIApp:
        gate, bodies = self.server.gate, self.server.bodies
        body = await bodies.read(headers, receive, gate.check_room)
        try:
            with gate.place():
                if len(body) <= SMALL_BODY and not headers.get(b"content-type", b"").startswith(
                    b"multipart/"
                ):
                    question = self.read(body, headers)
                    number = None if question.explain else question.number  # of no known time
                    response, predictions = await gate.work(lambda: self._answer(question), number)
                elif len(body) <= LARGE_BODY:
                    response, predictions = await gate.work(
                        lambda: self._answer(self.read(body, headers))
                    )
                else:
                    response, predictions = await gate.work_large(
                        lambda: self._answer(self.read(body, headers))
                    )
        finally:
            if type(body) is bytearray:  # a large one
                bodies.release(body)
        self.server.metrics.predicted(predictions)
        return response

    def _answer(self, question: Question) -> tuple[ASGIApp, Predictions]:
        predictor, feeds = self.server.bundle.predictor, question.feeds
        if question.explain:
            return self._explained(question)
        if feeds is None and self._has_files:
            feeds = predictor.front_end.feeds(question.rows, "refuse")
        if feeds is None:
            predictions = predictor.predict(question.rows, extra="refuse")
        else:
            _check_decoded(predictor.decoded_values(feeds))
            predictions = predictor.run(feeds)
        if question.number > TOGETHER:
            _ = predictions.unfamiliar  # counted here, in a thread, and not by the event loop
        return question.answer(predictions), predictions

    def _explained(self, question: Question) -> tuple[ASGIApp, Predictions]:
        """Answers with their attributions, within EXPLAIN_S."""
        predictor, rows, method = (
            self.server.bundle.predictor,
            question.rows,
            question.explain or "auto",
        )
        if self._has_files:
            _check_decoded(predictor.decoded_values(predictor.front_end.feeds(rows, "refuse")))
        effort = ExplainEffort(EXPLAIN_S, EXPLAIN_ROWS)
        found = explanations(self.server.bundle.explainer, rows, method, effort, "refuse")
        content = {"predictions": found.predictions.records(), "explanations": found.records}
        return JsonAnswer(to_json(content).encode()), found.predictions


def _check_decoded(found: int) -> None:
    """A small body may hold large files: before any of them is decoded. Raises Refusal 413."""
    if found > MOST_DECODED:
        allowed = f"at most {MOST_DECODED:,} pixels and samples in all files of a request"
        raise Refusal(
            413,
            "the body",
            allowed,
            f"{found:,}",
            "Send them in several requests, or make them smaller.",
        )
