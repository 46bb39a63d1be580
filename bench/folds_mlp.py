"""K folds of a small network: stacked replicas beside an eager loop, torch.func.vmap and
scikit-learn.

Digits (64 pixels, divided by 16), 64-128-64-10, Adam at 0.001, batches of 64, 30 epochs, single
precision, the same folds: from arrays in memory to the accuracy of every fold. Mean accuracies have
to be within two points: starts and orders of rows differ.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from bench import floor
from bench.pairs import ROUNDS, Result, against, close
from sixfold.build.candidate import Candidate, fits_of
from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context

Folds = Sequence[tuple[np.ndarray, np.ndarray]]
BATCH, WIDTHS = 64, [64, 128, 64, 10]
X, Y = load_digits(return_X_y=True)
X = (X / 16.0).astype(np.float32)


def folds_of(count: int) -> Folds:
    """The same for everybody."""
    return list(StratifiedKFold(count, shuffle=True, random_state=0).split(X, Y))


@functools.cache
def rows_on(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(X, device=device), torch.tensor(Y, device=device)


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def ours(folds: Folds, epochs: int, context: Context | None = None) -> float:
    """Mean accuracy over the folds."""
    family = FAMILY.load("mlp")(hidden=WIDTHS[1:-1])
    one = Candidate(
        "mlp", "mlp", family, Prepare(), Initialize(), Train(epochs=epochs, batch_size=BATCH)
    )
    fits = [
        Fit(X[train], Y[train], "classification", 10, seed=k) for k, (train, _) in enumerate(folds)
    ]
    fitted = one.family.fit(fits_of([one], fits), context or Context())
    return float(
        np.mean(
            [
                (f.predict(X[v]).argmax(1) == Y[v]).mean()
                for f, (_, v) in zip(fitted, folds, strict=True)
            ]
        )
    )


def eager(folds: Folds, epochs: int, device: str = "cpu") -> float:
    scores, (XT, YT) = [], rows_on(device)
    for k, (train, validation) in enumerate(folds):
        module, rows = network(k).to(device), torch.tensor(train, device=device)
        optimizer = torch.optim.Adam(module.parameters(), 1e-3, fused=True)
        for _ in range(epochs):
            for batch in rows[torch.randperm(len(rows), device=device)].split(BATCH):
                optimizer.zero_grad()
                functional.cross_entropy(module(XT[batch]), YT[batch]).backward()
                optimizer.step()
        with torch.no_grad():
            scores.append(
                (module(XT[validation]).argmax(1) == YT[validation]).float().mean().item()
            )
    return float(np.mean(scores))


def vmapped(folds: Folds, epochs: int) -> float:
    """Drops the rows that do not fill a batch of every fold: the peer does a little less."""
    modules = [network(k) for k in range(len(folds))]
    stacked, _ = stack_module_state(modules)
    parameters = {name: value.detach().clone().requires_grad_() for name, value in stacked.items()}
    base, (XT, YT) = network(0), rows_on("cpu")

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
            found = gradients(
                {name: value.detach() for name, value in parameters.items()}, XT[batch], YT[batch]
            )
            for name, value in parameters.items():
                value.grad = found[name]
            optimizer.step()
    with torch.no_grad():
        own = [{name: value[k] for name, value in parameters.items()} for k in range(len(folds))]
        hits = [
            functional_call(base, own[k], (XT[v],)).argmax(1) == YT[v]
            for k, (_, v) in enumerate(folds)
        ]
    return float(np.mean([hit.float().mean().item() for hit in hits]))


def scikit_learn(folds: Folds, epochs: int) -> float:
    """As many epochs as the others: no early end."""
    model = MLPClassifier(
        (128, 64), batch_size=BATCH, max_iter=epochs, n_iter_no_change=epochs, alpha=0.0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(cross_val_score(model, X, Y, cv=folds, n_jobs=2).mean())


def measure(folds: int = 10, epochs: int = 30, rounds: int = ROUNDS) -> Iterator[Result]:
    """Seconds from arrays in memory to the accuracy of every fold."""
    some = folds_of(folds)
    title = f"digits, 64-128-64-10, {epochs} epochs, {folds} folds"
    least = least_s(some, epochs)
    peers: tuple[tuple[str, float, Callable[[Folds, int], float]], ...] = (
        ("eager torch loop", 6, eager),
        ("cross_val_score(MLPClassifier, n_jobs=2)", 6, scikit_learn),
        ("torch.func.vmap", 3, vmapped),
    )
    for name, target, peer in peers:
        yield against(
            Result(title, name, target=target, floor=least),
            lambda: ours(some, epochs),
            lambda peer=peer: peer(some, epochs),  # type: ignore[misc]
            close("accuracy", 0.02),
            rounds,
        )


def least_s(folds: Folds, epochs: int) -> float:
    """The floor: all products of all rows of all epochs, forward and back."""
    return floor.seconds(floor.perceptron(WIDTHS, epochs * sum(len(train) for train, _ in folds)))
