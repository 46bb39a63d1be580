"""Speech checkpoints of every kind with random weights, as transformers saves them with what lies beside them:
small enough for tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import (
    HubertConfig,
    HubertForCTC,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
)

from sixfold.data.sources.sounds import sung

RATE = 8_000
HOP = 80
VOCABULARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "e": 5, "a": 6}
SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (5, 4, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "initializer_range": 0.2,
}
STABLE = {  # of norms first, as the large ones; without dropout it learns within seconds
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
    **dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout"), 0.0),
}
MODELS: dict[str, Any] = {
    "wav2vec2": lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**SIZES)),
    "wav2vec2_stable": lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**SIZES, **STABLE)),
    "hubert": lambda: HubertForCTC(HubertConfig(**SIZES)),
}


def extractor(normalize: bool = True) -> Any:
    """As is published for this kind."""
    return Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=normalize)


def write(
    folder: Path,
    kind: str = "wav2vec2",
    *,
    seed: int = 0,
    head: bool = True,
    normalize: bool = True,
) -> Any:
    """Save a checkpoint; returns transformers' model with its head. `head`: whether that is saved, too, with
    its characters.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MODELS[kind]()
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):  # those of the start are all alike
                torch.nn.init.normal_(parameter, mean=float("norm.weight" in name), std=0.1)
    (model if head else model.base_model).save_pretrained(folder)
    extractor(normalize).save_pretrained(folder)
    if head:
        vocabulary(folder, VOCABULARY)
    return model.eval()


def vocabulary(folder: Path, characters: dict[str, Any], **told: Any) -> None:
    """As a tokenizer saves it; `told`: what it says of itself."""
    (folder / "vocab.json").write_text(json.dumps(characters))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>", **told}))


def recording(text: str, seed: int, samples: int = 0) -> npt.NDArray[np.int16]:
    """Whole numbers of 16 bits, none of them 0, as many as the text takes, or `samples`."""
    sound = np.rint(32767 * 0.8 * sung(text, seed)).astype(np.int16)
    sound = sound if not samples else np.resize(sound, samples)
    return np.where(sound == 0, np.int16(1), sound)
