"""BentoML with one worker; an async method, which spares it the way to a thread. FOLDER PORT
PLACE.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import bentoml

from bench.peers.onnx_rows import Model

FOLDER = "SIXFOLD_BENCH_BUNDLE"


@bentoml.service(
    workers=1, logging={"access": {"enabled": False}}, traffic={"max_concurrency": 1000}
)
class Served:
    """Rows in, records out."""

    def __init__(self) -> None:
        self.model = Model(os.environ[FOLDER])

    @bentoml.api
    async def predict(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """As ours."""
        return {"predictions": self.model.records(rows)}


if __name__ == "__main__":
    os.environ |= {
        FOLDER: sys.argv[1],
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": f"{sys.argv[3]}/bentoml",
    }
    command = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        "bench.peers.serve_bentoml:Served",
        "--host",
        "127.0.0.1",
    ]
    os.execv(sys.executable, [*command, "--port", sys.argv[2]])
