"""What OpenVINO GenAI asks of a tokenizer: the bytes that each token stands for, by which it follows a JSON Schema. Texts
become tokens elsewhere (`tokens`), so a model of nothing but this list is all that it is given.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import openvino
import openvino_genai
from openvino import opset15 as ops
from openvino_tokenizers.tokenizer_pipeline import FuseStep, VocabDecoderStep

UNUSED: Final = 0  # some token has to end answers; every request names its own


def vocabulary_tokenizer(vocabulary: Sequence[bytes], folder: Path) -> Any:
    """A tokenizer that knows its vocabulary, and no text; its files are written into `folder`."""
    if vocabulary:
        xml, weights = (folder / f"openvino_detokenizer.{end}" for end in ("xml", "bin"))
        openvino.serialize(_decoder(vocabulary), xml, weights)
    (folder / "config.json").write_text(json.dumps({"eos_token_id": UNUSED}))
    return openvino_genai.Tokenizer(str(folder))


def _decoder(vocabulary: Sequence[bytes]) -> Any:
    """From ids to bytes, as OpenVINO Tokenizers builds it; GenAI takes the list out of it."""
    ids = ops.parameter([-1, -1], openvino.Type.i64)
    inputs = ops.convert(ids, openvino.Type.i32).outputs()
    # GenAI makes a state of what is skipped, and does not open a model that skips nothing (2026.4).
    parts = VocabDecoderStep(list(vocabulary), [UNUSED]).get_ov_subgraph(inputs)
    texts = ops.string_tensor_pack(*FuseStep().get_ov_subgraph(parts))
    model = openvino.Model([ops.result(texts)], [ids], "detokenizer")
    model.set_rt_info(openvino.get_version(), "openvino_tokenizers_version")
    return model
