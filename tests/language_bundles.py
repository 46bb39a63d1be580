"""Tiny language models with random weights, as checkpoint files; and bundles of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from sixfold.bundle.language.parity import packed
from sixfold.bundle.page import START
from sixfold.bundle.write import LanguageParts, write_bundle
from sixfold.package.gguf_file import gguf_bytes
from sixfold.package.language_parity import stored_texts
from sixfold.parts.gguf_blocks import BlockType
from sixfold.recipe.chat_template import CHATML
from sixfold.recipe.receipt import Cost, Quality, Receipt
from sixfold.recipe.report import ColumnSummary, Report, Row
from sixfold.recipe.signature import Input, Output, Signature

SPECIAL = ["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
TEXTS = [
    "The import statement finds a module, loads it, and binds its name.",
    "A function returns a value; a class makes objects. Strings hold text: café, naïve, 漢字, 🙂.",
    "While the loop runs, numbers are added to the list, and the list is sorted.",
    "If an exception is raised, the handler that matches it is executed, else the program ends.",
] * 4
CONTEXT = 128
CONFIGS: dict[str, type[PretrainedConfig]] = {
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
}


def tokenizer(size: int = 400) -> Tokenizer:
    """Byte-level BPE as Sixfold trains it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


def config(kind: str = "llama", **changes: Any) -> PretrainedConfig:
    """A width of 32, two layers, grouped-query attention."""
    values: dict[str, Any] = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 1,
        **({"head_dim": 16} if kind == "qwen3" else {}),
        **({"sliding_window": None} if kind == "mistral" else {}),
        **changes,
    }
    return CONFIGS[kind](**values)


def checkpoint(kind: str = "llama", seed: int = 0, **changes: Any) -> dict[str, bytes]:
    """The files of a model with random weights, norms and biases among them."""
    chosen = config(kind, **changes)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(chosen).float()
    with torch.no_grad():
        for name, value in model.named_parameters():
            spread = 0.1 if value.ndim == 1 else 0.3
            value.add_(torch.randn_like(value) * (0.5 if "embed" in name else spread))
    state = dict(model.state_dict())
    if chosen.tie_word_embeddings:
        state.pop("lm_head.weight")
    chosen.architectures = [type(model).__name__]
    return {
        "config.json": chosen.to_json_string(use_diff=False).encode(),
        "model.safetensors": save({name: value.contiguous() for name, value in state.items()}),
        "tokenizer.json": tokenizer(min(400, chosen.vocab_size)).to_str().encode(),
        "tokenizer_config.json": json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": SPECIAL[0],
                "eos_token": SPECIAL[0],
                "unk_token": SPECIAL[0],
                "pad_token": SPECIAL[1],
                "chat_template": CHATML,
                "model_max_length": chosen.max_position_embeddings,
            }
        ).encode(),
        "generation_config.json": json.dumps({"eos_token_id": [0, 3], "bos_token_id": 0}).encode(),
    }


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """As transformers reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


RECIPE = """\
version: 1
name: tiny
task: generation
data: {source: texts.jsonl, missing: [""]}
build: {family: language}
serve: {concurrency: 4, threads: 1, max_body: 256KiB}
"""


def receipt(rows: int, file_bytes: int) -> Receipt:
    cost = Cost(file_bytes=file_bytes, inputs=1)
    quality = Quality(
        metric="bits_per_byte", greater_is_better=False, folds_before=(3.5,), baseline=4.0
    )
    return Receipt(
        name="tiny",
        candidate="language",
        rows_trained=4,
        rows_holdout=1,
        metric="bits_per_byte",
        quality=(quality,),
        before=cost,
        after=cost,
        parity_rows=rows,
    )


def signature() -> Signature:
    return Signature(
        task="generation",
        target=("text",),
        inputs=(Input(name="text", type="text"),),
        outputs=(Output(name="text", columns=("text",)),),
        missing=("",),
    )


def report(of: Receipt) -> Report:
    column = ColumnSummary(name="text", type="text", missing=0, distinct=4, detail="")
    return Report(
        verdict=("It works.",),
        columns=(column,),
        baseline={"bits_per_byte": 4.0},
        leaderboard=(
            Row(name="language", family="language", scores={"bits_per_byte": (3.5,)}, fit_s=0.1),
        ),
        receipt=of,
    )


def parts(files: dict[str, bytes], kind: BlockType = "f16", recipe: str = RECIPE) -> LanguageParts:
    """Of a bundle, with stored texts."""
    model = gguf_bytes(files, "tiny", kind)
    proof = stored_texts(files, model, TEXTS[:2])
    made = receipt(len(proof), len(model))
    return LanguageParts(
        model={
            **{f"hf/{name}": content for name, content in files.items()},
            "model.gguf": model,
            "parity.jsonl.gz": packed(proof),
        },
        signature=signature(),
        recipe=recipe,
        receipt=made,
        report_html=f"{START}<p>Report</p>",
        report_json=report(made).model_dump_json(),
    )


def bundle(folder: Path, kind: str = "llama", **changes: Any) -> Path:
    """Written as a run writes it, proof included."""
    return bundle_of(folder, checkpoint(kind, **changes))


def bundle_of(folder: Path, files: dict[str, bytes]) -> Path:
    """The same of a checkpoint's files."""
    made = parts(files)
    aside = folder.with_name(f"{folder.name}.parts")
    large = {}
    for name, content in made.model.items():
        path = aside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        large[name] = path
    write_bundle(folder, replace(made, model=large))
    shutil.rmtree(aside)
    return folder
