"""POST /v1/audio/transcriptions: what is said in a recording, as OpenAI's clients ask for it."""

from __future__ import annotations

import time
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sixfold.bundle.frontend import shown
from sixfold.bundle.transcription.runtime import TranscriptionRuntime
from sixfold.core.errors import DataError, RowError
from sixfold.serve.body_endpoint import BodyEndpoint
from sixfold.serve.errors import (
    JsonAnswer,
    ParameterRefusal,
    Refusal,
    error_response,
    json_response,
    to_json,
)
from sixfold.serve.inference import Server
from sixfold.serve.transcription_request import PATH as PATH
from sixfold.serve.transcription_request import answer_of, read_transcription


class Transcriptions(BodyEndpoint):
    """`model`: what answers."""

    def __init__(self, server: Server, model: TranscriptionRuntime) -> None:
        super().__init__(server)
        self.model = model

    def answer(self, body: bytes | bytearray, kind: str) -> ASGIApp:
        """A transcript. Raises ParameterRefusal, Refusal."""
        request = read_transcription(body, kind, self.server.bundle.name)
        if request.timed and not self.model.times_words:
            raise ParameterRefusal(
                "timestamp_granularities",
                "nothing, of a model that does not know when a word is said",
                "word",
                "Leave it out: this model writes tokens, which have no times.",
                "unsupported_parameter",
            )
        try:
            found = self.model.transcribe(request.content, "file")
        except (DataError, RowError) as error:  # of the recording, by its header at first
            raise ParameterRefusal(
                "file", error.expected, error.found, error.remedy, "invalid_value"
            ) from None
        content = answer_of(found, request.response_format)
        if isinstance(content, str):
            return PlainTextResponse(content)
        return JsonAnswer(to_json(content).encode())


def model_routes(server: Server) -> list[Route]:
    """Which model is served, as OpenAI's clients ask for it."""
    name = server.bundle.name
    described = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "sixfold"}

    async def models(request: Request) -> Response:
        return json_response({"object": "list", "data": [described]})

    async def model(request: Request) -> Response:
        asked = unquote(request.path_params["model"])
        if asked == name:
            return json_response(described)
        remedy = "GET /v1/models lists what is served."
        return error_response(
            Refusal(404, "model", f"'{name}'", shown(asked), remedy), "/v1/models/"
        )

    return [Route("/v1/models", models), Route("/v1/models/{model:path}", model)]
