"""What fine-tuning a language model takes of memory: low-rank adapters beside all weights, and beside
peft with transformers' Trainer. Random weights, random tokens, equal model, rows and steps.

    python -m bench.lora_memory [small|base]      # 30M or 300M parameters; needs peft and accelerate

Each way runs in a process of its own. Printed is the peak of resident memory above what was resident
before the model was made, as the system saw it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from sixfold.build._language_shape import SIZES
from sixfold.build.language import Settings
from sixfold.parts.fit import Fit, Setting
from sixfold.parts.language_checkpoint import read_language
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.stored_tokens import StoredTokens
from sixfold.parts.text_tokenizer import learned
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context

WINDOW, BATCH, STEPS, RANK = 256, 4, 4, 8
WAYS = ("ours whole", "ours lora", "ours lora int4", "peft lora", "trainer whole")
SENTENCES = ["The quick brown fox jumps over the lazy dog.", "Pack my box with jugs."]


def write(folder: Path, size: str) -> None:
    """A checkpoint of random weights."""
    tokenizer = learned(SENTENCES, 512)
    config = json.loads(SIZES[size].config(tokenizer)) | {"vocab_size": 8_192}
    network = PackedNetwork(json.dumps(config))
    model = LanguageModel(json.dumps(config), network.arrays(), tokenizer, WINDOW)
    for name, content in model.files().items():
        (folder / name).write_bytes(content)


def rows() -> np.ndarray[Any, Any]:
    """Tokens, a window a row."""
    shape = (BATCH * STEPS, WINDOW + 1)
    return np.random.default_rng(0).integers(4, 8_000, shape).astype(np.int32)


def ours(folder: Path, **options: Any) -> None:
    """Through the family, as in a run."""
    path = folder / "tokens"
    rows().tofile(path)
    starts = np.arange(len(rows()) + 1) * (WINDOW + 1)
    tokenizer = read_language(folder).tokenizer
    x = StoredTokens(path, starts, np.ones(len(rows())), np.arange(len(rows())), tokenizer)  # type: ignore[arg-type]
    family = Settings(checkpoint=str(folder), context=WINDOW, **options)
    defaults = {**family.train_defaults.options, "epochs": 1, "batch_size": BATCH}
    setting = Setting("language", family, train=Train.model_validate(defaults))
    fit = Fit(x, np.zeros((len(x), 3)), "generation", 3, seed=0, setting=setting)
    list(family.fit([fit], Context()))


def theirs(folder: Path, adapters: bool) -> None:
    """transformers' Trainer, with peft's adapters or without."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapters:
        model = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear"))
    ids = [{"input_ids": torch.from_numpy(row.astype(np.int64))} for row in rows()[:, :-1]]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    data = [{**row, "labels": row["input_ids"]} for row in ids]
    Trainer(model=model, args=arguments, train_dataset=data).train()  # type: ignore[arg-type]
    if adapters:
        model = model.merge_and_unload()
    model.save_pretrained(folder / "out")


def child(way: str, folder: Path) -> None:
    """One way, in this process."""
    from peft import get_peft_model  # noqa: F401  what is imported is no part of a fine-tuning
    from transformers import LlamaForCausalLM, Trainer  # noqa: F401

    before = psutil.Process().memory_info().rss
    if way == "ours whole":
        ours(folder)
    elif way == "ours lora":
        ours(folder, adapt="lora", rank=RANK)
    elif way == "ours lora int4":
        ours(folder, adapt="lora", rank=RANK, base="int4")
    else:
        theirs(folder, adapters=way == "peft lora")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"way": way, "bytes": peak - before}))


def main(size: str = "small") -> None:
    """All ways, one after the other; shares of `ours whole`."""
    found: dict[str, int] = {}
    for way in WAYS:
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), size)
            command = [sys.executable, "-m", "bench.lora_memory", "--child", way, name]
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(json.dumps({"way": way, "failed": done.stderr[-300:]}))
            continue
        found[way] = int(json.loads(done.stdout.splitlines()[-1])["bytes"])
        share = found[way] / found.get("ours whole", found[way])
        print(json.dumps({"way": way, "mb": round(found[way] / 1e6), "of_whole": round(share, 2)}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main(*sys.argv[1:])
