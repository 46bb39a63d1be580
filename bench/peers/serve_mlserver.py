"""MLServer, with a runtime of its own around onnxruntime in the server's process. FOLDER PORT
PLACE.

It speaks the Open Inference Protocol; its inputs are those that its users send: a tensor of all
numbers, one of all texts.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from bench.peers.onnx_rows import Model


class Served(MLModel):
    """Tensors in, tensors out."""

    async def load(self) -> bool:
        """Once, at the start."""
        self.model = Model(str(self.settings.parameters.uri))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One request."""
        found = {one.name: one for one in payload.inputs}
        numbers = NumpyCodec.decode_input(found["numbers"]) if "numbers" in found else None
        categories = None
        if "categories" in found:
            texts = np.array(StringCodec.decode_input(found["categories"]), dtype=object)
            categories = texts.reshape(found["categories"].shape)
        answers = self.model.run(self.model.feeds_of_matrices(numbers, categories))
        probability = answers["probability"]
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                StringCodec.encode_output(
                    "label", [str(label) for label in answers["label"].reshape(-1)]
                ),
                ResponseOutput(
                    name="probability",
                    datatype="FP64",
                    shape=list(probability.shape),
                    data=probability.ravel().tolist(),
                ),
            ],
        )


if __name__ == "__main__":
    folder, port, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    place.mkdir(parents=True, exist_ok=True)
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
        "use_structured_logging": False,
        "cache_enabled": False,
    }
    model = {
        "name": "served",
        "implementation": "bench.peers.serve_mlserver.Served",
        "parameters": {"uri": folder},
    }
    (place / "settings.json").write_text(json.dumps(server))
    (place / "model-settings.json").write_text(json.dumps(model))
    os.execv(sys.executable, [sys.executable, "-m", "mlserver.cli.main", "start", str(place)])
