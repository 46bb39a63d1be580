"""`optimizer: auto`: the rules at their borders, what is said, and that it trains as if the choice
had been written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fitting import fit_many
from sixfold.build.candidate import Candidate
from sixfold.core.errors import RecipeError
from sixfold.parts.fit import Fit, Fitted
from sixfold.recipe.kinds import FAMILY, OPTIMIZER
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.choosing import Chooser, FitShape
from sixfold.train.optimizers.auto import muon_extra

Events = list[tuple[str, dict[str, Any]]]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 8))
CLASSES = (X[:, 0] * X[:, 1] > 0).astype(np.int64)


def candidate(
    optimizer: Any, batch_size: Any, hidden: tuple[int, ...] = (16,), name: str = "mlp"
) -> Candidate:
    section = Train(optimizer=optimizer, batch_size=batch_size, epochs=3)
    return Candidate(
        name, "mlp", FAMILY.load("mlp")(hidden=hidden), Prepare(), Initialize(), section
    )


def classes(rows: int = 400, seed: int = 0) -> Fit:
    return Fit(X[:rows], CLASSES[:rows], "classification", 2, seed=seed)


def values(rows: int = 400) -> Fit:
    return Fit(X[:rows], X[:rows, 0] * X[:rows, 1], "regression", 1)


def fit(candidates: list[Candidate], fits: list[Fit]) -> tuple[list[Fitted], list[str]]:
    notes: list[str] = []

    def listen(kind: str, facts: dict[str, Any]) -> None:
        if kind == "note":
            notes.append(facts["text"])

    return list(fit_many(candidates, fits, Context(emit_to=listen))), notes


def choose(shapes: list[tuple[int, ...]], rows: int, full: bool = False, **more: Any) -> str:
    work = FitShape(tuple(shapes), rows, full, more.get("task", "classification"))
    return str(OPTIMIZER.make({"name": "auto"}).choose(work).optimizer["name"])


def test_of_square_layers_muons_extra_work_is_five_times_width_over_batch() -> None:
    for width, rows in ((8, 40), (64, 64), (256, 10_000)):
        assert muon_extra([(width, width)] * 3, rows) == pytest.approx(5 * width / rows, rel=1e-12)


def test_the_work_is_that_of_the_products() -> None:
    """Counted product by product: XXᵀ, its square, and their sum times X; a row takes three
    products with the weights.
    """
    m, n, rows = 6, 10, 50
    iteration = 2 * m * m * n + 2 * m * m * m + 2 * m * m * n
    assert muon_extra([(m, n)], rows) == pytest.approx(
        5 * iteration / (3 * 2 * m * n * rows), rel=1e-12
    )
    assert muon_extra([(n, m)], rows) == muon_extra([(m, n)], rows)


@pytest.mark.parametrize(
    ("rows", "chosen"), [(1599, "adamw"), (1600, "muon"), (10_000, "muon"), (1, "adamw")]
)
def test_muon_up_to_a_fifth_of_extra_work(rows: int, chosen: str) -> None:
    """5·64 / 1600 = 0.2; whether it is all rows or not; for values, too, where there are
    mini-batches.
    """
    shapes = [(64, 64), (64,), (64, 64), (64,)]
    assert (
        choose(shapes, rows)
        == choose(shapes, rows, full=True)
        == choose(shapes, rows, task="regression")
        == chosen
    )


def test_muon_is_for_hidden_layers() -> None:
    assert choose([(2, 8), (2,)], 10_000) == "adamw"
    assert choose([(8, 8), (8,), (2, 8), (2,)], 10_000) == "muon"


@pytest.mark.parametrize(
    ("columns", "full", "task", "chosen"),
    [
        (9_999, True, "regression", "lbfgs"),
        (9_999, True, "reconstruction", "lbfgs"),
        (10_000, True, "regression", "adamw"),
        (9_999, False, "regression", "adamw"),
        (9_999, True, "classification", "adamw"),
    ],
)
def test_lbfgs_for_values_all_rows_at_once_and_few_parameters(
    columns: int, full: bool, task: str, chosen: str
) -> None:
    """With the bias 10,000 parameters."""
    assert choose([(1, columns), (1,)], 500, full=full, task=task) == chosen


def test_every_choice_is_an_optimizer_that_can_be_made() -> None:
    for work in (
        FitShape(((4, 4), (4, 4)), 1000, True, task) for task in ("classification", "regression")
    ):
        for rate in ("auto", "own"):
            options = OPTIMIZER.make({"name": "auto", "learning_rate": rate}).choose(work).optimizer
            assert options["name"] in OPTIMIZER.names()
            assert options.get("learning_rate", "auto") == "auto"
            assert not issubclass(OPTIMIZER.load(options["name"]), Chooser)


@pytest.mark.parametrize(("rows", "more"), [(1600, {"rms": 3.9}), (1599, {})])
def test_a_rate_that_is_written_is_adamws_beside_which_muons_step_is_derived(
    rows: int, more: dict[str, float]
) -> None:
    """With what else both have. 3.9·√64 = 31."""
    options = {"learning_rate": 0.003, "weight_decay": 0.1, "beta2": 0.95}
    made = OPTIMIZER.make({"name": "auto", **options})
    found = made.choose(FitShape(((64, 64), (64, 64)), rows, False, "classification")).optimizer
    assert found == {"name": "muon" if more else "adamw", **options, **more}
    assert OPTIMIZER.make(found).learning_rate == 0.003


def test_wider_layers_get_smaller_steps_of_muon() -> None:
    """So that their largest singular value stays."""
    made = OPTIMIZER.make({"name": "auto", "learning_rate": 0.002})
    found = [
        made.choose(
            FitShape(((width, width), (3 * width, width)), 100_000, False, "generation")
        ).optimizer["rms"]
        for width in (128, 512, 2048)
    ]
    assert found == [0.18, 0.089, 0.045]


def test_tables_of_tokens_learn_faster_beside_muon() -> None:
    """Four times, of which a matrix's step knows nothing: 0.18·4·√384 = 14."""
    shapes = ((128, 128), (384, 128))
    for rate, given in ((0.002, 0.008), (9.0, 10.0)):
        made = OPTIMIZER.make({"name": "auto", "learning_rate": rate})
        found = made.choose(FitShape(shapes, 100_000, False, "generation")).optimizer
        assert found["learning_rate"] == given
    few = OPTIMIZER.make({"name": "auto", "learning_rate": 0.002})
    assert few.choose(FitShape(shapes, 10, False, "generation")).optimizer["learning_rate"] == 0.002


def test_a_language_model_may_spend_as_much_again_on_muon() -> None:
    """Its batch is counted in tokens: 5·128 / 640 = 1."""
    shapes = [(1, 260, 128), *[(128, 128)] * 2]
    assert choose(shapes, 640, task="generation") == "muon"
    assert choose(shapes, 639, task="generation") == "adamw"
    assert choose(shapes, 640) == "adamw"


def test_equal_shapes_are_said_once() -> None:
    shapes = ((4, 4), (4, 4), (8, 4))
    why = OPTIMIZER.make({"name": "auto"}).choose(FitShape(shapes, 9, False, "generation")).why
    assert "weights 2 of 4 × 4 and 8 × 4" in why


def test_the_choice_and_its_figures_are_said_once_a_candidate() -> None:
    """Of weights 16 × 8 and 2 × 16: 5·(4·8²·16 + 2·8³ + 4·2²·16 + 2·2³) / (6·400·160) = 0.070."""
    notes = fit([candidate("auto", "full")], [classes(seed=seed) for seed in range(3)])[1]
    assert notes[0] == (
        "mlp: optimizer muon: Muon's extra work is 0.07 of a step's (400 rows a batch; weights 16 × 8 and 2 × 16), at most 0.2"
    )
    assert [text.split(":")[1] for text in notes] == [" optimizer muon", notes[1].split(":")[1]]
    assert " for muon, by a range test of 30 steps" in notes[1]
    notes = fit([candidate("auto", 16)], [classes()])[1]
    assert notes[0] == (
        "mlp: optimizer adamw: Muon's extra work is 1.8 of a step's (16 rows a batch; weights 16 × 8 and 2 × 16), above 0.2"
    )


def test_lbfgs_says_why_and_takes_no_range_test() -> None:
    notes = fit([candidate("auto", "full")], [values(), values(300)])[1]
    assert notes == [
        "mlp: optimizer lbfgs: all 400 rows in one batch, squared error, 161 parameters (at most 10,000); it searches its own "
        "steps",
        "mlp: optimizer lbfgs: all 300 rows in one batch, squared error, 161 parameters (at most 10,000); it searches its own "
        "steps",
    ]


@pytest.mark.parametrize(
    ("batch_size", "what", "written"),
    [
        ("full", classes(), {"name": "muon", "learning_rate": "auto"}),
        (16, classes(), {"name": "adamw", "learning_rate": "auto"}),
        ("full", values(), {"name": "lbfgs"}),
    ],
)
def test_it_trains_as_if_the_choice_had_been_written(
    batch_size: Any, what: Fit, written: dict[str, Any]
) -> None:
    """Bit by bit; and beside others that choose otherwise."""
    chosen = fit([candidate("auto", batch_size)], [what])[0][0]
    for other in (
        fit([candidate(written, batch_size)], [what])[0][0],
        fit([candidate("auto", batch_size), candidate("sgd", batch_size, name="beside")], [what])[
            0
        ][0],
    ):
        for left, right in zip(chosen.weights, other.weights, strict=True):  # type: ignore[attr-defined]
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-6)


def test_its_own_rate_where_that_is_asked() -> None:
    notes = fit([candidate({"name": "auto", "learning_rate": "own"}, 16)], [classes()])[1]
    assert len(notes) == 1
    left = fit([candidate({"name": "auto", "learning_rate": "own"}, 16)], [classes()])[0][0]
    right = fit([candidate("adamw", 16)], [classes()])[0][0]
    np.testing.assert_array_equal(left.weights[0], right.weights[0])  # type: ignore[attr-defined]


def test_a_network_that_is_trained_on_is_looked_at_as_it_is() -> None:
    """After pruning: 4 hidden units are left of 16."""
    small = fit([candidate("adam", 16, hidden=(4,))], [classes()])[0][0]
    again = Fit(X, CLASSES, "classification", 2, start=small)
    assert "weights 4 × 8 and 2 × 4" in fit([candidate("auto", 16)], [again])[1][0]


def test_options_that_it_does_not_have() -> None:
    with pytest.raises(RecipeError) as caught:
        OPTIMIZER.make({"name": "auto", "learning_rate": 20})
    assert str(caught.value) == (
        "optimizer auto, learning_rate: expected 'auto' or 'own' or less than or equal to 10; found 20. "
        "Change learning_rate."
    )
    assert "auto" not in OPTIMIZER.names()
    assert OPTIMIZER.askable() == sorted([*OPTIMIZER.names(), "auto"])
