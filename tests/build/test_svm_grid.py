"""A grid of kernel machines in one piece beside the same machines one by one, and beside the
optimality conditions.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.metrics.pairwise import rbf_kernel

from fitting import fit_grid
from sixfold.build import _svm_grid
from sixfold.build.svm import KernelMachine, Settings
from sixfold.core.errors import BudgetError, FitError
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context

NEAR = 0.02  # two points within libsvm's tolerance of the optimum: its own solutions of permuted rows differ so, too
C = (10.0, 0.1, 1.0, 100.0, 1.0)


def rows(count: int = 400, classes: int = 2, seed: int = 0) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 4))
    score = x[:, 0] + x[:, 1] ** 2 + 0.5 * generator.normal(size=count)
    return x, np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(
        np.int64
    )


def close(found: Any, expected: Any, x: Any) -> None:
    """Decision values of two solutions within the solver's tolerance differ by little more than
    it.
    """
    assert found.task == expected.task
    np.testing.assert_allclose(found.predict(x), expected.predict(x), atol=NEAR)


@pytest.mark.parametrize("kernel", ["rbf", "poly", "sigmoid", "linear"])
@pytest.mark.parametrize("classes", [2, 3])
def test_each_setting_is_what_it_is_alone(kernel: Any, classes: int) -> None:
    grid = [Settings(kernel=kernel, C=c, coef0=0.5, gamma=0.1) for c in (10.0, 0.1, 1.0, 10.0)]
    fits = [Fit(*rows(count, classes), "classification", classes) for count in (400, 240, 60)]
    found = list(fit_grid(grid, fits, Context()))
    assert len(found) == 12
    for at, machine in enumerate(found):
        fit, setting = fits[at // 4], grid[at % 4]
        (alone,) = setting.fit([fit], Context())
        close(machine, alone, fit.x)


@pytest.mark.parametrize("kernel", ["rbf", "poly"])
def test_values_over_penalties_and_widths(kernel: Any) -> None:
    x, _ = rows(300)
    y = 1000.0 + 50.0 * np.sin(x[:, 0]) + 5.0 * x[:, 1]
    grid = [
        Settings(kernel=kernel, C=c, epsilon=e, coef0=1.0, gamma=0.1)
        for e in (0.2, 0.01, 0.0)
        for c in (1.0, 10.0)
    ]
    found = list(fit_grid(grid, [Fit(x, y, "regression", 1)], Context()))
    for setting, machine in zip(grid, found, strict=True):
        (alone,) = setting.fit([Fit(x, y, "regression", 1)], Context())
        np.testing.assert_allclose(machine.predict(x), alone.predict(x), atol=NEAR * y.std())


@given(st.integers(0, 10_000), st.floats(0.05, 1000.0), st.integers(50, 400))
@settings(max_examples=25, deadline=None)
def test_all_rows_keep_the_optimality_conditions(seed: int, penalty: float, count: int) -> None:
    """Keerthi et al. (2001): the most violating pair of all rows is at most the tolerance apart."""
    x, y = rows(count, 2, seed)
    grid = [Settings(C=c, gamma=0.5) for c in (0.1, penalty)]
    machine = list(fit_grid(grid, [Fit(x, y, "classification", 2)], Context()))[1]
    assert isinstance(machine, KernelMachine)
    sign = np.where(y == 1, 1.0, -1.0)
    weight = np.zeros(count)
    weight[[int(np.flatnonzero((x == vector).all(axis=1))[0]) for vector in machine.support]] = (
        machine.weights[:, 0]
    )
    assert weight.sum() == pytest.approx(0.0, abs=1e-9 * penalty * count)
    assert (sign * weight >= 0).all()
    assert (sign * weight <= penalty).all()
    error = sign - rbf_kernel(x, gamma=0.5) @ weight
    rises = np.where(sign > 0, weight < penalty, weight < 0)
    falls = np.where(sign > 0, weight > 0, weight > -penalty)
    rounding = 1e-6 * np.abs(weight).sum()  # of a kernel in float32
    assert error[rises].max() - error[falls].min() <= 1e-3 + rounding


def test_a_class_that_no_row_has_never_wins() -> None:
    x, y = rows(200, 3)
    grid = [Settings(C=c) for c in (0.5, 5.0)]
    both = Fit(x[y > 0], y[y > 0], "classification", 4), Fit(x, y, "classification", 4)
    for machine in fit_grid(grid, both, Context()):
        assert machine.predict(x).shape == (200, 4)
        assert not (machine.predict(x).argmax(axis=1) == 3).any()
    with pytest.raises(FitError, match="one class in 200 rows"):
        list(
            fit_grid(grid, [Fit(x, np.zeros(200, dtype=np.int64), "classification", 3)], Context())
        )


def test_equal_values_need_no_support() -> None:
    x, _ = rows(60)
    grid = [Settings(C=1.0), Settings(C=2.0)]
    for machine in fit_grid(grid, [Fit(x, np.full(60, 3.0), "regression", 1)], Context()):
        np.testing.assert_allclose(machine.predict(x), 3.0, atol=0.1)


def test_sparse_rows_and_a_sample() -> None:
    x, y = rows(500)
    x[np.abs(x) < 0.5] = 0.0
    grid = [Settings(C=c, sample=200) for c in C]
    notes: list[str] = []
    context = Context(emit_to=lambda kind, facts: notes.append(facts["text"]))
    thin = list(fit_grid(grid, [Fit(csr_array(x), y, "classification", 2, seed=3)], context))
    (alone,) = grid[0].fit([Fit(x, y, "classification", 2, seed=3)], Context())
    close(thin[0], alone, x)
    assert notes == ["svm: kernel rbf learns from 200 of 500 rows, drawn at random within classes"]


def test_the_order_is_the_given_one_and_the_bits_are_the_same() -> None:
    x, y = rows()
    fits = [Fit(x[: 400 - k], y[: 400 - k], "classification", 2) for k in range(3)]
    grid = [Settings(C=c) for c in C]
    first, second = (list(fit_grid(grid, fits, Context())) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.predict(x), other.predict(x))
    bounds = [np.abs(machine.weights).max() for machine in first]  # noisy rows reach C
    assert bounds[0] > bounds[2] > bounds[1]
    assert bounds[2] == bounds[4]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_no_bit(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = rows()
    fits = [Fit(x[k:], y[k:], "classification", 2) for k in range(3)]
    grid = [Settings(C=c) for c in C]
    expected = [machine.predict(x) for machine in fit_grid(grid, fits, Context())]
    monkeypatch.setattr(_svm_grid, "cores", lambda: threads)
    for machine, values in zip(fit_grid(grid, fits, Context()), expected, strict=True):
        np.testing.assert_array_equal(machine.predict(x), values)


def test_without_room_for_the_matrix_each_setting_is_solved_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = rows(120)
    grid = [Settings(C=c) for c in C]
    monkeypatch.setattr(_svm_grid, "MEMORY_BYTES", 100_000)
    found = list(fit_grid(grid, [Fit(x, y, "classification", 2)], Context()))
    for setting, machine in zip(grid, found, strict=True):
        (alone,) = setting.fit([Fit(x, y, "classification", 2)], Context())
        np.testing.assert_array_equal(machine.predict(x), alone.predict(x))


def test_no_machine_is_begun_after_the_deadline() -> None:
    x, y = rows()
    grid = [Settings(C=c) for c in C]
    with pytest.raises(BudgetError, match="no time left while fitting svm"):
        list(fit_grid(grid, [Fit(x, y, "classification", 2)], Context(deadline=time.monotonic())))


def test_a_result_that_nobody_waits_for_ends_the_work() -> None:
    x, y = rows()
    grid = [Settings(C=c) for c in C]
    machines = fit_grid(grid, [Fit(x, y, "classification", 2)] * 4, Context())
    close(next(machines), next(iter(grid[0].fit([Fit(x, y, "classification", 2)], Context()))), x)
    machines.close()  # type: ignore[attr-defined]
    assert list(machines) == []
