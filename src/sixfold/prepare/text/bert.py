"""A local checkpoint of BERT's kind as nodes of the graph: read from its folder, safetensors and
JSON alone, no code from it.

Devlin and others, BERT, 2019; the mean over the tokens as in Reimers and Gurevych, Sentence-BERT,
2019. The same nodes embed texts in training and in a bundle.

Shape letters: B texts, L tokens, D width, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from sixfold.core.errors import DataError
from sixfold.parts import checkpoint_files
from sixfold.parts.checkpoint_files import CONFIG, TOKENIZER, WEIGHTS, read_json
from sixfold.parts.graph import Graph, TensorProto

NEEDED: Final = (CONFIG, WEIGHTS, TOKENIZER)
OPTIONAL: Final = ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json")
MASKED: Final = -1e9  # added to the score of a padded token: its share is 0 in single precision
ANOTHER: Final = "Choose a checkpoint of BERT's kind, such as all-MiniLM-L6-v2."
Arrays = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class BertShape:
    """What a checkpoint's config says. `longest`: tokens of a text at most; `pooling`: what of the
    last layer is the embedding; `unit_norm`: whether that has length 1.
    """

    width: int
    heads: int
    layers: int
    epsilon: float
    longest: int
    pooling: Literal["mean", "first"]
    unit_norm: bool


def digest(folder: Path) -> str:
    """SHA-256 of all files that are read. Raises DataError for a folder that is no checkpoint."""
    return checkpoint_files.digest(folder, checkpoint_files.present(folder, NEEDED, OPTIONAL))


def read_shape(folder: Path) -> BertShape:
    """Raises DataError for a checkpoint of another kind."""
    config, modules = read_json(folder / "config.json"), []
    expected = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for name, wanted in expected.items():
        found = config.get(name, wanted if name == "position_embedding_type" else None)
        if found != wanted:
            raise DataError(
                str(folder / "config.json"), f"{name} {wanted}", repr(found)[:80], ANOTHER
            )
    if (folder / "modules.json").is_file():
        modules = [
            str(each.get("type", "")).rpartition(".")[2]
            for each in read_json(folder / "modules.json")
        ]
    if set(modules) - {"Transformer", "Pooling", "Normalize"}:
        known = "Transformer, Pooling and Normalize"
        raise DataError(str(folder / "modules.json"), known, ", ".join(modules)[:200], ANOTHER)
    longest, limits = int(config["max_position_embeddings"]), folder / "sentence_bert_config.json"
    if limits.is_file():
        longest = min(longest, int(read_json(limits).get("max_seq_length") or longest))
    return BertShape(
        width=int(config["hidden_size"]),
        heads=int(config["num_attention_heads"]),
        layers=int(config["num_hidden_layers"]),
        epsilon=float(config["layer_norm_eps"]),
        longest=longest,
        pooling=_pooling(folder / "1_Pooling" / "config.json"),
        unit_norm="Normalize" in modules,
    )


def _pooling(file: Path) -> Literal["mean", "first"]:
    asked = read_json(file) if file.is_file() else {"pooling_mode_mean_tokens": True}
    modes = [
        key for key, value in asked.items() if key.startswith("pooling_mode_") and value is True
    ]
    if modes == ["pooling_mode_mean_tokens"]:
        return "mean"
    if modes == ["pooling_mode_cls_token"]:
        return "first"
    raise DataError(
        str(file),
        "the mean over the tokens, or the first one",
        ", ".join(modes) or "neither",
        ANOTHER,
    )


def read_arrays(folder: Path) -> Arrays:
    """Weights by their names in BertModel. Raises DataError for a file that is damaged."""
    file = folder / "model.safetensors"
    try:
        found = load_file(file)
    except (SafetensorError, OSError, TypeError, ValueError, KeyError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            str(file), "a whole safetensors file", text, "Copy the checkpoint again."
        ) from None
    real = {
        name.removeprefix("bert."): array
        for name, array in found.items()
        if array.dtype.kind == "f"
    }
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in real.items()}


class BertNodes:
    """Writes a checkpoint's nodes; equal ones are in a graph once, whoever asks for them."""

    def __init__(self, graph: Graph, shape: BertShape, arrays: Arrays, where: str) -> None:
        self._graph, self._shape, self._arrays, self._where = graph, shape, arrays, where

    def embedding(self, tokens: str, here: str, places: str) -> str:
        """int64 [B, L] `tokens`, float32 [B, L] 1 where there is one, int64 [L] `places` from 0 →
        float32 [B, D].
        """
        graph, shape = self._graph, self._shape
        x = graph.op("Gather", self._weight("embeddings.word_embeddings.weight"), tokens, axis=0)
        at = graph.op(
            "Gather", self._weight("embeddings.position_embeddings.weight"), places, axis=0
        )
        kind = graph.constant(self._array("embeddings.token_type_embeddings.weight")[0])
        x = self._norm("embeddings.LayerNorm", graph.op("Add", x, graph.op("Add", at, kind)))
        gone = graph.op("Mul", graph.op("Sub", _number(graph, 1.0), here), _number(graph, MASKED))
        bias = graph.op("Unsqueeze", gone, graph.constant([1, 2], np.int64))
        for number in range(shape.layers):
            x = self._layer(f"encoder.layer.{number}", x, bias)
        pooled = self._mean(x, here) if shape.pooling == "mean" else self._first(x)
        return self._unit(pooled) if shape.unit_norm else pooled

    def _layer(self, name: str, x: str, bias: str) -> str:
        graph = self._graph
        attended = self._linear(
            f"{name}.attention.output.dense", self._attended(f"{name}.attention.self", x, bias)
        )
        x = self._norm(f"{name}.attention.output.LayerNorm", graph.op("Add", attended, x))
        wide = self._gelu(self._linear(f"{name}.intermediate.dense", x))
        return self._norm(
            f"{name}.output.LayerNorm",
            graph.op("Add", self._linear(f"{name}.output.dense", wide), x),
        )

    def _attended(self, name: str, x: str, bias: str) -> str:
        graph, heads = self._graph, self._shape.heads
        depth = self._shape.width // heads
        split = graph.constant([0, 0, heads, depth], np.int64)
        query, key, value = (
            graph.op("Reshape", self._linear(f"{name}.{part}", x), split)
            for part in ("query", "key", "value")
        )
        query, value = (graph.op("Transpose", each, perm=[0, 2, 1, 3]) for each in (query, value))
        scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 2, 3, 1]))
        scaled = graph.op("Mul", scores, _number(graph, 1.0 / math.sqrt(depth)))
        shares = graph.op("Softmax", graph.op("Add", scaled, bias), axis=-1)
        mixed = graph.op("Transpose", graph.op("MatMul", shares, value), perm=[0, 2, 1, 3])
        return graph.op("Reshape", mixed, graph.constant([0, 0, self._shape.width], np.int64))

    def _gelu(self, x: str) -> str:
        graph = self._graph
        turned = graph.op("Erf", graph.op("Mul", x, _number(graph, math.sqrt(0.5))))
        half = graph.op("Mul", x, _number(graph, 0.5))
        return graph.op("Mul", half, graph.op("Add", turned, _number(graph, 1.0)))

    def _mean(self, x: str, here: str) -> str:
        graph = self._graph
        weight = graph.op("Unsqueeze", here, graph.constant([2], np.int64))
        axis = graph.constant([1], np.int64)
        total = graph.op("ReduceSum", graph.op("Mul", x, weight), axis, keepdims=0)
        count = graph.op("ReduceSum", here, axis, keepdims=1)
        return graph.op("Div", total, graph.op("Max", count, _number(graph, 1.0)))

    def _first(self, x: str) -> str:
        return self._graph.op("Gather", x, self._graph.constant(0, np.int64), axis=1)

    def _unit(self, x: str) -> str:
        graph = self._graph
        squares = graph.op("ReduceSumSquare", x, graph.constant([1], np.int64), keepdims=1)
        length = graph.op("Pow", squares, _number(graph, 0.5))
        return graph.op("Div", x, graph.op("Max", length, _number(graph, 1e-12)))

    def _linear(self, name: str, x: str) -> str:
        weights = self._graph.constant(np.ascontiguousarray(self._array(f"{name}.weight").T))
        return self._graph.op(
            "Add", self._graph.op("MatMul", x, weights), self._weight(f"{name}.bias")
        )

    def _norm(self, name: str, x: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._graph.op(
            "LayerNormalization", x, scale, shift, axis=-1, epsilon=self._shape.epsilon
        )

    def _weight(self, name: str) -> str:
        return self._graph.constant(self._array(name))

    def _array(self, name: str) -> npt.NDArray[np.float32]:
        found = self._arrays.get(name)
        if found is None:
            raise DataError(self._where, f"the weights {name}", "none of this name", ANOTHER)
        return found


def _number(graph: Graph, value: float) -> str:
    return graph.constant(value, np.float32)


def present_tokens(graph: Graph, tokens: str, padding: int) -> str:
    """int64 [B, L] → float32 [B, L], 1 where there is a token."""
    same = graph.op("Equal", tokens, graph.constant(padding, np.int64))
    return graph.cast(graph.op("Not", same), TensorProto.FLOAT)
