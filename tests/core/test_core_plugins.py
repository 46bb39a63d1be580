"""Plug-ins are a folder's listing: their names cost no import, a wrong one is told with the
nearest.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sixfold.core import plugins
from sixfold.core.errors import RecipeError
from sixfold.core.plugins import PACKAGE_ROOT, Kind
from sixfold.recipe.kinds import FAMILY, KINDS, METRIC, OPTIMIZER


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package brings an optimizer; it stands where `sgd` does, which is enough to be
    found.
    """
    point = importlib.metadata.EntryPoint(
        "mine", "sixfold.train.optimizers.sgd", "sixfold.optimizer"
    )
    points = importlib.metadata.EntryPoints([point])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda: points)
    for held in (plugins._installed, plugins._entry_points):
        held.cache_clear()
    yield
    for held in (plugins._installed, plugins._entry_points):
        held.cache_clear()


def test_a_kind_is_its_folder() -> None:
    """A file is a plug-in, or says which ones it holds."""
    assert FAMILY.names() == [
        "als",
        "audio_cnn",
        "boosting",
        "bpr",
        "cnn",
        "ctc",
        "extra_trees",
        "forest",
        "fusion",
        "image_encoder",
        "item_knn",
        "kernel_ridge",
        "language",
        "linear",
        "mlp",
        "popularity",
        "residual_mlp",
        "sasrec",
        "speech_encoder",
        "svm",
        "tabm",
        "text_cnn",
        "text_encoder",
        "tree",
        "two_tower",
        "whisper",
    ]
    for kind in KINDS.values():
        modules = [
            importlib.import_module(f"sixfold.{kind.folder.replace('/', '.')}.{file.stem}")
            for file in (PACKAGE_ROOT / kind.folder).glob("[!_]*.py")
            if file.stem not in kind.not_plugins
        ]
        found = [
            name
            for module in modules
            for name in getattr(module, "PLUGINS", [module.__name__.rpartition(".")[2]])
        ]
        assert len(found) == len(set(found))
        assert set(kind.names()) == set(found) - kind.choosers
        assert set(kind.askable()) == set(found)
        assert kind.names() == sorted(kind.names())


def test_every_plugin_loads_and_has_its_own_settings() -> None:
    for kind in KINDS.values():
        classes = [kind.load(name) for name in kind.names()]
        assert len(set(classes)) == len(classes)
        for name, cls in zip(kind.names(), classes, strict=True):
            module = sys.modules[cls.__module__]
            assert cls.__name__ == getattr(module, "PLUGINS", {}).get(name, "Settings")


def test_close_relatives_share_a_file() -> None:
    assert METRIC.load("mae").__name__ == "MeanAbsoluteError"
    assert (
        METRIC.load("mae").__module__
        == METRIC.load("rmse").__module__
        == "sixfold.evaluate.metrics.values"
    )
    assert "values" not in METRIC.names()
    with pytest.raises(RecipeError, match="found 'values'"):
        METRIC.load("values")
    with pytest.raises(RecipeError, match="metric mae: expected one of its options; found 'power'"):
        METRIC.make({"name": "mae", "power": 2})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("adm", "found 'adm'. Did you mean 'adam'? All: adafactor, adagrad, adam, "),
        ("../adam", "found '../adam'. Did you mean 'adam'? All: adafactor, adagrad, adam, "),
        ("__init__", "found '__init__'. All: adafactor, adagrad, adam, "),
    ],
)
def test_a_name_that_is_none(name: str, text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        OPTIMIZER.load(name)
    assert str(caught.value).startswith(f"optimizer: expected the name of an optimizer; {text}")
    assert str(caught.value).endswith(", sgd.")


@pytest.mark.usefixtures("foreign")
def test_another_package_adds_a_plugin_through_the_same_door() -> None:
    assert "mine" in OPTIMIZER.names()
    assert OPTIMIZER.load("mine") is OPTIMIZER.load("sgd")
    assert OPTIMIZER.make({"name": "mine", "momentum": 0.5}).momentum == 0.5
    assert "mine" not in FAMILY.names()


def test_an_unknown_folder_has_no_plugins() -> None:
    assert Kind("nothing", "no/such/folder").names() == []


def test_names_import_no_plugin() -> None:
    code = (
        "import sys; from sixfold.recipe.kinds import KINDS; [kind.names() for kind in KINDS.values()];"
        "print(sorted(m for m in sys.modules if m.startswith('sixfold.') and m.split('.')[1] not in ('core', 'recipe')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
