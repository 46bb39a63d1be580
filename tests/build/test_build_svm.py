"""The svm family against scikit-learn, and its sampling."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.svm import SVC, SVR, LinearSVC

from sixfold.build.svm import Settings, stratified_sample
from sixfold.parts.fit import Fit, Supported
from sixfold.runs.context import Context

KERNELS = ["rbf", "poly", "sigmoid"]


def solve(settings: Settings, fit: Fit, context: Context | None = None) -> Any:
    return next(iter(settings.fit([fit], context or Context())))


def rows(classes: int, count: int = 150) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, 4))
    score = x[:, 0] + x[:, 1] ** 2 + 0.3 * generator.normal(size=count)
    return x, np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(
        np.int64
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_decisions_of_two_classes_are_libsvms(kernel: Any) -> None:
    x, y = rows(2)
    machine = solve(Settings(kernel=kernel, C=2.0, coef0=0.5), Fit(x, y, "classification", 2))
    reference = SVC(kernel=kernel, C=2.0, coef0=0.5).fit(x, y)
    expected = reference.decision_function(x)
    np.testing.assert_allclose(
        machine.predict(x), np.stack([-expected, expected], axis=1), atol=1e-8
    )
    np.testing.assert_array_equal(machine.predict(x).argmax(axis=1), reference.predict(x))
    assert machine.output == "decision"


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("classes", [3, 5])
def test_a_class_has_the_smallest_of_libsvms_decisions_for_it(kernel: Any, classes: int) -> None:
    x, y = rows(classes)
    machine = solve(Settings(kernel=kernel, C=2.0, coef0=0.5), Fit(x, y, "classification", classes))
    reference = SVC(kernel=kernel, C=2.0, coef0=0.5, decision_function_shape="ovo").fit(x, y)
    margins = np.full((len(x), classes, classes), np.inf)
    for column, (i, j) in enumerate(itertools.combinations(range(classes), 2)):
        margins[:, i, j] = reference.decision_function(x)[:, column]
        margins[:, j, i] = -margins[:, i, j]
    found = machine.predict(x)
    np.testing.assert_allclose(found, margins.min(axis=2), atol=1e-8)
    wins_all = found.max(axis=1) > 1e-6
    assert wins_all.mean() > 0.8
    np.testing.assert_array_equal(found.argmax(axis=1)[wins_all], reference.predict(x)[wins_all])


@pytest.mark.parametrize("kernel", KERNELS)
def test_values_are_learned_in_standard_deviations(kernel: Any) -> None:
    x, _ = rows(2)
    y = 1000.0 + 50.0 * np.sin(x[:, 0])
    machine = solve(Settings(kernel=kernel), Fit(x, y, "regression", 1))
    reference = SVR(kernel=kernel).fit(x, (y - y.mean()) / y.std())
    np.testing.assert_allclose(
        machine.predict(x)[:, 0], reference.predict(x) * y.std() + y.mean(), rtol=1e-8
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_linear_is_liblinears_primal(classes: int) -> None:
    x, y = rows(classes)
    machine = solve(Settings(kernel="linear"), Fit(x, y, "classification", classes))
    reference = LinearSVC(dual=False, max_iter=10_000).fit(x, y)
    expected = reference.decision_function(x)
    expected = np.stack([-expected, expected], axis=1) if classes == 2 else expected
    np.testing.assert_allclose(machine.predict(x), expected, atol=1e-10)
    assert not isinstance(machine, Supported)


def test_linear_regression_finds_a_line_whatever_its_unit() -> None:
    x, _ = rows(2)
    for unit in (1e-3, 1e6):
        y = unit * (x @ np.array([1.0, -2.0, 0.0, 0.5]) + 7.0)
        machine = solve(Settings(kernel="linear", epsilon=0.0, C=100.0), Fit(x, y, "regression", 1))
        np.testing.assert_allclose(machine.predict(x)[:, 0], y, atol=0.01 * unit)
        assert machine.output == "value"


def test_gamma() -> None:
    x, y = rows(2)
    for gamma, expected in (("scale", 1 / (4 * x.var())), ("auto", 0.25), (0.7, 0.7)):
        assert solve(
            Settings(gamma=gamma), Fit(x, y, "classification", 2)
        ).kernel.gamma == pytest.approx(expected)


def test_leaving_out_support_vectors() -> None:
    x, y = rows(3)
    machine = solve(Settings(), Fit(x, y, "classification", 3))
    assert isinstance(machine, Supported)
    everything = np.arange(machine.support_count)
    np.testing.assert_array_equal(machine.keep_support(everything).predict(x), machine.predict(x))
    fewer = machine.keep_support(everything[::2])
    assert fewer.support_count == len(everything[::2])
    assert fewer.predict(x).shape == (150, 3)


def test_a_kernel_machine_says_that_it_takes_a_sample() -> None:
    x, y = rows(2)
    events: list[tuple[str, dict[str, Any]]] = []
    machine = solve(
        Settings(sample=60),
        Fit(x, y, "classification", 2, seed=5),
        Context(emit_to=lambda kind, facts: events.append((kind, facts))),
    )
    text = "svm: kernel rbf learns from 60 of 150 rows, drawn at random within classes"
    assert events == [("note", {"text": text})]
    assert machine.support_count <= 60


def test_sample_keeps_the_shares_and_every_class() -> None:
    labels = np.repeat([0, 1, 2], [900, 99, 1])
    chosen = stratified_sample(labels, 100, seed=1)
    assert len(chosen) == len(set(chosen.tolist())) == 100
    counts = np.bincount(labels[chosen])
    assert counts[2] == 1
    assert abs(counts[0] - 90) <= 2
    np.testing.assert_array_equal(chosen, stratified_sample(labels, 100, seed=1))
    assert not np.array_equal(chosen, stratified_sample(labels, 100, seed=2))
