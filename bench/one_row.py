"""One row, and 1,000 rows, through a served model: Sixfold's bundle beside the scikit-learn pipeline of the same model.

Quality is asserted equal: both are the same logistic regression on the same training rows, labels agree on all rows.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sixfold
from bench.pairs import Result, interleaved

REPEATS = {1: 200, 1000: 20}


def measure() -> list[Result]:
    """Times of a call, from a DataFrame of raw columns to labels."""
    frame = load_breast_cancer(as_frame=True).frame
    with tempfile.TemporaryDirectory() as folder:
        run = sixfold.fit(
            frame, target="target", out=Path(folder) / "run", build={"family": "linear", "C": 1.0},
            data={"holdout": 0}, evaluate={"folds": 2},
        )  # fmt: skip
        bundle = sixfold.load(run.bundle)
    x, y = frame.drop(columns="target"), frame["target"].astype(str)
    peer = make_pipeline(
        SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=1.0, max_iter=1000)
    ).fit(x, y)
    labels = bundle.predict(x).labels
    assert labels is not None
    agreement = float(np.mean(labels.reshape(-1) == peer.predict(x)))
    assert agreement == 1.0, agreement
    results = []
    for rows, repeats in REPEATS.items():
        some = x.sample(rows, replace=True, random_state=0).reset_index(drop=True)

        def ours(some: object = some, repeats: int = repeats) -> None:
            for _ in range(repeats):
                bundle.predict(some)

        def theirs(some: object = some, repeats: int = repeats) -> None:
            for _ in range(repeats):
                peer.predict(some)

        mine, others = interleaved(ours, theirs)
        name = f"breast cancer, {rows:,} row{'s' if rows > 1 else ''} → labels"
        results.append(
            Result(name, "scikit-learn pipeline", mine / repeats, others / repeats, "s", "labels agree on 569 rows")
        )
    return results
