"""Ray Serve with one replica, on a cluster of its own on this machine. FOLDER PORT."""

from __future__ import annotations

import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from bench.peers.onnx_rows import Model


@serve.deployment(num_replicas=1, max_ongoing_requests=1000)
class Served:
    """Rows in, records out."""

    def __init__(self, folder: str) -> None:
        self.model = Model(folder)

    async def __call__(self, request: Request) -> Any:
        rows = (await request.json())["rows"]
        return JSONResponse({"predictions": self.model.records(rows)})


if __name__ == "__main__":
    ray.init(
        "local", num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Served.bind(sys.argv[1]), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
