"""Which candidate wins."""

from dataclasses import replace

import numpy as np
import pytest

from sixfold.core.errors import RecipeError
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold_models import FoldModels
from sixfold.select import leaderboard


def evaluation(
    name: str, scores: list[float], seconds: float = 1.0, metric: str = "accuracy"
) -> Evaluation:
    return Evaluation(
        name,
        "linear",
        "probability",
        (metric,),
        {metric: np.array(scores)},
        np.zeros((2, 2)),
        FoldModels(),
        seconds,
        tuple(range(len(scores))),
    )


def test_direction() -> None:
    for metric, winner in (("accuracy", 1), ("log_loss", 0)):
        found = [
            evaluation("a", [0.1, 0.2], metric=metric),
            evaluation("b", [0.3, 0.4], metric=metric),
        ]
        assert leaderboard.best(found, metric) == winner


def test_equal_means_the_first_whatever_the_seconds() -> None:
    """Seconds differ from run to run: a run that is repeated must choose the same."""
    found = [evaluation("a", [0.5], 2.0), evaluation("b", [0.5], 1.0), evaluation("c", [0.5], 1.0)]
    assert leaderboard.order(found, "accuracy") == [0, 1, 2]


def test_unscored_come_last_and_never_win() -> None:
    nothing = evaluation("a", [float("nan")])
    assert leaderboard.order([nothing, evaluation("b", [0.1])], "accuracy") == [1, 0]
    with pytest.raises(RecipeError, match="scores at least one candidate"):
        leaderboard.best([nothing], "accuracy")


def test_a_score_that_is_none_is_a_dash() -> None:
    board = leaderboard.leaderboard(
        [evaluation("a", [0.5, 0.7]), evaluation("b", [float("nan")] * 2)], "accuracy"
    )
    assert str(board).splitlines()[2].split() == ["b", "-", "-", "-", "1.0"]
    assert "nan" not in board._repr_html_()


def test_leaderboard_shows_mean_spread_and_folds() -> None:
    board = leaderboard.leaderboard([evaluation("<a>", [0.5, 0.7])], "accuracy")
    standing = board.standings[0]
    assert (standing.mean, standing.folds) == (pytest.approx(0.6), (0.5, 0.7))
    assert standing.spread == pytest.approx(np.sqrt(0.02))
    assert "0.6000" in str(board) and "&lt;a&gt;" in board._repr_html_()


def test_who_was_dropped_comes_last_with_the_folds_it_had_and_why() -> None:
    nan = float("nan")
    left = replace(
        evaluation("a", [0.9, nan, 0.9]), numbers=(0, 2), dropped="0.1 behind the leader"
    )
    board = leaderboard.leaderboard([left, evaluation("b", [0.5, 0.5, 0.6])], "accuracy")
    assert [standing.name for standing in board.standings] == ["b", "a"]
    assert board.standings[1].folds == (0.9, 0.9)
    assert str(board).splitlines()[-1].endswith("dropped after 2 folds: 0.1 behind the leader")


def test_a_long_name_moves_no_column() -> None:
    standings = tuple(
        leaderboard.Standing(name, "mlp", 0.5, 0.1, 0.05, (0.4, 0.6), 1.0)
        for name in ("mlp", "mlp " + "optimizer=auto " * 4)
    )
    head, *rows = str(leaderboard.Leaderboard("accuracy", standings)).splitlines()
    assert {len(row) for row in rows} == {len(head)}


def test_who_is_ahead_comes_first_unless_dropped() -> None:
    better, ahead = evaluation("a", [0.9]), replace(evaluation("b", [0.8]), ahead=True)
    assert leaderboard.order([better, ahead], "accuracy") == [1, 0]
    assert leaderboard.order([better, replace(ahead, dropped="too large")], "accuracy") == [0, 1]
