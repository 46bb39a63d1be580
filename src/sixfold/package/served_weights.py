"""The weights that a GGUF file stands for, under the names and in the layouts of the checkpoint: what quality and
parity are measured on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from sixfold.package.gguf_file import halves
from sixfold.parts.gguf_shape import GgufShape
from sixfold.parts.language_network import causal_network


def served_weights(content: bytes, config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Name of the checkpoint → float32, as the public reader of the format dequantizes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        path.write_bytes(content)
        stored = {each.name: each for each in gguf.GGUFReader(path).tensors}
        shape = GgufShape.of(config)
        found = {}
        for name, own in shape.possible_names().items():
            if own not in stored:
                continue
            values = gguf.dequantize(stored[own].data, stored[own].tensor_type)
            heads = shape.heads_of(name)
            rows = values if heads is None else halves(values, heads)
            found[name] = torch.from_numpy(np.array(rows, dtype=np.float32))
    return found


def served_network(files: Mapping[str, bytes], content: bytes) -> Any:
    """transformers' own module, in evaluation, with the weights of the file."""
    config = json.loads(files["config.json"])
    network = causal_network(config)
    weights = served_weights(content, config)
    if config.get("tie_word_embeddings", False):
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    network.load_state_dict(weights)
    return network
