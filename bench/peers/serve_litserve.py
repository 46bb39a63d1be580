"""LitServe with one worker. FOLDER PORT."""

from __future__ import annotations

import sys
from typing import Any

import litserve

from bench.peers.onnx_rows import Model


class Served(litserve.LitAPI):
    """Rows in, records out."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def setup(self, device: str) -> None:
        """In the worker."""
        self.model = Model(self.folder)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # its annotation would be the type of the body
        """Rows."""
        return request["rows"]

    def predict(self, rows: Any) -> Any:
        """Records."""
        return self.model.records(rows)

    def encode_response(self, output: Any) -> Any:
        """As ours."""
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(Served(sys.argv[1]), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
