"""Fits that are solved at once: the same bits as one after the other, in order, whatever fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sixfold.build import _side_by_side as module
from sixfold.build._side_by_side import side_by_side
from sixfold.core.errors import FitError
from sixfold.parts import state
from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY
from sixfold.runs.context import Context

BUILDS: list[tuple[str, dict[str, Any]]] = [
    ("boosting", {"rounds": 20}),
    ("boosting", {"rounds": 20, "patience": None}),
    ("forest", {"trees": 10}),
    ("extra_trees", {"trees": 10}),
    ("tree", {}),
    ("svm", {}),
    ("svm", {"kernel": "sigmoid"}),
]


def fits(task: str, count: int = 5) -> Iterator[Fit]:
    random = np.random.default_rng(0)
    for at in range(count):
        x = random.normal(size=(220 + 10 * at, 4)).astype(np.float32)
        y = x[:, 0] + x[:, 1] ** 2 + 0.1 * random.normal(size=len(x))
        yield (
            Fit(x, (y > 1).astype(np.int64), "classification", 2, seed=at)
            if task == "classification"
            else Fit(x, y.astype(np.float64), "regression", 1, seed=at)
        )


def on(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(module, "cores", lambda: cores)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize(("name", "options"), BUILDS)
def test_the_same_bits_on_any_number_of_cores(
    name: str, options: dict[str, Any], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, some = FAMILY.load(name)(**options), list(fits(task))
    assert settings.side_by_side
    found = []
    for cores in (1, 2, 3, 16):
        on(monkeypatch, cores)
        found.append([state.digest(fitted) for fitted in settings.fit(some, Context())])
    assert found[0] == [state.digest(next(iter(settings.fit([fit], Context())))) for fit in some]
    assert all(each == found[0] for each in found)


def test_a_solver_that_warns_is_not_among_them() -> None:
    assert not FAMILY.load("svm")(kernel="linear").side_by_side


def test_they_do_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of three waits for the others; of five, the last two have all cores."""
    on(monkeypatch, 3)
    together, given = {3: threading.Barrier(3, timeout=60), 2: threading.Barrier(2, timeout=60)}, []

    def work(fit: Fit, threads: int, context: Context) -> list[Any]:
        given.append(threads)
        together[3 if fit.seed < 3 else 2].wait()
        return [fit.seed]

    some = [SimpleNamespace(seed=at) for at in range(5)]
    assert list(side_by_side(some, work, Context())) == [0, 1, 2, 3, 4]  # type: ignore[arg-type, comparison-overlap]
    assert sorted(given) == [1] * 5


def test_what_is_said_comes_in_order_and_before_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, 4)
    last, notes = threading.Event(), []

    def work(fit: Fit, threads: int, context: Context) -> list[Any]:
        if fit.seed == 0:
            last.wait(60)
        context.emit("note", text=str(fit.seed))
        if fit.seed == 3:
            last.set()
        if fit.seed == 2:
            raise FitError("here", "something", "something else", "Do that.")
        return [fit.seed]

    some = [SimpleNamespace(seed=at) for at in range(4)]
    context = Context(emit_to=lambda kind, facts: notes.append(facts), facts={"candidate": "one"})
    found = side_by_side(some, work, context)  # type: ignore[arg-type]
    assert [next(found), next(found)] == [0, 1]  # type: ignore[comparison-overlap]
    with pytest.raises(FitError, match="here"):
        next(found)
    assert notes == [{"candidate": "one", "text": str(at)} for at in range(3)]
