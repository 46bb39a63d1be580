"""A language model, cut and quantized, from the recipe to the bundle: the file has the codes that were
chosen, the checkpoint the same numbers, and the receipt says what it cost.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sixfold import pipeline
from sixfold.bundle.verify import verify
from sixfold.cli.receipt_table import lines
from sixfold.recipe import load
from tiny_language import sentences

gguf = pytest.importorskip("gguf")
RECIPE = """
task: generation
data: {source: texts.jsonl, holdout: 0.2}
build:
  {family: language, layers: 3, width: 64, heads: 4, kv_heads: 2, mlp_width: 96, context: 64, vocabulary: 300}
train: {epochs: 4, batch_size: 8}
evaluate: {folds: 2}
compress:
  keep: {bits_per_byte: 3.0}
  keep_lift: 0
  prune: [{target: layers, ratio: 0.3}, {target: heads, ratio: 0.5}, {target: channels, ratio: 0.3, epochs: 1}]
  quantize: gptq
"""


@pytest.mark.slow
def test_from_the_recipe_to_the_bundle(tmp_path: Path) -> None:
    rows = [json.dumps({"text": text}) for text in sentences(80, words=20)]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = pipeline.run(load.load(tmp_path / "recipe.yaml"), tmp_path / "run")
    receipt = done.receipt
    assert receipt.verdict == "compressed"
    assert [step.accepted for step in receipt.steps] == [True] * 4, receipt.steps
    assert receipt.after.file_bytes < 0.6 * receipt.before.file_bytes
    assert receipt.divergence is not None
    assert 0 < receipt.divergence < 5
    for cost in (receipt.before, receipt.after):
        rates = (cost.tokens_per_s_1, cost.tokens_per_s_8, cost.first_token_ms)
        assert all(rate is not None and rate > 0 for rate in rates)
    assert {"tokens/s, eight requests", "KL from before, nats a token"} <= {
        name for name, _, _ in lines(receipt)
    }
    verify(done.bundle)
    checkpoint = load_file(done.bundle / "hf" / "model.safetensors")
    config = json.loads((done.bundle / "hf" / "config.json").read_text())
    assert (config["num_hidden_layers"], config["intermediate_size"]) == (2, 64)
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (2, 1)
    stored = {one.name: one for one in gguf.GGUFReader(done.bundle / "model.gguf").tensors}
    down = stored["blk.1.ffn_down.weight"]
    assert down.tensor_type == gguf.GGMLQuantizationType.Q4_0
    assert np.array_equal(
        gguf.dequantize(down.data, down.tensor_type),
        checkpoint["model.layers.1.mlp.down_proj.weight"],
    )
