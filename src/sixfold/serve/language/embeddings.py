"""/v1/embeddings: the mean of a text's last hidden states, of length 1."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import numpy as np
from starlette.types import Receive, Scope, Send

from sixfold.core.errors import SixfoldError
from sixfold.serve.errors import JsonAnswer, error_response, fault_response, to_json
from sixfold.serve.language.endpoint import LanguageServer, read_body
from sixfold.serve.language.fields import RequestFields, invalid
from sixfold.serve.language.generating import check_room, places
from sixfold.serve.language.parameters import most_tokens, prompts_of

if TYPE_CHECKING:
    from sixfold.bundle.language.tokens import LanguageTokens

UNSUPPORTED: Final = {
    "dimensions": "Leave it out: the model's width is what there is.",
    "user": "Leave it out: nothing is kept of who asks.",
}
FORMATS: Final = ("float", "base64")


class Embeddings:
    """An ASGI endpoint. One request is worked on at a time, in a thread."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._one = anyio.CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it in OpenAI's form."""
        try:
            headers = dict(scope["headers"])
            body = await read_body(self._server, headers, receive, lambda content: content)
            check_room(self._server.gate)
            with places(self._server.gate, 1):
                answer = await anyio.to_thread.run_sync(self._answer, body, limiter=self._one)
        except SixfoldError as error:
            await error_response(error, scope["path"])(scope, receive, send)
        except Exception:
            await fault_response(scope["path"])(scope, receive, send)
            raise  # for the log
        else:
            await JsonAnswer(answer)(scope, receive, send)

    def _answer(self, body: Any) -> bytes:
        model, fields = self._server.model, RequestFields(body)
        fields.take("model")
        form = fields.text("encoding_format", "float")
        if form not in FORMATS:
            raise invalid("encoding_format", "float or base64", form)
        texts = _texts(fields, model.tokens)
        fields.refuse(UNSUPPORTED, {"dimensions": (model.hidden_states.width,)})
        fields.end()
        data = [
            {"object": "embedding", "index": at, "embedding": self._embedding(ids, form)}
            for at, ids in enumerate(texts)
        ]
        count = sum(map(len, texts))
        usage = {"prompt_tokens": count, "total_tokens": count}
        content = {"object": "list", "data": data, "model": self._server.name, "usage": usage}
        return to_json(content).encode()

    def _embedding(self, ids: tuple[int, ...], form: str) -> str | list[float]:
        found = self._server.model.hidden_states.mean(ids)
        if form == "base64":
            return base64.b64encode(found.astype("<f4").tobytes()).decode()
        numbers: list[float] = np.asarray(found, dtype=np.float64).tolist()
        return numbers


def _texts(fields: RequestFields, tokens: LanguageTokens) -> tuple[tuple[int, ...], ...]:
    value = fields.take("input")
    if value is None or value == "":
        raise invalid("input", "a text, a list of texts, token ids, or a list of these", value)
    texts = prompts_of(value, tokens, "input")
    for ids in texts:
        most_tokens(ids, 0, tokens.context, "input")
    return texts
