"""One GGUF file of a language model, from the files of its checkpoint: what the runtime, llama.cpp, ollama and LM Studio read.

Names and layouts are those of llama.cpp's converters. In the file of a `llama` the rows of query and key of every head
are interleaved: transformers rotates halves of a head, ggml's llama pairs of neighbors.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import gguf
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load

from sixfold.core.errors import BundleError
from sixfold.package import gguf_tokenizer
from sixfold.parts.gguf_blocks import BlockType, TensorData, encoded
from sixfold.parts.gguf_shape import FACTORS, GgufShape

Floats = npt.NDArray[np.float32]
N = TypeVar("N", bound=np.generic)

FILE_TYPES: Final = {
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
TYPES: Final = {
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
}
LARGEST_HALF: Final = 65504.0  # what a number in half precision can be
REMEDY: Final = "Export it as a checkpoint (--hf) and serve that with transformers or vLLM."


def gguf_bytes(
    files: Mapping[str, bytes],
    name: str,
    kind: BlockType = "f16",
    tensors: Sequence[TensorData] = (),
) -> bytes:
    """The content of the file, for a checkpoint's `files`.

    `name`: of the model; `kind`: what matrices become, rounded to the nearest; `tensors`: matrices
    that were quantized already, which take the place of the checkpoint's. Vectors (norms, biases)
    stay in single precision. Raises BundleError for an architecture, a tokenizer or a tensor that
    the file cannot hold.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_gguf(path, files, name, kind, tensors)
        return path.read_bytes()


def write_gguf(
    path: Path,
    files: Mapping[str, bytes],
    name: str,
    kind: BlockType = "f16",
    tensors: Sequence[TensorData] = (),
) -> None:
    """As `gguf_bytes`, into a file."""
    shape = GgufShape.of(json.loads(files["config.json"]))
    weights = load(files["model.safetensors"])
    quantized = {each.name: each for each in tensors}
    writer = gguf.GGUFWriter(path, shape.architecture)
    _add_facts(writer, shape, name, tensors[0].type if tensors else kind)
    gguf_tokenizer.add_tokenizer(writer, files, int(shape.config["vocab_size"]))
    if (factors := shape.factors()) is not None:
        writer.add_tensor(FACTORS, factors)
    for checkpoint, own in file_names(shape, weights).items():
        content = quantized.get(checkpoint) or weights[checkpoint]
        _add_tensor(writer, own, _in_file(content, checkpoint, kind, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def file_names(shape: GgufShape, names: Collection[str]) -> dict[str, str]:
    """The checkpoint's name of every tensor → the file's. Raises BundleError for a tensor that is
    missing, and for one that the file has no name for.
    """
    found = {name: own for name, own in shape.possible_names().items() if name in names}
    foreign = sorted(set(names) - set(found) - {"lm_head.weight"})
    if foreign:
        raise _refused("model.safetensors", "tensors that a GGUF file has names for", foreign[0])
    missing = sorted(shape.needed() - set(found))
    if missing:
        raise _refused("model.safetensors", f"the tensor {missing[0]}", "none of this name")
    return found


def _in_file(
    content: TensorData | torch.Tensor, name: str, kind: BlockType, shape: GgufShape
) -> TensorData | Floats:
    """Rows in the file's order; a matrix as it is stored, a vector in single precision."""
    heads = shape.heads_of(name)
    if isinstance(content, torch.Tensor):
        values = content.float().numpy()
        if values.ndim == 1:
            return values if heads is None else interleaved(values, heads)
        if not np.abs(values).max(initial=0.0) <= LARGEST_HALF:
            found = "a number that is larger, or none"
            raise _refused(name, f"numbers within ±{LARGEST_HALF:g} (half precision)", found)
        content = encoded(name, values, kind)
    if heads is None:
        return content
    return TensorData(content.name, content.type, interleaved(content.data, heads))


def interleaved(rows: npt.NDArray[N], heads: int) -> npt.NDArray[N]:
    """The two halves of the rows of every head, interleaved: 0, 4, 1, 5, … of a head of 8 rows."""
    halves = rows.reshape(heads, 2, len(rows) // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))


def halves(rows: npt.NDArray[N], heads: int) -> npt.NDArray[N]:
    """The other way round."""
    pairs = rows.reshape(heads, len(rows) // heads // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows.shape))


def _add_tensor(writer: gguf.GGUFWriter, name: str, content: TensorData | Floats) -> None:
    if isinstance(content, TensorData):
        writer.add_tensor(name, content.data, raw_dtype=TYPES[content.type])
    else:
        writer.add_tensor(name, content)


def _add_facts(writer: gguf.GGUFWriter, shape: GgufShape, name: str, kind: BlockType) -> None:
    writer.add_name(name)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(int(shape.config["intermediate_size"]))
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    rotary = shape.rotary()
    writer.add_rope_freq_base(rotary["rope_theta"])
    if rotary["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rotary["factor"]))
    writer.add_layer_norm_rms_eps(float(shape.config["rms_norm_eps"]))
    writer.add_vocab_size(int(shape.config["vocab_size"]))
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _refused(where: str, expected: str, found: object) -> BundleError:
    return BundleError(f"the GGUF file: {where}", expected, str(found), REMEDY)
