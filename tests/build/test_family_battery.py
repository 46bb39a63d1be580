"""Every check for every family: the folder is listed, and how many checks each family got is
asserted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import pytest
from pydantic import ValidationError

import onnx_reference
from fitting import fit_many
from sixfold.build.candidate import Candidate
from sixfold.build.family import Family
from sixfold.core.errors import BudgetError, FitError
from sixfold.parts import state
from sixfold.parts.fit import (
    FeatureGroup,
    Fit,
    Fitted,
    IncrementalPredictor,
    Matrix,
    Parametric,
    Ranked,
)
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.table import Task
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.recipe.section import Section
from sixfold.runs.context import Context


@dataclass(frozen=True)
class Case:
    """What the battery needs to know of a family: settings that can learn few rows, what it must
    refuse, and other settings whose results are saved, exported and changed in another way.
    """

    quick: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    refuses: tuple[tuple[dict[str, Any], str], ...] = ()
    variants: tuple[dict[str, Any], ...] = ()


CASES = {
    "linear": Case(
        {"C": 10.0},
        refuses=(
            (
                {"alpha": 1.0, "C": 1.0},
                "alpha and C are the same strength (C = 1 / alpha): give one of them",
            ),
            (
                {"penalty": "none", "C": 1.0},
                "penalty none has no strength: leave C out, or choose penalty l2 or l1",
            ),
            ({"alpha": -1.0}, "Input should be greater than 0"),
            ({"penalty": "l3"}, "Input should be 'l2', 'l1' or 'none'"),
        ),
        variants=({"penalty": "l1"},),
    ),
    "svm": Case(
        {"C": 10.0},
        refuses=(
            ({"kernel": "cubic"}, "Input should be 'linear', 'rbf', 'poly' or 'sigmoid'"),
            ({"C": 0.0}, "Input should be greater than 0"),
            ({"degree": 0}, "Input should be greater than or equal to 1"),
            ({"gamma": -0.5}, "Input should be greater than 0"),
        ),
        variants=(
            {"kernel": "linear"},
            {"kernel": "poly", "coef0": 1.0},
            {"kernel": "sigmoid", "gamma": 0.05},
        ),
    ),
    "kernel_ridge": Case(
        {"alpha": 0.01},
        refuses=(
            ({"kernel": "linear"}, "Input should be 'rbf', 'poly' or 'sigmoid'"),
            ({"alpha": 0.0}, "Input should be greater than 0"),
            ({"degree": 0}, "Input should be greater than or equal to 1"),
        ),
        variants=(
            {"kernel": "poly", "coef0": 1.0, "degree": 2},
            {"kernel": "sigmoid", "gamma": 0.05, "alpha": 1.0},
        ),
    ),
    "tree": Case(
        {"min_rows_leaf": 1},
        refuses=(
            ({"max_depth": 0}, "Input should be greater than or equal to 1"),
            ({"complexity": -0.1}, "Input should be greater than or equal to 0"),
            (
                {"criterion": "twoing"},
                "Input should be 'auto', 'gini', 'entropy' or 'squared_error'",
            ),
        ),
    ),
    "forest": Case(
        {"min_rows_leaf": 1, "trees": 8, "feature_fraction": 1.0},
        refuses=(
            ({"trees": 0}, "Input should be greater than or equal to 1"),
            ({"feature_fraction": 1.5}, "Input should be less than or equal to 1"),
        ),
        variants=({"criterion": "auto", "trees": 7, "max_leaves": 5, "row_fraction": 0.5},),
    ),
    "extra_trees": Case(
        {"min_rows_leaf": 1, "trees": 8, "feature_fraction": 1.0},
        refuses=(
            ({"trees": 0}, "Input should be greater than or equal to 1"),
            ({"feature_fraction": 1.5}, "Input should be less than or equal to 1"),
            ({"row_fraction": 0.5}, "Extra inputs are not permitted"),
        ),
        variants=({"criterion": "auto", "trees": 7, "max_leaves": 5, "max_depth": 4},),
    ),
    "boosting": Case(
        {"min_rows_leaf": 1, "rounds": 40, "learning_rate": 0.2, "leaves": 7},
        refuses=(
            ({"rounds": 0}, "Input should be greater than or equal to 1"),
            ({"learning_rate": 0.0}, "Input should be greater than 0"),
            ({"leaves": 1}, "Input should be greater than or equal to 2"),
        ),
        variants=({"row_fraction": 0.7, "l1": 0.1, "l2": 3.0, "max_depth": 3, "patience": None},),
    ),
    "mlp": Case(
        {"hidden": [16]},
        {"optimizer": {"name": "adam", "learning_rate": 0.03}, "epochs": 12, "batch_size": 16},
        refuses=(({"hidden": [0]}, "Input should be greater than or equal to 1"),),
    ),
    "residual_mlp": Case(
        {"width": 16, "blocks": 1, "dropout": 0.0},
        {"optimizer": {"name": "adam", "learning_rate": 0.02}, "epochs": 12, "batch_size": 16},
        refuses=(
            ({"width": 0}, "Input should be greater than or equal to 1"),
            ({"numbers": "sines"}, "Input should be 'linear', 'periodic' or 'piecewise_linear'"),
            ({"frequency_scale": 0.0}, "Input should be greater than 0"),
        ),
        variants=(
            {"numbers": "periodic", "dropout": 0.1},
            {"blocks": 0},
            {"size": "small", "label_smoothing": 0.05},
        ),
    ),
    "tabm": Case(
        {"width": 16, "blocks": 1, "members": 4},
        {"optimizer": {"name": "adam", "learning_rate": 0.02}, "epochs": 12, "batch_size": 16},
        refuses=(
            ({"members": 0}, "Input should be greater than or equal to 1"),
            ({"blocks": -1}, "Input should be greater than or equal to 0"),
            ({"dropout": 1.0}, "Input should be less than 1"),
        ),
        variants=(
            {"numbers": "periodic", "dropout": 0.1},
            {"blocks": 0},
            {"members": 1, "label_smoothing": 0.05},
        ),
    ),
    "fusion": Case(
        {"size": "nano", "dropout": 0.0, "shift": 0.0},
        {"optimizer": {"name": "adam", "learning_rate": 0.005}, "epochs": 8, "batch_size": 16},
        refuses=(
            ({"size": "tiny"}, "Input should be 'auto', 'nano', 'small', 'medium' or 'large'"),
            ({"dropout": 1.0}, "Input should be less than 1"),
            ({"mixup": 0.2}, "Extra inputs are not permitted"),
        ),
    ),
    "text_cnn": Case(
        {"size": "nano", "dropout": 0.0},
        {"optimizer": {"name": "adam", "learning_rate": 0.01}, "epochs": 12, "batch_size": 16},
        refuses=(
            ({"size": "tiny"}, "Input should be 'auto', 'nano', 'small', 'medium' or 'large'"),
            ({"widths": []}, "at least 1 item"),
            ({"widths": [0]}, "Input should be greater than or equal to 1"),
        ),
    ),
    "text_encoder": Case(
        {"size": "nano", "dropout": 0.0},
        {"optimizer": {"name": "adam", "learning_rate": 0.005}, "epochs": 12, "batch_size": 16},
        refuses=(({"dropout": 1.0}, "Input should be less than 1"),),
    ),
}
ONLY_VALUES = ("kernel_ridge",)
# Which model has which ability, `quick` first and then each variant: a check of an ability runs
# where it stands here.
TREES, KERNEL, SUMS = "near ranked", "parameters", "parameters ranked"
ABILITIES: dict[str, tuple[str, ...]] = {
    "boosting": (TREES, TREES),
    "extra_trees": (TREES, TREES),
    "forest": (TREES, TREES),
    "fusion": ("",),
    "kernel_ridge": (KERNEL, KERNEL, KERNEL),
    "linear": (SUMS, SUMS),
    "mlp": (KERNEL,),
    "residual_mlp": (KERNEL, KERNEL, KERNEL, KERNEL),
    "svm": (KERNEL, SUMS, KERNEL, KERNEL),
    "tabm": (KERNEL, KERNEL, KERNEL, KERNEL),
    "text_cnn": ("",),
    "text_encoder": ("",),
    "tree": (TREES,),
}
PROTOCOLS = {"near": IncrementalPredictor, "parameters": Parametric, "ranked": Ranked}
TASKS: tuple[tuple[Task, int], ...] = (
    ("classification", 2),
    ("classification", 3),
    ("regression", 1),
)


def settings(name: str, **options: Any) -> Any:
    return FAMILY.load(name)(**{**CASES[name].quick, **options})


def solve(
    name: str,
    *fits: Fit,
    family: Any = None,
    context: Context | None = None,
    epochs: int | None = None,
) -> list[Fitted]:
    train = Train(**{**CASES[name].train, **({"epochs": epochs} if epochs else {})})
    candidate = Candidate(name, name, family or settings(name), Prepare(), Initialize(), train)
    return list(fit_many([candidate], fits, context or Context()))


def problem(
    name: str, task: Task, outputs: int, rows: int = 200, features: int = 5, seed: int = 3
) -> Fit:
    """Rows whose first features decide the target; NaN among them where the family takes it. Of
    tokens one does.
    """
    reads = FAMILY.load(name).reads
    if "tokens" in reads:
        tokens = token_problem(task, outputs, rows, features, seed)
        return beside_others(tokens) if "numbers" in reads else tokens
    needs = FAMILY.load(name)().needs
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, features))
    signal = 2.0 * x[:, 0] + (x[:, 1] if features > 1 else 0.0)
    y: Any = signal
    if task == "classification":
        y = np.digitize(signal, np.quantile(signal, np.arange(1, outputs) / outputs)).astype(
            np.int64
        )
    if task == "reconstruction":
        y = np.stack([signal, -x[:, -1]], axis=1)
    if needs.impute_number is None and features > 2:
        x[generator.random(rows) < 0.2, 2] = np.nan
    return Fit(x.astype(needs.precision), y, task, outputs, seed=7)


def token_problem(task: Task, outputs: int, rows: int, length: int, seed: int) -> Fit:
    """Each row has one token of 1 to 6 somewhere, which decides the target; after half of the rows
    comes padding.
    """
    generator = np.random.default_rng(seed)
    x = generator.integers(7, 20, size=(rows, length))
    told, place = (
        generator.integers(1, 7, size=rows),
        generator.integers(0, max(1, length - 1), size=rows),
    )
    x[np.arange(rows), place] = told
    x[: rows // 2, length - 1 :] = 0 if length > 1 else x[: rows // 2]
    y: Any = told - 3.5
    if task == "classification":
        y = ((told - 1) * outputs // 6).astype(np.int64)
    layout = (FeatureGroup("tokens", ("text",), 0, length, tokens=20),)
    return Fit(x.astype(np.float32), y, task, outputs, seed=7, levels=(20,) * length, layout=layout)


def beside_others(fit: Fit) -> Fit:
    """Between a number and images of 4 × 4 pixels, which say nothing."""
    generator, length = np.random.default_rng(fit.rows), fit.x.shape[1]
    number, pixels = (
        generator.normal(size=(fit.rows, 1)),
        generator.integers(0, 256, size=(fit.rows, 16)),
    )
    x = np.concatenate([number, np.asarray(fit.x), pixels], axis=1).astype(np.float32)
    layout = (
        FeatureGroup("numbers", ("number",), 0, 1),
        replace(fit.layout[0], start=1, stop=1 + length),
        FeatureGroup("pixels", ("image",), 1 + length, 17 + length, ImageShape(4, 4, 1)),
    )
    return replace(fit, x=x, levels=(0, *fit.levels, *(0,) * 16), layout=layout)


def run_graph(fitted: Fitted, *some: Matrix) -> list[Matrix]:
    """The graph's answers about each of some matrices."""
    x = some[0]
    graph = Graph()
    double = x.dtype == np.float64
    value = graph.input("x", TensorProto.DOUBLE if double else TensorProto.FLOAT, x.shape[1])
    exported = fitted.export(graph, value)
    graph.output("y", exported, TensorProto.DOUBLE, ["rows", "outputs"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        onnx_reference.checked(graph.model(), {"x": x[:3]}), options
    )
    return [np.asarray(session.run(None, {"x": each})[0]) for each in some]


def every_model(name: str, fit: Fit) -> list[Fitted]:
    """`fit` solved with the quick settings and with each variant."""
    families = [settings(name), *(settings(name, **options) for options in CASES[name].variants)]
    return [solve(name, fit, family=family)[0] for family in families]


@cache
def usual(name: str, task: Task, outputs: int) -> tuple[Fit, tuple[Fitted, ...]]:
    """The usual problem and `every_model` of it, the quick settings first: solved once for all
    checks, which change nothing of it.
    """
    fit = problem(name, task, outputs)
    return fit, tuple(every_model(name, fit))


def task_pairs(name: str) -> list[tuple[Task, int]]:
    tasks = FAMILY.load(name).tasks
    return [pair for pair in (*TASKS, ("reconstruction", 2)) if pair[0] in tasks]


# The checks. Each takes the family's name; each runs for every family unless `only_for` says
# otherwise.


def check_settings_are_a_section(name: str, tmp: Any) -> None:
    made = FAMILY.load(name)()
    assert isinstance(made, Section)
    assert isinstance(made, Family)
    assert made.tasks >= (
        {"regression"} if name in ONLY_VALUES else {"classification", "regression"}
    )
    assert type(made)(**made.model_dump(mode="json")) == made
    assert type(made).__doc__
    fields = type(made).model_fields
    assert len(fields) <= 13
    assert all(f.description for f in fields.values())


def check_learns_32_rows(name: str, tmp: Any) -> None:
    pairs = [pair for pair in task_pairs(name) if pair in TASKS]
    assert pairs
    for task, outputs in pairs:
        fit = problem(name, task, outputs, rows=32)
        predicted = solve(name, fit, epochs=120)[0].predict(fit.x)
        if task == "classification":
            assert (predicted.argmax(axis=1) == fit.y).mean() >= 0.9, (task, outputs)
        else:
            assert np.mean((predicted[:, 0] - fit.y) ** 2) <= 0.1 * np.var(fit.y), task


def check_outputs_are_what_they_say(name: str, tmp: Any) -> None:
    for task, outputs in task_pairs(name):
        fit, (fitted, *_) = usual(name, task, outputs)
        predicted = fitted.predict(fit.x)
        assert predicted.shape == (200, outputs)
        assert predicted.dtype == np.float64
        assert np.isfinite(predicted).all()
        assert fitted.output in (
            ("probability", "decision") if task == "classification" else ("value",)
        )
        if fitted.output == "probability":
            np.testing.assert_allclose(predicted.sum(axis=1), 1.0, atol=1e-9)
            assert (predicted >= 0).all()
        if fitted.output == "decision" and outputs == 2:
            np.testing.assert_array_equal(predicted[:, 0], -predicted[:, 1])


def check_one_row_is_a_batch_of_one(name: str, tmp: Any) -> None:
    for task, outputs in task_pairs(name):
        fit, (fitted, *_) = usual(name, task, outputs)
        whole = fitted.predict(fit.x)
        for row in (0, 57, 199):
            np.testing.assert_allclose(
                fitted.predict(fit.x[row : row + 1]), whole[row : row + 1], rtol=1e-5, atol=1e-6
            )


def check_fits_come_in_order(name: str, tmp: Any) -> None:
    first, second = (
        problem(name, "regression", 1, rows=64),
        problem(name, "regression", 1, rows=64, seed=9),
    )
    together = solve(name, first, second)
    assert len(together) == 2
    for fit, fitted in zip((first, second), together, strict=True):
        np.testing.assert_allclose(
            fitted.predict(fit.x), solve(name, fit)[0].predict(fit.x), rtol=1e-4, atol=1e-4
        )


def check_odd_sizes(name: str, tmp: Any) -> None:
    for rows, features in ((23, 1), (11, 17), (101, 3)):
        for task, outputs in task_pairs(name):
            fit = problem(name, task, outputs, rows=rows, features=features)
            assert solve(name, fit)[0].predict(fit.x).shape == (rows, outputs)


def check_same_seed_same_bits(name: str, tmp: Any) -> None:
    for task, outputs in task_pairs(name):
        fit, (fitted, *_) = usual(name, task, outputs)
        again = solve(name, problem(name, task, outputs))[0]
        np.testing.assert_array_equal(again.predict(fit.x), fitted.predict(fit.x))


def check_rows_in_memory_do_not_change(name: str, tmp: Any) -> None:
    fit = problem(name, *task_pairs(name)[0])
    x, y = fit.x.copy(), fit.y.copy()
    solve(name, fit)[0].predict(fit.x)
    np.testing.assert_array_equal(fit.x, x)
    np.testing.assert_array_equal(fit.y, y)


def check_saves_and_loads(name: str, tmp: Any) -> None:
    for task, outputs in task_pairs(name):
        fit, models = usual(name, task, outputs)
        for at, fitted in enumerate(models):
            folder = tmp / f"{task}{outputs}.{at}"
            folder.mkdir()
            state.save(fitted, folder)  # type: ignore[arg-type]  # every Fitted is a State
            again: Any = state.load(folder, state.State)
            assert type(again) is type(fitted)
            np.testing.assert_array_equal(again.predict(fit.x), fitted.predict(fit.x))
            assert again.output == fitted.output


def check_exports_with_parity(name: str, tmp: Any) -> None:
    for task, outputs in task_pairs(name):
        x = problem(name, task, outputs, rows=1200, seed=11).x
        for fitted in usual(name, task, outputs)[1]:
            own, (graph, one) = fitted.predict(x), run_graph(fitted, x, x[:1])
            assert graph.shape == own.shape
            np.testing.assert_allclose(graph, own, rtol=1e-5, atol=1e-5)
            if task == "classification":
                np.testing.assert_array_equal(graph.argmax(axis=1), own.argmax(axis=1))
            np.testing.assert_allclose(one, own[:1], rtol=1e-5, atol=1e-5)


def check_absent_class_never_wins(name: str, tmp: Any) -> None:
    for absent in range(3):
        fit = problem(name, "classification", 2)
        names = np.array([c for c in range(3) if c != absent])
        fit = replace(fit, y=names[fit.y], outputs=3)
        for fitted in every_model(name, fit):
            own = fitted.predict(fit.x)
            assert own.shape == (200, 3)
            assert not (own.argmax(axis=1) == absent).any()
            assert (own.argmax(axis=1) == fit.y).mean() > 0.75
            np.testing.assert_allclose(run_graph(fitted, fit.x)[0], own, rtol=1e-5, atol=1e-5)


def check_refuses_bad_settings(name: str, tmp: Any) -> None:
    assert CASES[name].refuses
    for options, text in (
        *CASES[name].refuses,
        ({"surely_unknown": 1}, "Extra inputs are not permitted"),
    ):
        with pytest.raises(ValidationError) as caught:
            FAMILY.load(name)(**options)
        assert text in str(caught.value)


def able(name: str, ability: str, models: Sequence[Fitted]) -> list[Any]:
    """Those of `every_model` that have it: at least one, or the check would look at nothing."""
    found = [fitted for fitted, has in zip(models, ABILITIES[name], strict=True) if ability in has]
    assert found
    return found


def check_abilities_are_those_that_are_checked(name: str, tmp: Any) -> None:
    for task, outputs in task_pairs(name):
        for fitted, has in zip(usual(name, task, outputs)[1], ABILITIES[name], strict=True):
            assert (
                " ".join(word for word, one in PROTOCOLS.items() if isinstance(fitted, one)) == has
            ), (task, fitted)


def check_explains(name: str, tmp: Any) -> None:
    for task, outputs in task_pairs(name):
        for fitted in able(name, "ranked", usual(name, task, outputs)[1]):
            importances = fitted.importances()
            assert importances.shape == (5,)
            assert (importances >= 0).all()
            if task != "reconstruction":
                assert importances.argmax() == 0


def check_rows_nearby(name: str, tmp: Any) -> None:
    """Columns that are shuffled, one, two or all of them; what is missing stays missing."""
    for task, outputs in task_pairs(name):
        fit, models = usual(name, task, outputs)
        for fitted in able(name, "near", models):
            near, rng = fitted.near(fit.x), np.random.default_rng(1)
            for columns in ([], [0], [2, 4], [0, 1, 2, 3, 4]):
                x = fit.x.copy()
                x[:, columns] = rng.permutation(x[:, columns])
                np.testing.assert_array_equal(near(x), fitted.predict(x))


def check_parameters_can_be_replaced(name: str, tmp: Any) -> None:
    for task, outputs in task_pairs(name):
        fit, models = usual(name, task, outputs)
        for fitted in able(name, "parameters", models):
            parameters = fitted.parameters()
            assert parameters
            assert all(value.dtype == np.float64 for value in parameters.values())
            np.testing.assert_array_equal(
                fitted.with_parameters(parameters).predict(fit.x), fitted.predict(fit.x)
            )
            rounded = fitted.with_parameters(
                {key: np.floor(value * 64) / 64 for key, value in parameters.items()}
            )
            assert not np.array_equal(rounded.predict(fit.x), fitted.predict(fit.x))
            np.testing.assert_allclose(
                run_graph(rounded, fit.x)[0], rounded.predict(fit.x), rtol=1e-5, atol=1e-5
            )


def check_refuses_one_class(name: str, tmp: Any) -> None:
    fit = problem(name, "classification", 2)
    with pytest.raises(FitError) as caught:
        solve(name, Fit(fit.x, np.zeros(200, dtype=np.int64), "classification", 2))
    expected = f"build.{name}: expected rows of at least two classes in every fit; found one class in 200 rows. "
    assert str(caught.value).startswith(expected)


def check_stops_when_time_is_over(name: str, tmp: Any) -> None:
    with pytest.raises(BudgetError, match=f"no time left while fitting {name}"):
        solve(name, problem(name, "regression", 1), context=Context(deadline=time.monotonic() - 1))


CHECKS: tuple[Callable[[str, Any], None], ...] = (
    check_settings_are_a_section,
    check_learns_32_rows,
    check_outputs_are_what_they_say,
    check_one_row_is_a_batch_of_one,
    check_fits_come_in_order,
    check_odd_sizes,
    check_same_seed_same_bits,
    check_rows_in_memory_do_not_change,
    check_saves_and_loads,
    check_exports_with_parity,
    check_absent_class_never_wins,
    check_refuses_bad_settings,
    check_abilities_are_those_that_are_checked,
)
ABILITY_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "ranked": check_explains,
    "near": check_rows_nearby,
    "parameters": check_parameters_can_be_replaced,
}
SOLVER_CHECKS: tuple[Callable[[str, Any], None], ...] = (
    check_refuses_one_class,
    check_stops_when_time_is_over,
)


CLASS_CHECKS = (check_absent_class_never_wins, check_refuses_one_class)


def checks_for(name: str) -> tuple[Callable[[str, Any], None], ...]:
    made = FAMILY.load(name)
    checks = CHECKS + (SOLVER_CHECKS if hasattr(made, "solve") else ())
    checks += tuple(
        check for ability, check in ABILITY_CHECKS.items() if ability in " ".join(ABILITIES[name])
    )
    return tuple(
        check for check in checks if "classification" in made.tasks or check not in CLASS_CHECKS
    )


# Those of pixels alone have tests of their own: tests/test_images_end_to_end.py.
CHECKED = [name for name in FAMILY.names() if {"numbers", "tokens"} & FAMILY.load(name).reads]
PAIRS = [
    pytest.param(name, check, id=f"{name}-{check.__name__}")
    for name in CHECKED
    for check in checks_for(name)
]


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_family(name: str, check: Callable[[str, Any], None], tmp_path: Any) -> None:
    check(name, tmp_path)


def test_every_family_gets_its_checks() -> None:
    counts = {name: len(checks_for(name)) for name in CHECKED}
    assert counts == {
        "boosting": 17,
        "extra_trees": 17,
        "forest": 17,
        "fusion": 13,
        "kernel_ridge": 14,
        "linear": 17,
        "mlp": 14,
        "residual_mlp": 14,
        "svm": 17,
        "tabm": 14,
        "text_cnn": 13,
        "text_encoder": 13,
        "tree": 17,
    }
    assert len(PAIRS) == sum(counts.values())
    assert set(ABILITIES) == set(CASES) == set(CHECKED)


def test_every_check_is_in_a_list() -> None:
    written = {name for name in globals() if name.startswith("check_")}
    assert written == {
        check.__name__ for check in (*CHECKS, *SOLVER_CHECKS, *ABILITY_CHECKS.values())
    }
