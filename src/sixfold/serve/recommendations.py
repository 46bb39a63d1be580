"""POST /recommend: the best items for a user, for a session, or like an item."""

from __future__ import annotations

from typing import Final

from sixfold.bundle.recommend.runtime import RecommenderRuntime
from sixfold.serve.body import read_json
from sixfold.serve.body_endpoint import BodyEndpoint
from sixfold.serve.errors import JsonAnswer, to_json
from sixfold.serve.inference import Server
from sixfold.serve.recommend_request import content_of, read_request

PATH: Final = "/recommend"


class Recommendations(BodyEndpoint):
    """`model`: what answers."""

    takes = "application/json"

    def __init__(self, server: Server, model: RecommenderRuntime) -> None:
        super().__init__(server)
        self.model = model

    def answer(self, body: bytes | bytearray, kind: str) -> JsonAnswer:
        """Items. Raises RowError."""
        request = read_request(read_json(body), self.model)
        return JsonAnswer(to_json(content_of(self.model.recommend(request), self.model)).encode())
