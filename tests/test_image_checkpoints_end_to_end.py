"""From a folder of PNG files and a local checkpoint to answers of a bundle without torch:
fine-tuned, and as embeddings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sixfold
import tiny_images
from sixfold import pipeline
from sixfold.bundle.verify import verify
from sixfold.recipe import load

ASKS = """
import json, sys
import sixfold
answers = sixfold.load(sys.argv[1]).predict([{"image": file} for file in sys.argv[2:]])
assert not {"torch", "transformers", "sklearn"} & set(sys.modules)
print(json.dumps([list(answers.labels), answers.outputs["probability"].tolist()]))
"""
RECIPES = {
    "fine-tuned, int8": """
build: {family: image_encoder, checkpoint: CHECKPOINT, adapt: whole}
train: {epochs: 4, batch_size: 8, optimizer: {name: adamw, learning_rate: 0.005}}
compress: {keep: {accuracy: -0.2}, quantize: {activations: static}}
""",
    "embeddings for a linear model": """
build: {family: linear, C: 100.0}
prepare: {features: {image: {name: image_embedding, checkpoint: CHECKPOINT}}}
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_files_are_learned_and_served(name: str, tmp_path: Path) -> None:
    files = tiny_images.draw(tmp_path / "bars", 40)
    tiny_images.write(tmp_path / "checkpoint", "convnext")
    recipe = tmp_path / "recipe.yaml"
    body = RECIPES[name].replace("CHECKPOINT", str(tmp_path / "checkpoint"))
    recipe.write_text(
        "data: {source: bars, target: label}\nevaluate: {folds: 2, metrics: [accuracy]}\n"
        f"budget: {{memory: 4GiB}}\n{body}"
    )
    bundle = sixfold.load(pipeline.run(load.load(recipe), tmp_path / "run").bundle)
    assert np.mean(bundle.receipt.quality[0].folds_before) > 0.8
    assert any("parity" in sentence for sentence in verify(bundle.path))
    (tmp_path / "checkpoint").rename(tmp_path / "away")  # it travels in the bundle
    asked = [str(file) for file in files[:6]]
    command = [sys.executable, "-c", ASKS, str(bundle.path), *asked]
    labels, probability = json.loads(
        subprocess.run(command, check=True, capture_output=True).stdout
    )
    answers = bundle.predict([{"image": file} for file in asked])
    assert labels == list(answers.labels)
    np.testing.assert_allclose(probability, answers.outputs["probability"], rtol=0, atol=1e-9)
    assert (
        np.mean([label == file.parent.name for label, file in zip(labels, files, strict=False)])
        > 0.6
    )
