"""What a run says while it works: lines for a log, and a moving line with rate and remaining
time.
"""

from __future__ import annotations

from typing import Any

import pytest

from sixfold.cli.progress import Lines, ProgressPace, describe


def event(kind: str, **facts: Any) -> dict[str, Any]:
    return {"event": kind, "time": 0.0, **facts}


def test_fits_have_a_rate_and_a_remaining_time() -> None:
    pace = ProgressPace()
    for name in ("linear", "mlp"):
        assert pace.see(event("candidate_planned", candidate=name, why=""), 0.0) == ""
    assert pace.see(event("stage_started", stage="evaluate-0"), 10.0) == "evaluate-0"
    first = pace.see(event("fold_scored", candidate="linear", fold=0, folds=3, scores={}), 12.0)
    assert first == "linear: fold 1 of 3 done; 1 of 6 fits, 0.5 fits/s, 10.0 s left"
    pace.see(event("fold_scored", candidate="linear", fold=1, folds=3, scores={}), 14.0)
    third = pace.see(event("fold_scored", candidate="linear", fold=2, folds=3, scores={}), 16.0)
    assert third == "linear: fold 3 of 3 done; 3 of 6 fits, 0.5 fits/s, 6.0 s left"
    assert pace.see(event("candidate_finished", candidate="linear", scores={}), 16.0) == ""
    assert pace.see(event("stage_started", stage="evaluate-1"), 16.0) == (
        "evaluate-1; 3 of 6 fits, 0.5 fits/s, 6.0 s left"
    )
    for fold in range(3):
        last = pace.see(
            event("fold_scored", candidate="mlp", fold=fold, folds=3, scores={}), 18.0 + fold
        )
    assert last == "mlp: fold 3 of 3 done"
    assert pace.see(event("stage_started", stage="refit"), 21.0) == "refit"


def test_what_an_earlier_process_finished_counts_as_done_and_not_as_fast() -> None:
    pace = ProgressPace()
    for name in ("a", "b"):
        pace.see(event("candidate_planned", candidate=name, why=""), 0.0)
    pace.see(event("stage_skipped", stage="evaluate-0"), 0.0)
    pace.see(event("candidate_finished", candidate="a", scores={}), 0.0)
    pace.see(event("stage_started", stage="evaluate-1"), 0.0)
    text = pace.see(event("fold_scored", candidate="b", fold=0, folds=2, scores={}), 4.0)
    assert text == "b: fold 1 of 2 done; 3 of 4 fits, 0.25 fits/s, 4.0 s left"


def test_epochs_have_a_rate_and_a_remaining_time() -> None:
    pace = ProgressPace()

    def epoch(number: int, now: float, **facts: Any) -> str:
        return pace.see(event("epoch", epoch=number, epochs=10, loss=0.5, **facts), now)

    assert epoch(1, 0.0, candidate="mlp", fold=0) == "mlp fold 1: epoch 1 of 10, loss 0.5"
    assert (
        epoch(3, 1.0, candidate="mlp", fold=0)
        == "mlp fold 1: epoch 3 of 10, loss 0.5, 2.0 epochs/s, 3.5 s left"
    )
    assert epoch(1, 2.0, candidate="mlp", fold=1) == "mlp fold 2: epoch 1 of 10, loss 0.5"
    assert epoch(2, 2.0, candidate="mlp") == "mlp: epoch 2 of 10, loss 0.5"


def test_an_outer_fold_has_fits_of_its_own() -> None:
    """Its candidates and folds are not those of the run; what it finds is told, how it goes only in
    the moving line.
    """
    pace = ProgressPace(planned=1, folds=3, candidates_done=1, started=0.0)
    inner = [
        event("candidate_planned", candidate="svm", why="", outer=1),
        event("candidate_planned", candidate="tree", why="", outer=1),
        event("fold_scored", candidate="svm", fold=0, folds=2, scores={}, outer=1),
    ]
    assert [pace.see(one, 10.0 + at) for at, one in enumerate(inner)] == [
        "",
        "",
        "outer fold 2: svm: fold 1 of 2 done; 1 of 4 fits, 0.5 fits/s, 6.0 s left",
    ]
    assert (pace.planned, pace.fits, pace.folds) == (1, 0, 3)
    assert [describe(one) for one in inner] == ["", "", ""]
    other = event("fold_scored", candidate="svm", fold=0, folds=2, scores={}, outer=2)
    assert pace.see(other, 20.0) == "outer fold 3: svm: fold 1 of 2 done"
    assert pace.see(event("stage_started", stage="nested-1"), 20.0) == "nested-1"
    assert pace.see(event("stage_started", stage="nested-1.saved/evaluate-0"), 20.0) == ""


def test_folds_of_compression_are_not_counted() -> None:
    pace = ProgressPace(planned=1)
    assert pace.see(event("fold_scored", fold=0, folds=3, scores={}), 1.0) == ""


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (event("note", text="569 rows"), "569 rows"),
        (event("warning", text="odd"), "warning: odd"),
        (event("rows", training=1200, held_out=300), "1,200 rows to train on, 300 held out"),
        (event("candidate_planned", candidate="tree", why="always"), "candidate tree: always"),
        (event("candidate_planned", candidate="tree", why=""), "candidate tree"),
        (
            event("epoch", epoch=5, epochs=10, loss=0.25, candidate="mlp", report_every=5),
            "mlp: epoch 5 of 10, loss 0.25",
        ),
        (event("epoch", epoch=5, epochs=10, loss=0.25, candidate="mlp"), ""),
        (
            event("fold_scored", candidate="svm", fold=1, folds=5, scores={"f1": 0.5}),
            "svm fold 2 of 5: f1 0.5000",
        ),
        (event("fold_scored", candidate="svm", fold=1, folds=100, scores={"f1": 0.5}), ""),
        (
            event("compression_step", name="prune", accepted=False, why="no gain"),
            "prune: refused: no gain",
        ),
        (event("stage_skipped", stage="refit"), "refit: done before"),
        (event("stage_skipped", stage="nested-1.saved/evaluate-0"), ""),
        (event("warning", text="odd", outer=0), "warning: outer fold 1: odd"),
        (event("note", text="as in every fold", outer=0), ""),
        (
            event(
                "nested_scored",
                outer=1,
                of=5,
                chosen="svm",
                candidates=3,
                metric="f1",
                inner=0.9,
                score=0.85,
            ),
            "outer fold 2 of 5: svm chosen by f1 0.9000; 0.8500 on rows that had no part in it",
        ),
        (event("gradient", norm=1), ""),
    ],
)
def test_an_event_in_words(given: dict[str, Any], text: str) -> None:
    assert describe(given) == text


def test_a_log_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines(event("note", text="569 rows [x]"))
    lines(event("gradient", norm=1))
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.endswith("] 569 rows [x]\n")
    assert caught.err.count("\n") == 1
