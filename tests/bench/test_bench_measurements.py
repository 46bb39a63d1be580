"""Every measurement runs on a tiny workload, asserts its equal quality there, and says who is not
installed.
"""

from __future__ import annotations

import gzip
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import tiny_sounds

ROOT = Path(__file__).parents[2]
TINY_LANGUAGE: dict[str, Any] = {
    "layers": 1,
    "width": 32,
    "heads": 2,
    "context": 16,
    "batch": 4,
    "characters": 3_000,
}
MESSAGES = {
    "version": 1,
    "name": "sms",
    "data": {"source": "sms.csv", "target": "label", "holdout": 0},
    "build": [{"family": "svm", "kernel": "linear", "C": 1}],
    "evaluate": {"scheme": "stratified", "folds": 2, "metrics": ["f1", "accuracy"]},
}
SMALLER = {
    "keep": {"accuracy": -0.005},
    "prune": {"target": "channels", "ratio": 0.5, "epochs": 1},
    "quantize": {"activations": "static"},
}
# Measurement → sizes, what is loosened for so few rows, and the peers that every environment of the
# tests has.
TINY: dict[str, tuple[dict[str, Any], dict[str, Any], set[str]]] = {
    "folds_mlp": (
        {"folds": 2, "epochs": 2},
        {"close": lambda what, most: lambda mine, others: f"{mine}, {others}"},
        {"eager torch loop", "torch.func.vmap", "cross_val_score(MLPClassifier, n_jobs=2)"},
    ),
    "on_gpu": (
        {
            "folds": 2,
            "epochs": 8,
            "device": "cpu",
            "language": {**TINY_LANGUAGE, "alike": 5.0},
        },  # the same path; what a GPU makes of it only a GPU can show
        {"close": lambda what, most: lambda mine, others: f"{mine}, {others}"},
        {
            "kernel by kernel",
            "eager torch loop on the GPU",
            "our stack on the processor",
            "a plain loop",
            "transformers' Trainer",
        },
    ),
    "one_fold": ({"folds": 2, "epochs": 8}, {"SAME": 0.2}, {"eager torch"}),
    "tiny_steps": ({"steps": 20}, {}, {"eager torch, fused Adam"}),
    "events": ({"folds": 2, "epochs": 3, "steps": 5}, {}, {"the same in silence"}),
    "ridge_grid": (
        {"rows": 200, "features": 5, "folds": 3, "penalties": 4, "alone": 40},
        {},
        {"cross_val_score(Ridge) a penalty", "RidgeCV"},
    ),
    "recommend": (
        {
            "users": 60,
            "items": 40,
            "each": 12,
            "factors": 4,
            "iterations": 2,
            "chosen": (60, 40, 12),
        },
        {"SAME": 0.9},
        {"the planted scores"},
    ),
    "recommend_next": (
        {"users": 40, "items": 60, "each": 8, "epochs": 1},
        {},
        {"item_knn", "the law itself"},
    ),
    "recommend_memory": (
        {"families": ("popularity",), "rows": 2_000, "catalog": 2_000},
        {},
        {"2 GiB"},
    ),
    "svm_grid": ({"rows": 300, "features": 5, "folds": 2}, {}, {"GridSearchCV(SVC, n_jobs=2)"}),
    "boosting_folds": (
        {"rows": 1000, "features": 6, "folds": 2, "trees": 10},
        {"SAME": 0.1},
        {"lightgbm.cv", "cross_val_score(LGBMClassifier)"},
    ),
    "selection": (
        {"workloads": ("breast cancer",), "candidates": 4},
        {},
        {"GridSearchCV", "HalvingGridSearchCV"},
    ),
    "tabular_networks": ({"batches": 1}, {}, {"torch.func.vmap", "autograd, fold after fold"}),
    "serving": (
        {"workloads": ("digits", "adult"), "seconds": 0.05, "trees": 5},
        {
            "CONNECTIONS": (1, 8),
            "ENVIRONMENTS": {"serving": Path("not installed"), "mlserver": Path("not installed")},
        },
        {"our own route", "the 0.7 ms that are asked for"},
    ),
    "gateway": (
        {"seconds": 0.05, "peers": (), "wide": 16},
        {"CONNECTIONS": (1, 8), "TIMES": 2},
        {
            "the 1 ms that is asked for",
            "the replica itself, and the 3 ms that are allowed",
            "every request alone",
            "the replica itself, no key",
        },
    ),
    "console_pages": (
        {"jobs": 20, "events": 400, "many": 8},
        {"ALLOWED_S": 60.0},
        {"the 300 ms that are allowed"},
    ),
    "explain": (
        {"rows": 40, "features": 6, "trees": 5},
        {"ERRORS": 6.0},
        {"LightGBM pred_contrib"},
    ),
    "one_row": ({}, {"REPEATS": {1: 2}}, {"scikit-learn pipeline"}),
    "end_to_end": (
        {
            "tasks": ("diabetes",),
            "seconds": 15,
            "peers": ("autogluon", "scikit-learn"),
            "rows": 60,
        },
        {"AUTOGLUON": Path("not installed"), "CALLS": 2},
        {"scikit-learn, histogram boosting"},
    ),
    "tables": (
        {
            "names": ("diabetes",),
            "seconds": 10,
            "peers": ("scikit-learn",),
            "rows": 60,
        },
        {"CALLS": 2, "PEERS_CALLS": 2},
        {
            "scikit-learn, histogram boosting",
            "the 5 MB that are asked for",
            "the 1 ms that are asked for",
        },
    ),
    "texts": (
        {},
        {"AUTOGLUON": Path("not installed"), "RECIPE": MESSAGES},
        {"scikit-learn, TF-IDF of words and characters, LinearSVC", "the 3 MB that are asked for"},
    ),
    "language_serving": (
        {"layers": 1, "width": 64, "vocabulary": 300},
        {
            "KINDS": ("f16",),
            "ENVIRONMENT": Path("not installed/.venv-language-serve"),
            "THREADS": 1,
        },
        {"OpenVINO GenAI by hand", "transformers generate, f32"},
    ),
    "images": (
        {"images": 80, "epochs": 1},
        {
            "close": lambda what, most: lambda mine, others: f"{mine}, {others}",
            "COMPRESS": SMALLER,
        },
        {"eager torch loop", "the 1 ms that are asked for"},
    ),
    "speech": (
        {"recordings": 24, "epochs": 1},
        {"COMPRESS": SMALLER, "FOLDS": 2},
        {"the 5 ms that are asked for"},
    ),
    "transcription": ({"strings": 12, "epochs": 1}, {}, {"the 96% that are asked for"}),
    "language_corpus": (
        {"megabytes": 1},
        {"TARGET": 0.0},
        {"a plain script in memory", "ours, 1 MB"},
    ),
    "language_training": (
        {**TINY_LANGUAGE, "alike": 5.0},
        {},
        {"a plain loop", "transformers' Trainer"},
    ),
    "lora_memory": (
        {
            "sizes": ("nano",),
            "num_hidden_layers": 2,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 256,
        },
        {"COMPARED": (("lora", "peft with Trainer", "peft", 0.0),)},
        {"peft with Trainer"},
    ),
    "language_target": (
        {"layers": 1, "width": 32, "heads": 2, "context": 16, "batch": 4, "steps": 40, "every": 4},
        {"TUNED": {"characters": (0.002, 3.0), "pairs of bytes": (0.002, 3.0)}},
        {"AdamW, rate 0.002, cosine"},
    ),
    "plan": (
        {"names": ("linear, 20,000", "steps")},
        {"STEPS": {}},
        {"as it was", "the 8% that are asked for", "the 20% that are asked for", "all of them"},
    ),
    "quantization": (
        {"characters": 30_000, "widths": (32,), "layers": 1, "tokens": 280, "context": 32},
        {"STEPS": 10, "PATIENCE": 1, "RATES": 0},
        {"round to nearest"},
    ),
    "growth": (
        {"rows": 100, "epochs": 1, "tiny": 2, "beside": ("small trees",)},
        {
            "FAMILIES": ({"family": "linear"},),
            "EXECUTORS": ("processes",),  # tests/runs/test_ray.py has the other one
        },
        {"ten times the time of 100 rows", "one worker, one core"},
    ),
}


@pytest.fixture(autouse=True)
def _bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(ROOT)
    floor = importlib.import_module("bench.floor")
    for name, value in (("SIDE", 512), ("LENGTH", 1 << 22), ("TRIES", 2)):
        monkeypatch.setattr(floor, name, value)
    draw = np.random.default_rng(0)
    words = {
        "ham": "see you at home tonight after work then",
        "spam": "win a free prize now call this number",
    }
    lines = [
        f"{label}\t{' '.join(draw.permutation(words[label].split() * 2))}"
        for label in words
        for _ in range(60)
    ]
    (tmp_path / "sms.tsv.gz").write_bytes(
        gzip.compress("\n".join(draw.permutation(lines)).encode())
    )
    monkeypatch.setenv("SIXFOLD_BENCH_SMS", str(tmp_path / "sms.tsv.gz"))
    pixels = draw.integers(0, 40, (300, 28, 28)).astype(np.uint8)
    digits = np.arange(300) % 10
    for number, digit in enumerate(digits):
        pixels[number, 2 * digit : 2 * digit + 6] += 200
    (tmp_path / "mnist_images.gz").write_bytes(gzip.compress(bytes(16) + pixels.tobytes()))
    (tmp_path / "mnist_labels.gz").write_bytes(
        gzip.compress(bytes(8) + digits.astype(np.uint8).tobytes())
    )
    monkeypatch.setenv("SIXFOLD_BENCH_MNIST", str(tmp_path))
    for number in range(60):  # digits as tones
        name = f"{number % 2}_{('ann', 'bob', 'cid')[number % 3]}_{number}.wav"
        sound = tiny_sounds.tone(400 + 900 * (number % 2) + 10 * number, 0.2, seed=number)
        (tmp_path / "digits").mkdir(exist_ok=True)
        (tmp_path / "digits" / name).write_bytes(tiny_sounds.wav(sound))
    monkeypatch.setenv("SIXFOLD_BENCH_DIGITS", str(tmp_path / "digits"))
    rated = ["userId,movieId,rating,timestamp"]
    rated += [
        f"{user},{(user + 7 * turn) % 30},4,{turn}" for user in range(20) for turn in range(6)
    ]
    (tmp_path / "ratings.csv").write_text("\n".join([*rated, ""]))
    monkeypatch.setenv("SIXFOLD_BENCH_RATINGS", str(tmp_path / "ratings.csv"))
    said = " ".join(draw.choice(sorted(words["ham"].split()), 4_000))
    (tmp_path / "text.txt.gz").write_bytes(gzip.compress(said.encode()))
    monkeypatch.setenv("SIXFOLD_BENCH_SHAKESPEARE", str(tmp_path / "text.txt.gz"))
    for name in ("ADULT", "TABLES", "STORE", "ONLY", "MINUTES"):
        monkeypatch.delenv(f"SIXFOLD_BENCH_{name}", raising=False)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Beside another worker of the tests, two threads wait for each other at every small step of
    the eager loops: minutes instead of seconds.
    """
    had = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(had)


def test_every_measurement_is_tried_here() -> None:
    assert set(TINY) == set(importlib.import_module("bench.__main__").MEASUREMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_tiny_workload_is_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, loosened, always = TINY[name]
    module = importlib.import_module(f"bench.{name}")
    for attribute, value in loosened.items():
        monkeypatch.setattr(module, attribute, value)
    rows = list(module.measure(rounds=1, **sizes))
    assert [row.absent for row in rows if row.failed] == []
    assert {row.peer for row in rows if row.ratio is not None} >= always
    for row in rows:
        assert (row.ratio is None) == bool(row.absent), row
        assert (
            row.absent == ""
            or "not installed" in row.absent
            or "SIXFOLD_BENCH_" in row.absent
            or row.absent.startswith(("no .venv-", "this processor has no "))
        ), row
        assert row.share is None or 0 < row.share < 1, row
        if row.ratio is not None and not row.is_score:
            assert min(row.ours, row.peers) > 0


def test_who_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("bench.one_fold")
    known: Callable[[str], Any] = importlib.util.find_spec

    def without(name: str) -> Any:
        return None if name in ("keras", "lightning") else known(name)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    rows = {row.peer: row for row in module.measure(folds=2, epochs=8, rounds=1)}
    assert (
        rows["Lightning Trainer"].absent == "lightning is not installed: `make bench` installs it"
    )
    assert rows["Keras 3 fit"].absent == "keras is not installed: `make bench` installs it"
    assert not any(row.failed for row in rows.values())


def test_a_choice_far_behind_the_best_gives_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("bench.selection")
    monkeypatch.setattr(
        module, "_scores", lambda search: (np.array([0.8, 0.9, 0.9, 0.9]), np.full(4, 0.05))
    )
    monkeypatch.setattr(module, "_answered", lambda *_: SimpleNamespace(finished=[0], fits=1))
    with pytest.raises(AssertionError, match="breast cancer"):
        list(module.measure(rounds=1, workloads=("breast cancer",), candidates=4))


def test_python_of_the_children_is_this_one() -> None:
    assert (
        importlib.import_module("bench.child").Child("bench.peers.automl").command[0]
        == sys.executable
    )
