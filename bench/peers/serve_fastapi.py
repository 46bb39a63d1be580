"""What one writes by hand: FastAPI, a pydantic model of the row, an async route, uvicorn with
uvloop and httptools. FOLDER PORT.

Typed in and out, and without a thread: of four ways to write it the one with most requests a
second. A body as a plain dict, `def` in the place of `async def`, and `Request.json()` with
`JSONResponse` were slower or equal.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model

from bench.peers.onnx_rows import Model

TYPES: dict[str, Any] = {
    "number": float | None,
    "category": str | None,
    "boolean": bool | None,
    "date": str | None,
}


class Answer(BaseModel):
    """Of a row."""

    label: str | int
    probability: dict[str, float]


class Answers(BaseModel):
    """Of a request."""

    predictions: list[Answer]


def application(folder: str) -> FastAPI:
    """One route around one session."""
    model = Model(folder)
    fields: dict[str, Any] = {name: (TYPES[kind], ...) for name, kind in model.columns.items()}
    row = create_model("Row", **fields)
    body = create_model("Body", rows=(list[row], ...))  # type: ignore[valid-type]
    app = FastAPI()

    async def predict(body):  # type: ignore[no-untyped-def]
        return {"predictions": model.records([vars(each) for each in body.rows])}

    predict.__annotations__ = {"body": body, "return": Answers}
    app.post("/predict")(predict)
    return app


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[1]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
