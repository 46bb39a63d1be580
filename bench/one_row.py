"""One row, and 1,000 rows, through a served model: Sixfold's bundle beside the scikit-learn
pipeline of the same model.

Both are the same logistic regression on the same training rows; their labels have to agree on all
569 rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sixfold
from bench.pairs import ROUNDS, Result, against

REPEATS = {1: 200, 1000: 20}


def measure(rounds: int = ROUNDS) -> Iterator[Result]:
    """Seconds of a call, from a DataFrame of raw columns to labels."""
    frame = load_breast_cancer(as_frame=True).frame
    with tempfile.TemporaryDirectory() as folder:
        run = sixfold.fit(
            frame,
            target="target",
            out=Path(folder) / "run",
            build={"family": "linear", "C": 1.0},
            data={"holdout": 0},
            evaluate={"folds": 2},
        )
        bundle = sixfold.load(run.bundle)
    x, y = frame.drop(columns="target"), frame["target"]
    peer = make_pipeline(
        SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=1.0, max_iter=1000)
    ).fit(x, y)

    def labels() -> np.ndarray:
        found = bundle.predict(x).labels
        assert found is not None
        return found.reshape(-1)

    agreement = float(np.mean(labels() == peer.predict(x)))
    assert agreement == 1.0, agreement
    for rows, repeats in REPEATS.items():
        some = x.sample(rows, replace=True, random_state=0).reset_index(drop=True)
        form = Result(
            f"breast cancer, {rows:,} row{'s' if rows > 1 else ''} → labels",
            "scikit-learn pipeline",
        )
        found = against(
            form,
            _times(repeats, bundle.predict, some),
            _times(repeats, peer.predict, some),
            lambda _, __: f"labels agree on {len(x)} rows",
            rounds,
        )
        if found.ours is not None and found.peers is not None:
            found = replace(found, ours=found.ours / repeats, peers=found.peers / repeats)
        yield found


def _times(repeats: int, predict: Callable[[Any], object], rows: Any) -> Callable[[], None]:
    def work() -> None:
        for _ in range(repeats):
            predict(rows)

    return work
