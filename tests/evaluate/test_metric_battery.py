"""Every metric: against scikit-learn or a formula; perfect is best; what it is for is declared."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from sixfold.parts.table import LOSS_SUMS, MARGIN, MISSED, RANKING, Target
from sixfold.parts.transcripts import code_points
from sixfold.recipe.kinds import METRIC

NAMES = sorted(METRIC.names())
RNG = np.random.default_rng(3)
CODES = RNG.permutation(np.arange(90) % 2)
P = RNG.dirichlet((1, 1), 90)
CODES3 = RNG.permutation(np.arange(90) % 3)
P3 = RNG.dirichlet((1, 1, 1), 90)
CODES7 = RNG.permutation(np.arange(90) % 7)
P7 = RNG.dirichlet((1,) * 7, 90)
Y = RNG.normal(size=90) + 5
V = Y + RNG.normal(size=90)


def classes(codes: Any, count: int) -> Target:
    return Target("classification", codes, ("y",), tuple("abcdefg"[:count]))


def _calibration(codes: Any, p: Any) -> float:
    confidence, hit, total = p.max(axis=1), p.argmax(axis=1) == codes, 0.0
    for low in np.arange(15) / 15:
        rows = (confidence >= low) & (confidence < low + 1 / 15)
        if rows.any():
            total += rows.mean() * abs(confidence[rows].mean() - hit[rows].mean())
    return total


def _averaged(p: Any) -> dict[str, Any]:
    return {"average": "binary" if p.shape[1] == 2 else "macro"}


def _specificity(codes: Any, p: Any) -> float:
    """Recall of the rows that are not of a class, class by class."""
    classes = [1] if p.shape[1] == 2 else range(p.shape[1])
    parts = [reference.recall_score(codes != k, p.argmax(1) != k) for k in classes]
    return float(np.mean(parts))


def _top(k: int) -> Any:
    return lambda c, p: reference.top_k_accuracy_score(c, p, k=k, labels=range(p.shape[1]))


def _one_hot(codes: Any, p: Any) -> Any:
    return np.eye(p.shape[1])[codes]


CLASSIFICATION: dict[str, Any] = {
    "accuracy": lambda c, p: reference.accuracy_score(c, p.argmax(1)),
    "balanced_accuracy": lambda c, p: reference.balanced_accuracy_score(c, p.argmax(1)),
    "f1": lambda c, p: reference.f1_score(
        c, p.argmax(1), average="binary" if p.shape[1] == 2 else "macro"
    ),
    "mcc": lambda c, p: reference.matthews_corrcoef(c, p.argmax(1)),
    "precision": lambda c, p: reference.precision_score(c, p.argmax(1), **_averaged(p)),
    "recall": lambda c, p: reference.recall_score(c, p.argmax(1), **_averaged(p)),
    "specificity": _specificity,
    "kappa": lambda c, p: reference.cohen_kappa_score(c, p.argmax(1)),
    "top_3_accuracy": _top(3),
    "top_5_accuracy": _top(5),
    "log_loss": lambda c, p: reference.log_loss(c, p),
    "roc_auc": lambda c, p: (
        reference.roc_auc_score(c, p[:, 1])
        if p.shape[1] == 2
        else reference.roc_auc_score(c, p, multi_class="ovr")
    ),
    "average_precision": lambda c, p: reference.average_precision_score(
        c if p.shape[1] == 2 else _one_hot(c, p), p[:, 1] if p.shape[1] == 2 else p
    ),
    "brier": lambda c, p: ((p - _one_hot(c, p)) ** 2).sum(1).mean() / (2 if p.shape[1] == 2 else 1),
    "calibration_error": _calibration,
}
REGRESSION: dict[str, Any] = {
    "mae": reference.mean_absolute_error,
    "mse": reference.mean_squared_error,
    "rmse": reference.root_mean_squared_error,
    "rmsle": reference.root_mean_squared_log_error,
    "r2": reference.r2_score,
    "mape": reference.mean_absolute_percentage_error,
    "pinball": reference.mean_pinball_loss,
}

QUANTILES = (0.2, 0.5, 0.8)
Q = np.sort(RNG.normal(size=(90, 3)) + 5, axis=1)
INTERVALS: dict[str, Any] = {
    "interval_coverage": lambda y, q: np.mean(
        [low <= t <= high for t, (low, _, high) in zip(y, q, strict=True)]
    ),
    "interval_width": lambda y, q: np.mean([high - low for low, _, high in q]),
}

# Of texts: the sums that a model gives, [rows, 3] losses, tokens, bytes.
SUMS = np.stack([RNG.uniform(5, 50, 90), RNG.integers(3, 20, 90), RNG.integers(9, 80, 90)], axis=1)
# Of preferences besides, how much more probable the better answer is; one is as probable as the other.
MARGINS = np.column_stack([SUMS, np.append(RNG.normal(size=89), 0.0)])
GENERATION: dict[str, Any] = {
    "perplexity": lambda sums: np.exp(sums[:, 0].sum() / sums[:, 1].sum()),
    "bits_per_byte": lambda sums: (sums[:, 0] / np.log(2)).sum() / sums[:, 2].sum(),
    "preference_accuracy": lambda sums: (np.sign(sums[:, 3]) / 2 + 0.5).mean(),
}

# Of interactions: what a recommender says, [rows, 4]; two are not asked, two not known.
USERS = RNG.integers(0, 25, 90)
RANKS = np.zeros((90, 4))
for user in range(25):
    own = np.flatnonzero(user == USERS)
    RANKS[own] = np.column_stack(
        [
            np.full(len(own), user),
            RNG.permutation(30)[: len(own)] + 1,
            np.full(len(own), RNG.uniform(0, 0.9)),
            np.where(np.arange(len(own)) == 0, 0.03, 0),
        ]
    )
RANKS[[3, 50], 1], RANKS[[7, 8], 1] = 0, MISSED


def _of_users(each: Any) -> Any:
    """Mean over users of a function of the sorted ranks of one."""

    def mean(rows: Any) -> float:
        users = [sorted(rows[(rows[:, 0] == u) & (rows[:, 1] > 0), 1]) for u in set(rows[:, 0])]
        return float(np.mean([each(ranks) for ranks in users if ranks]))

    return mean


def _ndcg(k: int) -> Any:
    def one(ranks: list[float]) -> float:
        ideal = sum(1 / np.log2(1 + place) for place in range(1, min(k, len(ranks)) + 1))
        return sum(1 / np.log2(1 + rank) for rank in ranks if rank <= k) / ideal

    return _of_users(one)


def _average_precision(ranks: list[float]) -> float:
    hits = [rank for rank in ranks if rank <= 10]
    return sum(n / rank for n, rank in enumerate(hits, 1)) / min(10, len(ranks))


def _novelty(rows: Any) -> float:
    asked = rows[rows[:, 1] > 0]
    return float(np.mean([asked[asked[:, 0] == user][0, 2] for user in set(asked[:, 0])]))


RECOMMENDATION: dict[str, Any] = {
    "recall_at_10": _of_users(lambda ranks: np.mean([rank <= 10 for rank in ranks])),
    "recall_at_20": _of_users(lambda ranks: np.mean([rank <= 20 for rank in ranks])),
    "ndcg_at_10": _ndcg(10),
    "ndcg_at_20": _ndcg(20),
    "map_at_10": _of_users(_average_precision),
    "mrr": _of_users(lambda ranks: 1 / ranks[0] if ranks[0] < MISSED else 0.0),
    "coverage_at_10": lambda rows: rows[rows[:, 1] > 0, 3].sum(),
    "novelty_at_10": _novelty,
}


# Of speech: code points of what was said and heard.
SPOKEN = ["".join(RNG.choice(list("ab "), 12)) for _ in range(90)]
HEARD = ["".join(RNG.choice(list("ab "), 10)) for _ in range(90)]


def _edits(words: bool) -> Any:
    """Over all texts together; of each by the recursion."""

    def rate(heard: list[str]) -> float:
        parts = [str.split if words else list for _ in SPOKEN]
        pairs = [(own(a), own(b)) for own, a, b in zip(parts, SPOKEN, heard, strict=True)]
        return sum(_changes(a, b) for a, b in pairs) / sum(len(a) for a, _ in pairs)

    return rate


def _changes(one: list[str], other: list[str]) -> int:
    if not one or not other:
        return len(one) + len(other)
    table = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
    table[:, 0], table[0] = np.arange(len(one) + 1), np.arange(len(other) + 1)
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            ways = table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)
            table[i, j] = min(ways)
    return int(table[-1, -1])


TRANSCRIPTION: dict[str, Any] = {
    "word_error_rate": _edits(words=True),
    "character_error_rate": _edits(words=False),
}


def score(name: str, target: Target, predicted: Any) -> float:
    metric: Any = METRIC.load(name)()
    return float(metric.score(target, predicted))


Case = tuple[
    Target, Any, Any, float
]  # a target, answers, perfect answers, and the reference's score


def of_classes(name: str, codes: Any, p: Any) -> Case:
    return classes(codes, p.shape[1]), p, _one_hot(codes, p), CLASSIFICATION[name](codes, p)


def case_of_two_classes(name: str) -> Case:
    return of_classes(name, CODES, P)


def case_of_three_classes(name: str) -> Case:
    return of_classes(name, CODES3, P3)


def case_of_seven_classes(name: str) -> Case:
    return of_classes(name, CODES7, P7)


def case_of_values(name: str) -> Case:
    return Target("regression", Y, ("y",)), V[:, None], Y[:, None], REGRESSION[name](Y, V)


def case_of_quantiles(name: str) -> Case:
    perfect = np.stack([Y, Y, Y], axis=1)
    return Target("regression", Y, ("y",), quantiles=QUANTILES), Q, perfect, INTERVALS[name](Y, Q)


def case_of_texts(name: str) -> Case:
    if name == "preference_accuracy":
        target = Target("generation", 0 * MARGINS, (*LOSS_SUMS, MARGIN))
        return target, MARGINS, abs(MARGINS) + 1, GENERATION[name](MARGINS)
    perfect = SUMS * [0, 1, 1]
    best = perfect if name == "bits_per_byte" else perfect - [1e9, 0, 0]
    return Target("generation", SUMS, LOSS_SUMS), SUMS, best, GENERATION[name](SUMS)


def case_of_ranks(name: str) -> Case:
    """A perfect answer has what the user did at the front, and counts as 1 elsewhere, too."""
    perfect = RANKS.copy()
    for user in range(25):
        own = np.flatnonzero(user == USERS)
        perfect[own, 1] = np.arange(len(own)) + 1
    perfect[:, 2], perfect[:, 3] = 1.0, 1 / len(RANKS)
    target = Target("recommendation", np.zeros_like(RANKS), RANKING)
    return target, RANKS, perfect, RECOMMENDATION[name](RANKS)


def case_of_speech(name: str) -> Case:
    said, heard = code_points(SPOKEN), code_points(HEARD).astype(np.float64)
    target = Target("transcription", said, ("said",))
    return target, heard, said.astype(np.float64), TRANSCRIPTION[name](HEARD)


TASKS = {
    "transcription": {"transcription"},
    "recommendation": {"recommendation"},
    "classification": {"classification"},
    "regression": {"regression", "reconstruction"},
    "generation": {"generation"},
}


def check_declares_what_it_is_for(name: str, case: Case) -> None:
    metric, (target, *_) = METRIC.load(name), case
    of_classes = target.task == "classification"
    quantiles = {"regression"} if metric.of_quantiles == "only" else TASKS[target.task]
    assert metric.tasks == quantiles
    assert metric.decides == (name not in INTERVALS)
    assert metric.needs in (("label", "score", "probability") if of_classes else ("value",))
    assert metric.__doc__


def check_equals_the_reference(name: str, case: Case) -> None:
    target, answers, _, expected = case
    assert score(name, target, answers) == pytest.approx(expected, abs=1e-12)


def check_perfect_is_best(name: str, case: Case) -> None:
    (target, answers, perfect, _), greater = case, METRIC.load(name).greater_is_better
    found, best = score(name, target, answers), score(name, target, perfect)
    assert best == pytest.approx(1.0 if greater else 0.0, abs=1e-12)
    assert best > found if greater else best < found


CHECKS = (check_declares_what_it_is_for, check_equals_the_reference, check_perfect_is_best)


def cases(name: str) -> list[Any]:
    """Those of the metric's task; of more classes than the largest scores that are looked at."""
    if name.startswith("top_"):
        return [case_of_seven_classes]
    if name in CLASSIFICATION:
        return [case_of_two_classes, case_of_three_classes]
    if name in INTERVALS:
        return [case_of_quantiles]
    if name in RECOMMENDATION:
        return [case_of_ranks]
    if name in TRANSCRIPTION:
        return [case_of_speech]
    return [case_of_texts if name in GENERATION else case_of_values]


PAIRS = [(name, case, check) for name in NAMES for case in cases(name) for check in CHECKS]


@pytest.mark.parametrize(
    ("name", "case", "check"),
    [pytest.param(n, c, f, id=f"{n}-{c.__name__}-{f.__name__}") for n, c, f in PAIRS],
)
def test_metric(name: str, case: Any, check: Any) -> None:
    check(name, case(name))


def test_every_metric_gets_its_checks() -> None:
    assert (
        sorted(
            [*CLASSIFICATION, *REGRESSION, *INTERVALS, *GENERATION, *RECOMMENDATION, *TRANSCRIPTION]
        )
        == NAMES
    )
    counts = {
        **{name: 3 if name.startswith("top_") else 6 for name in CLASSIFICATION},
        **dict.fromkeys([*REGRESSION, *INTERVALS, *GENERATION, *RECOMMENDATION, *TRANSCRIPTION], 3),
    }
    assert Counter(name for name, *_ in PAIRS) == counts
    assert {name for name in globals() if name.startswith("check_")} == {
        check.__name__ for check in CHECKS
    }


@pytest.mark.parametrize("name", sorted(CLASSIFICATION))
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_in_a_fold(name: str, label: int) -> None:
    """An order needs rows of two classes; a precision, rows of the class."""
    found = score(name, classes(np.full(5, label), 2), P[:5])
    undefined = {("roc_auc", 0), ("roc_auc", 1), ("average_precision", 0)}
    assert np.isnan(found) == ((name, label) in undefined)


def test_only_preferences_have_an_accuracy() -> None:
    assert np.isnan(score("preference_accuracy", Target("generation", SUMS, LOSS_SUMS), SUMS))
