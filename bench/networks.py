"""Small networks on real rows, for measurements of optimizers: what is trained, and how good it is
on rows never seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_friedman1
from sklearn.preprocessing import StandardScaler

from sixfold.build.candidate import Candidate, fits_of
from sixfold.core.errors import FitError
from sixfold.parts.fit import Fit, Fitted
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context

SPLITS = 3
ADULT = Path(
    "adult_train.csv.gz"
)  # the file of recipes/income.yaml: measured where it lies in the working folder
ADULT_ROWS = 8000


class Network(NamedTuple):
    """`batch`: rows, or full. Training stops after 5 epochs without a better loss on rows cut off;
    20 of full batches.
    """

    data: str
    hidden: tuple[int, ...]
    batch: int | str
    epochs: int

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"{self.data} {'-'.join(map(str, self.hidden)) or 'linear'}, {self.batch}"


NETWORKS = [
    Network("digits", (32,), 16, 30),
    Network("digits", (128, 64), 64, 30),
    Network("digits", (32,), "full", 300),
    Network("breast_cancer", (32,), 32, 50),
    Network("breast_cancer", (16,), "full", 300),
    Network("diabetes", (32,), 32, 50),
    Network("diabetes", (16,), "full", 300),
    Network("friedman", (64, 64), 64, 20),
    Network("friedman", (64,), 1024, 60),
    Network("friedman", (16,), "full", 300),
    Network("adult", (64, 32), 64, 10),
    Network("adult", (32,), "full", 150),
    Network("adult", (128, 64), "full", 80),
]


def networks() -> list[Network]:
    """Those whose rows are on this machine."""
    return [network for network in NETWORKS if network.data != "adult" or ADULT.is_file()]


def splits(data: str, count: int = SPLITS) -> list[tuple[Fit, Fit]]:
    """Rows to train on and a quarter to judge by, scaled by the former."""
    x, y, classes = _rows(data)
    found = []
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(x))
        judge, train = order[: len(x) // 4], order[len(x) // 4 :]
        scaled = StandardScaler().fit(x[train]).transform(x)
        task = "classification" if classes > 1 else "regression"
        found.append(
            tuple(Fit(scaled[rows], y[rows], task, classes, seed=seed) for rows in (train, judge))
        )
    return found  # type: ignore[return-value]


def loss(network: Network, optimizer: dict[str, Any]) -> float:
    """Mean over the splits on the rows to judge by: cross-entropy, or squared error as a share of
    the variance.
    """
    section = Train(
        optimizer=optimizer,
        batch_size=network.batch,
        epochs=network.epochs,  # type: ignore[arg-type]
        stop={"patience": 20 if network.batch == "full" else 5},  # type: ignore[arg-type]
    )
    one = Candidate(
        "mlp", "mlp", FAMILY.load("mlp")(hidden=network.hidden), Prepare(), Initialize(), section
    )
    pairs = splits(network.data)
    try:
        fitted = list(one.family.fit(fits_of([one], [train for train, _ in pairs]), Context()))
    except FitError:  # it diverged
        return float("inf")
    return float(
        np.mean([_judged(each, judge) for each, (_, judge) in zip(fitted, pairs, strict=True)])
    )


def _judged(fitted: Fitted, judge: Fit) -> float:
    predicted = fitted.predict(judge.x)  # type: ignore[arg-type]
    if judge.task == "regression":
        return float(np.mean((predicted[:, 0] - judge.y) ** 2) / np.var(judge.y))
    return float(-np.log(predicted[np.arange(len(judge.y)), judge.y].clip(1e-12)).mean())


def _rows(data: str) -> tuple[Any, Any, int]:
    if data == "adult":
        table = pd.read_csv(ADULT, na_values="?").sample(ADULT_ROWS, random_state=0)
        y = table["income"].str.contains(">50K").to_numpy(dtype=np.int64)
        return pd.get_dummies(table.drop(columns="income")).to_numpy(dtype=np.float64), y, 2
    if data == "friedman":
        return *make_friedman1(4000, noise=1.0, random_state=0), 1
    load = {"digits": load_digits, "breast_cancer": load_breast_cancer, "diabetes": load_diabetes}[
        data
    ]
    x, y = load(return_X_y=True)
    return x, y, 1 if data == "diabetes" else int(y.max()) + 1
