"""The application around a language model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sixfold.bundle.load import Bundle
from sixfold.core.units import size_bytes
from sixfold.recipe.serving import Serve
from sixfold.serve.bodies import Bodies
from sixfold.serve.errors import error_response, json_response, on_fault, on_http_exception
from sixfold.serve.hosts import ANY, Hosts
from sixfold.serve.language import page
from sixfold.serve.language.embeddings import Embeddings
from sixfold.serve.language.endpoint import Endpoint, LanguageServer, no_model
from sixfold.serve.language.figures import TokenFigures
from sixfold.serve.language.parameters import WantedAnswers, chat_of, completion_of
from sixfold.serve.language.shapes import ChatShapes, CompletionShapes, Shapes
from sixfold.serve.limits import Gate
from sixfold.serve.metrics import Metrics
from sixfold.serve.pages import HEADERS
from sixfold.serve.watched import App

if TYPE_CHECKING:
    from sixfold.bundle.language.model import LanguageRuntime
    from sixfold.bundle.language.tokens import LanguageTokens

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"


class ChatRequests:
    """/v1/chat/completions."""

    def wanted(self, body: Any, tokens: LanguageTokens) -> WantedAnswers:
        """Raises ParameterRefusal, ChatTemplateError."""
        return chat_of(body, tokens)

    def shapes(self, wanted: WantedAnswers, tokens: LanguageTokens, model: str) -> Shapes:
        """Messages."""
        return ChatShapes(tokens, model, wanted.tools)


class CompletionRequests:
    """/v1/completions."""

    def wanted(self, body: Any, tokens: LanguageTokens) -> WantedAnswers:
        """Raises ParameterRefusal."""
        return completion_of(body, tokens)

    def shapes(self, wanted: WantedAnswers, tokens: LanguageTokens, model: str) -> Shapes:
        """Texts."""
        return CompletionShapes(tokens, model)


def create_language(
    bundle: Bundle, model: LanguageRuntime, settings: Serve, hosts: Hosts | None = None
) -> App:
    """An application that answers for a language model within `settings`."""
    gate, metrics = Gate(settings.concurrency), Metrics()
    figures = TokenFigures(gate)
    metrics.registry.register(figures)
    bodies = Bodies(size_bytes(settings.max_body))
    server = LanguageServer(bundle.name, model, gate, bodies, metrics, figures, settings)
    endpoints: dict[str, ASGIApp] = {
        CHAT: Endpoint(server, ChatRequests()),
        COMPLETIONS: Endpoint(server, CompletionRequests()),
        EMBEDDINGS: Embeddings(server),
    }
    routes = [*_models(server), *_pages(bundle, server)]
    routes += [Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()]
    others = Starlette(
        routes=routes, exception_handlers={HTTPException: on_http_exception, Exception: on_fault}
    )
    others.router.redirect_slashes = False
    return App(server, endpoints, others, hosts or Hosts((ANY,)))


def _models(server: LanguageServer) -> list[Route]:
    described = {
        "id": server.name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "sixfold",
        "context_length": server.model.tokens.context,
    }

    async def models(request: Request) -> Response:
        return json_response({"object": "list", "data": [described]})

    async def model(request: Request) -> Response:
        asked = unquote(request.path_params["model"])
        if asked != server.name:
            return error_response(no_model(asked, server.name), "/v1/models/")
        return json_response(described)

    return [Route("/v1/models", models), Route("/v1/models/{model:path}", model)]


def _pages(bundle: Bundle, server: LanguageServer) -> list[Route]:
    async def chat(request: Request) -> Response:
        return HTMLResponse(page.chat_page(bundle, server.model.tokens), headers=HEADERS)

    async def docs(request: Request) -> Response:
        return HTMLResponse(page.docs_page(bundle, server.model.tokens), headers=HEADERS)

    async def signature(request: Request) -> Response:
        return json_response(bundle.signature.model_dump(mode="json"))

    async def livez(request: Request) -> Response:
        return json_response({"status": "ok"})

    async def readyz(request: Request) -> Response:
        full = server.gate.inside >= server.gate.places
        return json_response(
            {"status": "busy" if full else "ok", "model": server.name}, 503 if full else 200
        )

    async def figures(request: Request) -> Response:
        return server.metrics.response()

    return [
        Route("/", chat),
        Route("/docs", docs),
        Route("/signature", signature),
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", figures),
    ]
