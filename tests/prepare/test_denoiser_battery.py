"""Every check for every denoiser: the folder is listed, and how many checks each one got is
asserted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preparing import NAN, Array, ask, ask_step, at, mixed, mixed_columns, number, saved, target
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor

from sixfold.core.errors import RecipeError
from sixfold.parts import state
from sixfold.parts.fit import Needs
from sixfold.parts.table import Table
from sixfold.prepare.clip import Clip
from sixfold.prepare.outliers import complete
from sixfold.prepare.preparer import Preparer, fit
from sixfold.recipe.kinds import DENOISER
from sixfold.recipe.schema import Prepare

ROWS, SEED = 200, 4
PLANTED = (17, 90, 150)
SHARE = "expected less than or equal to 0.5; found 0.6. Change share."


@dataclass(frozen=True)
class Case:
    """Which rows are outliers by the reference, and what is refused."""

    reference: Callable[[Array], Array]
    options: dict[str, Any]
    refuses: tuple[tuple[dict[str, Any], str], ...]


def tukey(x: Array) -> Array:
    found = np.zeros(len(x), dtype=bool)
    for column in x.T:
        present = column[~np.isnan(column)]
        q1, q3 = np.percentile(present, 25), np.percentile(present, 75)
        found |= (column < q1 - 2 * (q3 - q1)) | (column > q3 + 2 * (q3 - q1))
    return found


def forest(x: Array) -> Array:
    return np.asarray(
        IsolationForest(n_estimators=30, contamination=0.05, random_state=SEED).fit_predict(
            complete(x)
        )
        < 0
    )


def factor(x: Array) -> Array:
    return np.asarray(LocalOutlierFactor(contamination=0.05).fit_predict(complete(x)) < 0)


ACTION = "expected 'drop' or 'clip'; found 'mask'. Change action."
CASES = {
    "iqr": Case(
        tukey,
        {"factor": 2.0},
        (
            (
                {"factor": 0},
                "denoiser iqr, factor: expected greater than 0; found 0. Change factor.",
            ),
            ({"action": "mask"}, f"denoiser iqr, action: {ACTION}"),
        ),
    ),
    "isolation_forest": Case(
        forest,
        {"share": 0.05, "trees": 30},
        (
            ({"share": 0.6}, f"denoiser isolation_forest, share: {SHARE}"),
            ({"action": "mask"}, f"denoiser isolation_forest, action: {ACTION}"),
        ),
    ),
    "local_outlier_factor": Case(
        factor,
        {"share": 0.05},
        (
            ({"share": 0.6}, f"denoiser local_outlier_factor, share: {SHARE}"),
            ({"action": "mask"}, f"denoiser local_outlier_factor, action: {ACTION}"),
        ),
    ),
}


def rows() -> Array:
    """Correlated numbers with gaps, and three rows that are far away from all others and from each
    other.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3)) + rng.normal(size=(ROWS, 1))
    x[rng.random(x.shape) < 0.05] = NAN
    x[PLANTED[0]], x[PLANTED[1]], x[PLANTED[2]] = [40, 45, 41], [-60, -50, 55], [70, -80, 90]
    return x


def make(name: str, **options: Any) -> Any:
    return DENOISER.make({"name": name, **CASES[name].options, **options})


def table() -> Table:
    columns = {f"x{i}": number(column) for i, column in enumerate(rows().T)}
    return Table({**columns, "town": mixed_columns(ROWS)["town"]}, ROWS)


def prepared(name: str, **options: Any) -> tuple[Preparer, Array, Array]:
    prepare = Prepare.model_validate(
        {"denoise": {"outliers": {"name": name, **CASES[name].options, **options}}}
    )
    return fit(table(), target(ROWS), prepare, Needs(number=()), SEED)


def check_equals_the_reference(name: str) -> None:
    np.testing.assert_array_equal(make(name).outliers(rows(), SEED), CASES[name].reference(rows()))


def check_finds_what_was_planted(name: str) -> None:
    assert make(name).outliers(rows(), SEED)[list(PLANTED)].all()


def check_drop_leaves_training_rows_out(name: str) -> None:
    preparer, x, kept = prepared(name)
    found = make(name).outliers(rows(), SEED)
    assert not set(PLANTED) & set(kept.tolist())
    assert x.shape[0] == len(kept) == ROWS - len(set(range(ROWS)) - set(kept.tolist()))
    assert preparer.notes == (f"{ROWS - len(kept)} outliers left out of training ({name}).",)
    assert (
        abs(int(found.sum()) - (ROWS - len(kept))) <= 2
    )  # the preparer draws with a seed of its own
    np.testing.assert_array_equal(preparer.transform(table().take(kept)), x)


def check_drop_does_not_change_rows_to_predict(name: str) -> None:
    preparer, _, _ = prepared(name)
    assert preparer.transform(at(table(), *PLANTED)).shape[0] == len(PLANTED)
    assert preparer.transform(at(table(), PLANTED[2]))[0, 0] == 70


def check_clip_keeps_all_rows(name: str) -> None:
    _, x, kept = prepared(name, action="clip")
    np.testing.assert_array_equal(kept, np.arange(ROWS))
    assert np.abs(x[:, :3]).max() < 40


def check_clip_is_part_of_the_graph(name: str) -> None:
    preparer, _, _ = prepared(name, action="clip")
    for some in (table(), at(table(), *PLANTED), at(table(), PLANTED[0])):
        np.testing.assert_allclose(ask(preparer, some), preparer.transform(some), rtol=1e-12)


def check_bounds_leave_gaps_alone(name: str) -> None:
    bounds: Clip = make(name).bounds(rows(), SEED)
    new = np.array([[NAN, 1e9, 0.0], [-1e9, NAN, 1.0]])
    found = bounds.transform(new)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(new))
    assert np.nanmax(np.abs(found)) < 1000
    np.testing.assert_array_equal(ask_step(bounds, new), found)


def check_save_and_load(name: str, folder: Path) -> None:
    preparer, _, _ = prepared(name, action="clip")
    saved(preparer, folder)
    np.testing.assert_array_equal(
        state.load(folder, Preparer).transform(table()), preparer.transform(table())
    )


def check_the_same_seed_gives_the_same_rows(name: str) -> None:
    np.testing.assert_array_equal(
        make(name).outliers(rows(), SEED), make(name).outliers(rows(), SEED)
    )


def check_refuses_bad_settings(name: str) -> None:
    for options, text in CASES[name].refuses:
        with pytest.raises(RecipeError) as caught:
            make(name, **options)
        assert str(caught.value) == text


def check_refuses_a_table_without_numbers(name: str) -> None:
    prepare = Prepare.model_validate({"denoise": {"outliers": name}})
    with pytest.raises(RecipeError) as caught:
        fit(
            Table({"town": mixed_columns(ROWS)["town"]}, ROWS), target(ROWS), prepare, Needs(), SEED
        )
    assert str(caught.value) == (
        "prepare.denoise.outliers: expected number columns; found none among the training rows. "
        "Leave outliers out, or look at data.types."
    )


def check_a_column_of_one_value_and_few_rows(name: str) -> None:
    x = np.column_stack([np.zeros(6), np.arange(6.0)])
    for some in (x, x[:2], x[:1]):
        assert make(name).outliers(some, SEED).shape == (len(some),)
        bounds = make(name).bounds(some, SEED)
        np.testing.assert_array_equal(bounds.transform(some)[:, 0], some[:, 0])


CHECKS: dict[str, Callable[..., None]] = {
    n: f for n, f in dict(globals()).items() if n.startswith("check_")
}
PAIRS = [(name, check) for name in DENOISER.names() for check in CHECKS]


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_denoiser(name: str, check: str, tmp_path: Path) -> None:
    function = CHECKS[check]
    if "folder" in function.__annotations__:
        function(name, folder=tmp_path)
    else:
        function(name)


def test_every_denoiser_gets_every_check() -> None:
    assert set(CASES) == set(DENOISER.names())
    assert Counter(name for name, _ in PAIRS) == dict.fromkeys(CASES, 12)


def test_clip_bounds_go_to_number_columns_only() -> None:
    prepare = Prepare.model_validate({"denoise": {"outliers": {"name": "iqr", "action": "clip"}}})
    preparer, _, _ = fit(mixed(), target(), prepare, Needs(), 0)
    clipped = [
        block.columns
        for block in preparer.blocks
        if any(isinstance(step, Clip) for step in block.steps)
    ]
    assert clipped == [("height", "income", "weight")]
