"""Texts in, a model that answers out: SMS, spam or not, five folds; beside scikit-learn's TF-IDF
with a linear SVM, and AutoGluon.

`SIXFOLD_BENCH_SMS` names the file `sms_spam.tsv.gz` (label, tab, text; a record that is broken in
two lines is joined). F1 is that of spam, over out-of-fold answers of the same five folds; AutoGluon
is given the rows of the first fold's training part and 60 s, and scored on its validation part, as
ours is by the model of that fold. Wall time is from the CSV to the bundle, with the start of the
command. One run each; the latency of one text is interleaved.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from bench.child import Refused, child
from bench.end_to_end import AUTOGLUON
from bench.pairs import ROUNDS, Absent, Result, interleaved

SMS = "SIXFOLD_BENCH_SMS"
GOOD, FAST_S, SMALL, ONE_S, CLOSE, SMALLER = 0.955, 60.0, 3_000_000, 0.0003, -0.3, 20.0
CHECKPOINT = "SIXFOLD_BENCH_MINILM"
RECIPE = {
    "version": 1,
    "name": "sms",
    "data": {"source": "sms.csv", "target": "label", "holdout": 0},
    "build": [{"family": "svm", "kernel": "linear", "C": 1}],
    "evaluate": {"scheme": "stratified", "folds": 5, "metrics": ["f1", "accuracy"]},
}


def measure(rounds: int = ROUNDS, rows: int | None = None, seconds: float = 60) -> Iterator[Result]:
    """Score, time, bytes and latency. `rows`: of the first ones only."""
    file = os.environ.get(SMS)
    if not file:
        yield Result("SMS", "all", absent=f"{SMS} does not name sms_spam.tsv.gz")
        return
    frame = messages(Path(file)).head(rows) if rows else messages(Path(file))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        frame.to_csv(folder / "sms.csv", index=False)
        (folder / "sms.yaml").write_text(yaml.safe_dump(RECIPE))
        started = time.perf_counter()
        command = [sys.executable, "-m", "sixfold", "run", "sms.yaml", "--out", "run", "--quiet"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        wall_s = time.perf_counter() - started
        yield from _of(frame, folder, wall_s, rounds, seconds)


def messages(path: Path) -> pd.DataFrame:
    """Label and text of every message."""
    records: list[list[str]] = []
    for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines():
        label, tab, text = line.partition("\t")
        if tab and label in ("ham", "spam"):
            records.append([label, text])
        else:
            records[-1][1] += f" {line}"
    return pd.DataFrame(records, columns=["label", "text"])


def _of(
    frame: pd.DataFrame, folder: Path, wall_s: float, rounds: int, seconds: float
) -> Iterator[Result]:
    import sixfold
    from sixfold.data.load import load
    from sixfold.evaluate.folds import make
    from sixfold.recipe.load import load as load_recipe

    name = f"SMS, {len(frame):,} texts, 5 folds"
    loaded = load_recipe(folder / "sms.yaml")
    data = load(loaded.recipe.data, None, folder)
    folds = [(fold.train, fold.validation) for fold in make(loaded.recipe.evaluate, data)]
    answers = pd.read_parquet(folder / "run" / "outcome" / "out_of_fold.parquet")
    truth = (frame["label"] == "spam").to_numpy()
    ours = _spam(answers)
    f1 = float(f1_score(truth, ours))
    bundle = sixfold.load(folder / "run" / "bundle")
    stored = sum(path.stat().st_size for path in (folder / "run" / "bundle").iterdir())
    one = [{"text": frame["text"].iloc[0]}]
    yield Result(name, "F1 of spam that is asked for", f1, GOOD, "F1", "", 0.0, rounds=1)
    yield Result(
        f"{name}: wall time", "the 60 s that are asked for", wall_s, FAST_S, "s", "", 1.0, rounds=1
    )
    yield Result(
        f"{name}: bytes on disk",
        "the 3 MB that are asked for",
        stored,
        SMALL,
        "B",
        "",
        1.0,
        rounds=1,
    )
    pipeline = make_pipeline(
        make_union(
            TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)),
            TfidfVectorizer(
                sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5), max_features=100_000
            ),
        ),
        LinearSVC(C=1.0),
    )
    started = time.perf_counter()
    others = cross_val_predict(pipeline, frame["text"], truth, cv=folds)
    peer_s = time.perf_counter() - started
    pipeline.fit(frame["text"], truth)
    peer = "scikit-learn, TF-IDF of words and characters, LinearSVC"
    yield Result(
        f"{name}: F1 of spam", peer, f1, float(f1_score(truth, others)), "F1", "", CLOSE, rounds=1
    )
    yield Result(f"{name}: wall time", f"{peer}, folds alone", wall_s, peer_s, "s", rounds=1)
    bundle.predict(one)
    text = [frame["text"].iloc[0]]
    mine, theirs = interleaved(
        lambda: bundle.predict(one), lambda: pipeline.predict(text), 20 * rounds
    )
    yield Result(f"{name}: one text", peer, mine, theirs, "s", rounds=20 * rounds)
    yield Result(
        f"{name}: one text",
        "the 0.3 ms that are asked for",
        mine,
        ONE_S,
        "s",
        "",
        1.0,
        rounds=20 * rounds,
    )
    yield from _others(name, folder, frame, f1)
    yield from _autogluon(name, frame, folder, folds[0], (ours, stored), seconds)


def _others(name: str, folder: Path, frame: pd.DataFrame, f1: float) -> Iterator[Result]:
    """The same folds by a network over tokens, and by embeddings of a checkpoint, whose folder
    SIXFOLD_BENCH_MINILM names.
    """
    checkpoint = os.environ.get(CHECKPOINT)
    embedding = {
        "features": {"text": {"name": "embedding", "checkpoint": checkpoint, "length": 64}}
    }
    recipes: dict[str, dict[str, Any]] = {"text_cnn on tokens": {"build": [{"family": "text_cnn"}]}}
    if checkpoint:
        recipes["embeddings of MiniLM, linear"] = {
            "prepare": embedding,
            "build": [{"family": "linear", "C": 10}],
        }
    else:
        yield Result(
            name,
            "embeddings of MiniLM, linear",
            absent=f"{CHECKPOINT} does not name a checkpoint's folder",
        )
    truth = (frame["label"] == "spam").to_numpy()
    for what, changed in recipes.items():
        (folder / "other.yaml").write_text(yaml.safe_dump({**RECIPE, **changed}))
        out = f"run-{changed['build'][0]['family']}"
        command = [sys.executable, "-m", "sixfold", "run", "other.yaml", "--out", out, "--quiet"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        theirs = float(
            f1_score(
                truth, _spam(pd.read_parquet(folder / out / "outcome" / "out_of_fold.parquet"))
            )
        )
        yield Result(f"{name}: F1 of spam", f"Sixfold, {what}", f1, theirs, "F1", rounds=1)


def _spam(answers: pd.DataFrame) -> np.ndarray:
    """Whether each row was called spam by the model that had not seen it, in the order of the
    rows.
    """
    (column,) = [name for name in answers.columns if name.endswith(": label")]
    return (answers.sort_values("row")[column] == "spam").to_numpy()


def _autogluon(
    name: str,
    frame: pd.DataFrame,
    folder: Path,
    fold: tuple[Any, Any],
    ours: tuple[np.ndarray, int],
    seconds: float,
) -> Iterator[Result]:
    """On the first fold alone."""
    peer, (train, validation), (answers, stored) = (
        "AutoGluon, medium quality, the first fold",
        fold,
        ours,
    )
    if not AUTOGLUON.exists():
        yield Result(name, peer, absent="no .venv-autogluon here: `make bench` installs it")
        return
    for part, rows in (("train", train), ("test", validation)):
        frame.iloc[rows].to_csv(folder / f"{part}.csv", index=False)
    with ExitStack() as stack:
        try:
            made = stack.enter_context(
                child("bench.peers.automl", "autogluon", python=str(AUTOGLUON))
            )
            question = {
                "target": "label",
                "classes": True,
                "out": str(folder / "autogluon"),
                "seconds": seconds,
            }
            found = made.ask(do="fit", train=str(folder / "train.csv"), **question)
            answers_of = made.ask(do="predict", rows=str(folder / "test.csv"))["answers"]
        except (Absent, Refused) as error:
            yield Result(name, peer, absent=f"failed: {error}"[:300], failed=True)
            return
    truth = (frame["label"].iloc[validation] == "spam").to_numpy()
    theirs = float(f1_score(truth, [answer == "spam" for answer in answers_of]))
    mine = float(f1_score(truth, answers[validation]))
    yield Result(f"{name}: F1 of spam", peer, mine, theirs, "F1", "", CLOSE, rounds=1)
    yield Result(f"{name}: bytes on disk", peer, stored, found["bytes"], "B", "", SMALLER, rounds=1)
