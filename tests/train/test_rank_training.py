"""Two processes train one network as one does: the same losses, the same weights; and what becomes of a training whose
other process is lost.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sixfold.build.family import TrainsInRanks
from sixfold.core.errors import FitError, RecipeError, SystemFault
from sixfold.parts import state
from sixfold.parts.fit import Fit, Fitted, Setting, Watch
from sixfold.parts.sparse import dense
from sixfold.parts.state import State
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Train
from sixfold.recipe.strategy import Strategy
from sixfold.runs.context import Context
from sixfold.runs.rank_processes import RankProcesses
from sixfold.runs.saves import Checkpoints
from sixfold.train.stepper import Stepper
from trainings import X, Y, images, preferences, texts, trained

CLOSE = 1e-5  # between the losses of one process and of two, relative, in single precision


class KilledError(Exception):
    """In the place of a signal: nothing after the step is done."""


@pytest.fixture(scope="module")
def ranks() -> Iterator[RankProcesses]:
    """Two, of which the other one lives as long as nothing goes wrong."""
    with RankProcesses(2) as processes:
        yield processes


def perceptrons(rows: int = 201, family: str = "mlp", **train: Any) -> list[Fit]:
    """Three folds of unequal size, with dropout."""
    options = {"hidden": [16], "dropout": 0.2} if family == "mlp" else {"size": "small"}
    section = Train(**{"batch_size": 64, "epochs": 3, **train})
    setting = Setting(family, FAMILY.load(family)(**options), train=section)
    folds = [np.arange(rows - fold) + 7 * fold for fold in range(3)]
    return [
        Fit(X[fold], Y[fold], "classification", 10, seed=number, setting=setting)
        for number, fold in enumerate(folds)
    ]


def values(**train: Any) -> list[Fit]:
    section = Train(**{"batch_size": 40, "epochs": 3, "optimizer": "sgd", **train})
    setting = Setting("mlp", FAMILY.load("mlp")(hidden=[8]), train=section)
    y = (X[:101] @ np.linspace(-1, 1, 64)).reshape(-1, 1).astype(np.float64)
    return [Fit(X[:101], y, "regression", 1, seed=3, setting=setting)]


def sparse_rows() -> list[Fit]:
    from scipy.sparse import csr_array

    return [replace(fit, x=csr_array(fit.x)) for fit in perceptrons()[:1]]


def divided(fits: list[Fit], **strategy: Any) -> list[Fit]:
    """Each process has a part of the weights."""
    shared = Strategy(shard=True, **strategy)
    return [replace(fit, setting=replace(fit.setting, strategy=shared)) for fit in fits]


def sharded(**train: Any) -> list[Fit]:
    return divided(texts(**{"optimizer": "adamw", **train}))


FITS: dict[str, Any] = {
    "mlp": perceptrons,
    "mlp, a last batch of one row": lambda: perceptrons(rows=131)[:1],
    "mlp, one row a batch for each": lambda: perceptrons(rows=30, batch_size=2)[:1],
    "mlp, sparse rows": sparse_rows,
    "mlp, values": values,
    "mlp, all rows at once": lambda: values(
        batch_size="full", optimizer="lbfgs", epochs=5, precision="float64"
    ),
    "mlp, watched, clipped, averaged": lambda: perceptrons(
        stop={"patience": 1, "validation": 0.2}, epochs=8, clip=0.5, average={"ema": 0.9}
    ),
    "mlp, muon": lambda: perceptrons(optimizer="muon"),
    "residual_mlp": lambda: perceptrons(family="residual_mlp"),
    "tabm": lambda: perceptrons(family="tabm"),
    "cnn": images,
    "cnn, a spike guard": lambda: images(spike=4.0),
    "language": texts,
    "language, few windows a batch": lambda: texts(batch_size=3),
    "language, adamw": lambda: texts(optimizer="adamw"),
    "language, sharded": lambda: sharded(),
    "language, sharded, few windows a batch": lambda: sharded(batch_size=3),
    "language, sharded, watched, averaged": lambda: sharded(
        stop={"patience": 1, "validation": 0.2}, epochs=4, average={"ema": 0.9}
    ),
    "language, sharded, small parts": lambda: divided(texts(optimizer="adamw"), micro_batch=2),
    "language, sharded, computed twice": lambda: divided(
        texts(optimizer="adamw"), gradient_checkpointing=True
    ),
    "preferences": preferences,
    "preferences, sharded": lambda: divided(preferences()),
    "preferences, sharded, a last batch of one pair": lambda: divided(preferences(batch_size=5)),
    "preferences, sharded, watched, averaged": lambda: divided(
        preferences(stop={"patience": 1, "validation": 0.2}, epochs=4, average={"ema": 0.9})
    ),
}
QUICK = ("mlp", "language, sharded")
QUICK_ALIKE = (
    *QUICK,
    "preferences, sharded",
)  # of the tests that train to the end and kill nothing
MARKED = [
    pytest.param(name, marks=[] if name in QUICK_ALIKE else pytest.mark.slow) for name in FITS
]


def digests(models: Sequence[Fitted]) -> list[str]:
    found = []
    for model in models:
        assert isinstance(model, State)
        found.append(state.digest(model))
    return found


@pytest.mark.parametrize("name", MARKED)
def test_two_processes_have_the_losses_of_one(
    name: str, ranks: RankProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout, augmentation, batch norms, uneven shares and last batches of few rows among what is trained."""
    _, alone = trained(FITS[name](), Context(), monkeypatch)
    models, together = trained(FITS[name](), Context(ranks=ranks), monkeypatch)
    assert len(ranks.pids) == 1
    assert len(together) == len(alone) > 3
    np.testing.assert_allclose(together, alone, rtol=CLOSE)
    again, same = trained(FITS[name](), Context(ranks=ranks), monkeypatch)
    np.testing.assert_array_equal(same, together)
    assert digests(again) == digests(models)


def test_the_metric_that_is_watched_is_scored_by_the_first(
    ranks: RankProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def score(y: Any, predicted: Any, weights: Any) -> float:
        asked.append(len(y))
        return float((predicted.argmax(axis=1) == y).mean())

    def fits() -> list[Fit]:
        stop = {"patience": 1, "validation": 0.2, "metric": "accuracy"}
        watch = Watch("accuracy", True, score)
        return [
            replace(fit, setting=replace(fit.setting, watch=watch))
            for fit in perceptrons(stop=stop, epochs=6)
        ]

    _, alone = trained(fits(), Context(), monkeypatch)
    scored = len(asked)
    _, together = trained(fits(), Context(ranks=ranks), monkeypatch)
    np.testing.assert_allclose(together, alone, rtol=CLOSE)
    assert len(asked) == 2 * scored > 0


@pytest.mark.slow  # the other process imports torch anew after each
@pytest.mark.parametrize("name", ["mlp", "cnn", "language, sharded"])
def test_killed_at_some_steps_it_ends_with_the_same_bytes(
    name: str, ranks: RankProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second step, and in that after it."""
    whole, _ = trained(FITS[name](), Context(ranks=ranks), monkeypatch)
    steps, plain = itertools.count(), Stepper.take

    def take(self: Stepper, closure: Any = None) -> None:
        if next(steps) in (1, 3):
            raise KilledError
        plain(self, closure)

    def context() -> Context:
        saves = Checkpoints(tmp_path, "key", lambda kind, facts: None, every_s=0.0)
        return Context(ranks=ranks, saves=saves)

    monkeypatch.setattr(Stepper, "take", take)
    for _ in range(2):
        with pytest.raises(KilledError):
            trained(FITS[name](), context(), monkeypatch)
        assert not ranks.pids  # they stood in the middle of a step
    models, _ = trained(FITS[name](), context(), monkeypatch)
    assert digests(models) == digests(whole)


@pytest.mark.slow  # the other process imports torch anew
@pytest.mark.parametrize("name", ["mlp", "language, sharded"])
def test_a_process_that_is_killed_ends_the_training_with_the_reason(
    name: str, ranks: RankProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next command goes on from what was saved, and ends with the same bytes."""
    whole, _ = trained(FITS[name](), Context(ranks=ranks), monkeypatch)
    steps, plain, pids = itertools.count(), Stepper.take, list[int]()

    def take(self: Stepper, closure: Any = None) -> None:
        if next(steps) == 4:
            pids.extend(ranks.pids)
            os.kill(ranks.pids[0], signal.SIGKILL)
        plain(self, closure)

    def context() -> Context:
        saves = Checkpoints(tmp_path, "key", lambda kind, facts: None, every_s=0.0)
        return Context(ranks=ranks, saves=saves)

    monkeypatch.setattr(Stepper, "take", take)
    with pytest.raises(SystemFault) as raised:
        trained(FITS[name](), context(), monkeypatch)
    assert str(raised.value) == (
        "budget.data_parallel: expected processes that train together until the end; found one that was killed, as the "
        "system does where memory ends. Run the same command again: it goes on from what was saved. Where it was for "
        "memory, lower budget.data_parallel or train.batch_size."
    )
    assert not ranks.pids
    assert pids
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    models, _ = trained(FITS[name](), context(), monkeypatch)
    assert digests(models) == digests(whole)


def test_an_error_of_all_of_them_is_told_once_and_leaves_nobody(
    ranks: RankProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = {"name": "sgd", "learning_rate": 1000.0}
    with pytest.raises(FitError, match="a loss that is a number"):
        trained(values(optimizer=far), Context(ranks=ranks), monkeypatch)
    assert not ranks.pids


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"optimizer": "muon"},
            "train.optimizer: expected one that works on each weight by itself, such as adamw, where weights are sharded; "
            "found muon. Change it, or leave budget.strategy.shard out.",
        ),
        (
            {"spike": 3.0},
            "train.spike: expected nothing, where weights are sharded; found 3.0. Change it, or leave budget.strategy.shard "
            "out.",
        ),
        (
            {"stop": {"metric": "perplexity"}},
            "train.stop.metric: expected loss, where weights are sharded; found perplexity. Change it, or leave "
            "budget.strategy.shard out.",
        ),
    ],
)
def test_what_needs_whole_weights_is_refused(options: dict[str, Any], text: str) -> None:
    (fit,) = sharded(**options)
    family = fit.setting.family
    assert isinstance(family, TrainsInRanks)
    with pytest.raises(RecipeError) as raised:
        family.check_division([fit], fit.rows, 2)
    assert str(raised.value) == text


def test_features_on_disk_and_sparse_ones_are_found_by_others(tmp_path: Path) -> None:
    from sixfold.parts.stored_fit import StoredFit, StoredFits

    for number, name in enumerate(["mlp", "mlp, sparse rows", "cnn", "language"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        fit = FITS[name]()[0]
        family = fit.setting.family
        state.save(StoredFits(family, (4,), (StoredFit.of(fit),)), folder)
        stored_fits = state.load(folder, StoredFits)
        (opened,) = (one.opened() for one in stored_fits.fits)
        assert stored_fits.numbers == (4,)
        assert opened.setting == fit.setting
        assert opened.layout == fit.layout
        assert opened.shape == fit.shape
        np.testing.assert_array_equal(opened.y, fit.y)
        if name != "language":
            np.testing.assert_array_equal(dense(opened.x), dense(fit.x))
