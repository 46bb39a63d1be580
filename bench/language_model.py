"""A llama of 30 million random weights as a bundle: what decoding is measured on. The texts mean nothing; the work is that
of a trained model.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from sixfold.bundle.language.parity import packed
from sixfold.bundle.page import START
from sixfold.bundle.write import LanguageParts, write_bundle
from sixfold.package.gguf_file import gguf_bytes
from sixfold.package.language_parity import stored_texts
from sixfold.package.served_weights import served_network
from sixfold.parts.gguf_blocks import BlockType
from sixfold.recipe.receipt import Cost, Quality, Receipt
from sixfold.recipe.report import ColumnSummary, Report, Row
from sixfold.recipe.signature import Input, Output, Signature

NAME = "random"
CONTEXT = 1024
RECIPE = f"""\
version: 1
name: {NAME}
task: generation
data: {{source: texts.jsonl, missing: [""]}}
build: {{family: language}}
serve: {{threads: 2}}
"""


def checkpoint(layers: int, width: int, vocabulary: int, seed: int = 0) -> dict[str, bytes]:
    """The files of a llama: heads of 64, a quarter of them for keys and values."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=width * 8 // 3 // 32 * 32,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=max(1, width // 256),
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(seed)
    network = LlamaForCausalLM(config)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<|endoftext|>", *alphabet, *(f"<{n}>" for n in range(vocabulary))][:vocabulary]
    tokenizer = Tokenizer(models.BPE({name: n for n, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return {
        "config.json": config.to_json_string(use_diff=False).encode(),
        "model.safetensors": save({k: v.contiguous() for k, v in network.state_dict().items()}),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps({"eos_token": "<|endoftext|>"}).encode(),
        "generation_config.json": b'{"eos_token_id": 0}',
    }


def bundle(folder: Path, files: dict[str, bytes], kind: BlockType) -> Path:
    """A bundle of it, checked as any other."""
    model = gguf_bytes(files, NAME, kind)
    proof = stored_texts(files, model, ["A text that is stored."])
    cost = Cost(file_bytes=len(model), inputs=1)
    quality = Quality(
        metric="bits_per_byte", greater_is_better=False, folds_before=(8.0,), baseline=8.0
    )
    made = Receipt(
        name=NAME,
        candidate="language",
        rows_trained=1,
        rows_holdout=0,
        metric="bits_per_byte",
        quality=(quality,),
        before=cost,
        after=cost,
        parity_rows=len(proof),
    )
    column = ColumnSummary(name="text", type="text", missing=0, distinct=1, detail="")
    row = Row(name="language", family="language", scores={"bits_per_byte": (8.0,)}, fit_s=0.0)
    report = Report(
        verdict=("Random weights.",),
        columns=(column,),
        baseline={"bits_per_byte": 8.0},
        leaderboard=(row,),
        receipt=made,
    )
    content = {f"hf/{name}": part for name, part in files.items()}
    content |= {"model.gguf": model, "parity.jsonl.gz": packed(proof)}
    parts = LanguageParts(
        model=_on_disk(folder.with_name(f"{folder.name}.parts"), content),
        signature=Signature(
            task="generation",
            target=("text",),
            inputs=(Input(name="text", type="text"),),
            outputs=(Output(name="text", columns=("text",)),),
            missing=("",),
        ),
        recipe=RECIPE,
        receipt=made,
        report_html=f"{START}<p>Random weights.</p>",
        report_json=report.model_dump_json(),
    )
    write_bundle(folder, parts)
    return folder


def as_served(folder: Path, files: dict[str, bytes], bundle: Path) -> Path:
    """A checkpoint with the numbers of the bundle's blocks, for peers that read none."""
    network = served_network(files, (bundle / "model.gguf").read_bytes())
    weights = {name: values.contiguous() for name, values in network.state_dict().items()}
    folder.mkdir()
    for name, part in (files | {"model.safetensors": save(weights)}).items():
        (folder / name).write_bytes(part)
    return folder


def _on_disk(folder: Path, content: dict[str, bytes]) -> dict[str, Path]:
    for name, part in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(part)
    return {name: folder / name for name in content}
