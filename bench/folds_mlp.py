"""K folds of a small network, and one of them: stacked replicas beside an eager loop, torch.func.vmap and scikit-learn.

Digits, 64-128-64-10, Adam, batches of 64, 30 epochs. Quality is asserted equal: mean accuracies over the folds within two
points of each other (starts and orders of rows differ).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from bench.pairs import ROUNDS, Result, interleaved
from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate
from sixfold.train.fitting import fit_many

Folds = Sequence[tuple[np.ndarray, np.ndarray]]
BATCH = 64
X, Y = load_digits(return_X_y=True)
X = X / 16.0
XT, YT = torch.tensor(X, dtype=torch.float32), torch.tensor(Y)


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def ours(folds: Folds, epochs: int) -> float:
    family = FAMILY.load("mlp")(hidden=[128, 64])
    one = Candidate("mlp", "mlp", family, Prepare(), Initialize(), Train(epochs=epochs, batch_size=BATCH))
    fits = [Fit(X[train], Y[train], "classification", 10, seed=k) for k, (train, _) in enumerate(folds)]
    fitted = fit_many([one], fits, Context())
    return float(np.mean([(f.predict(X[v]).argmax(1) == Y[v]).mean() for f, (_, v) in zip(fitted, folds, strict=True)]))


def eager(folds: Folds, epochs: int) -> float:
    scores = []
    for k, (train, validation) in enumerate(folds):
        module, rows = network(k), torch.tensor(train)
        optimizer = torch.optim.Adam(module.parameters(), 1e-3, fused=True)
        for _ in range(epochs):
            for batch in rows[torch.randperm(len(rows))].split(BATCH):
                optimizer.zero_grad()
                functional.cross_entropy(module(XT[batch]), YT[batch]).backward()
                optimizer.step()
        with torch.no_grad():
            scores.append((module(XT[validation]).argmax(1) == YT[validation]).float().mean().item())
    return float(np.mean(scores))


def vmapped(folds: Folds, epochs: int) -> float:
    """Drops the rows that do not fill a batch of every fold: the peer does a little less."""
    modules = [network(k) for k in range(len(folds))]
    stacked, _ = stack_module_state(modules)
    parameters = {name: value.detach().clone().requires_grad_() for name, value in stacked.items()}
    base = network(0)

    def loss(own: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(functional_call(base, own, (x,)), y)

    gradients = vmap(grad(loss))
    optimizer = torch.optim.Adam(list(parameters.values()), 1e-3, fused=True)
    rows = [torch.tensor(train) for train, _ in folds]
    count = min(map(len, rows)) // BATCH
    for _ in range(epochs):
        order = torch.stack([each[torch.randperm(len(each))[: count * BATCH]] for each in rows])
        for at in range(count):
            batch = order[:, at * BATCH : (at + 1) * BATCH]
            found = gradients({name: value.detach() for name, value in parameters.items()}, XT[batch], YT[batch])
            for name, value in parameters.items():
                value.grad = found[name]
            optimizer.step()
    with torch.no_grad():
        own = [{name: value[k] for name, value in parameters.items()} for k in range(len(folds))]
        hits = [functional_call(base, own[k], (XT[v],)).argmax(1) == YT[v] for k, (_, v) in enumerate(folds)]
    return float(np.mean([hit.float().mean().item() for hit in hits]))


def scikit_learn(folds: Folds, epochs: int) -> float:
    model = MLPClassifier((128, 64), batch_size=BATCH, max_iter=epochs, alpha=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(cross_val_score(model, X, Y, cv=folds, n_jobs=2 if len(folds) > 1 else None).mean())


def measure(folds: int = 10, epochs: int = 30, rounds: int = ROUNDS) -> list[Result]:
    """From arrays in memory to the accuracy of every fold."""
    every = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(X, Y))
    peers: list[tuple[str, Folds, Callable[[Folds, int], float]]] = [
        ("eager torch loop", every, eager),
        ("torch.func.vmap", every, vmapped),
        ("cross_val_score(MLPClassifier, n_jobs=2)", every, scikit_learn),
        ("eager torch loop", every[:1], eager),
    ]
    results = []
    for name, some, peer in peers:
        scores = ours(some, epochs), peer(some, epochs)
        assert abs(scores[0] - scores[1]) < 0.02 + 0.02 * (len(some) == 1), (name, scores)
        mine, others = interleaved(lambda: ours(some, epochs), lambda: peer(some, epochs), rounds)  # noqa: B023
        workload = f"digits, 64-128-64-10, {epochs} epochs, {len(some)} fold{'s' if len(some) > 1 else ''}"
        results.append(Result(workload, name, mine, others, "s", f"accuracy {scores[0]:.3f}, {scores[1]:.3f}"))
    return results
