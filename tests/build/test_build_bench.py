"""The measurements of this folder's shortcuts run on a tiny workload, and assert their equal quality there."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_grid_of_machines_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    measured = importlib.import_module("bench.svm_grid").measure(rows=300, features=5, folds=2, rounds=1)
    assert measured[0].peer == "GridSearchCV(SVC), 2 processes"
    assert measured[0].workload == "300 × 5, rbf svm, 2 folds × 6 C"
    assert min(measured[0].ours, measured[0].peers) > 0


def test_tabular_networks_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    module = importlib.import_module("bench.tabular_networks")
    monkeypatch.setattr(module, "BATCHES", 1)
    measured = module.measure(rounds=1)
    assert {one.peer for one in measured} == {"torch.func.vmap", "autograd, fold after fold"}
    assert len({one.workload for one in measured}) == 5
    assert all(min(one.ours, one.peers) > 0 for one in measured)


def test_boosting_on_folds_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    module = importlib.import_module("bench.boosting_folds")
    monkeypatch.setattr(module, "SAME", 0.1)  # a few hundred held-out rows
    measured = module.measure(rows=1000, features=6, folds=2, trees=10, rounds=1)
    assert [one.peer for one in measured] == ["lightgbm.cv", "cross_val_score(LGBMClassifier)"]
    assert all(min(one.ours, one.peers) > 0 for one in measured)
