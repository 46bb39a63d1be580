"""What a run of a recommender leaves: its arrays as one file, measured, and its receipt."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.manifest import PARITY, Sealed
from sixfold.bundle.recommend import item_index
from sixfold.bundle.recommend.histories import Histories, nothing_done
from sixfold.bundle.recommend.parity import StoredRequest, packed
from sixfold.bundle.recommend.ranking import exclude, first_items, scored
from sixfold.bundle.recommend.requests import RecommendRequest
from sixfold.bundle.recommend.runtime import RecommenderRuntime
from sixfold.bundle.recommend.scorers import ReadsUsers
from sixfold.bundle.recommend.stored import StoredRecommender
from sixfold.bundle.runtimes.recommender import FILE, Settings
from sixfold.compress.compress import Compressed
from sixfold.core.seeds import derive
from sixfold.evaluate.model import Model
from sixfold.package import planned, receipt, report
from sixfold.package.made import Made, settled
from sixfold.package.receipt import ModelScores, RunClock, qualities
from sixfold.package.user_features import example_features, feature_arrays
from sixfold.parts.interactions import ITEM, USER, Interactions
from sixfold.parts.recommender import BLOCK_BYTES, LISTED, Recommender
from sixfold.parts.table import Dataset, IntArray
from sixfold.plan.run_context import DataSplit, RunContext
from sixfold.prepare.interactions import InteractionPreparer
from sixfold.recipe.receipt import Cost, NeighborSearch, Receipt
from sixfold.recipe.report import ReportedItem, ReportedUser
from sixfold.recipe.schema import Recipe
from sixfold.recipe.signature import CATEGORIES, Input, Output, Signature
from sixfold.select.winner import Winner

REQUESTS: Final = 1_000  # that are stored: half of users, half of sessions
Names = npt.NDArray[np.object_]
TIMED: Final = 200  # requests
TIMED_S: Final = 2.0
BATCH: Final = 64  # users at once
COMPARED: Final = 500  # requests, of approximate neighbors
SHOWN: Final = 5  # items of a user in the report
LONGEST: Final = 60  # characters of a name there
ENGINES: Final = ("sixfold", "numpy", "scipy")
HOW: Final = (
    "Validation folds: every fold's model, users and items numbered and factors learned without the fold's rows, scored on "
    "them; every fold counts once.",
    "Holdout: interactions put aside before anything was counted, scored once, by the model as it is served.",
    "Scores are means over users, of the ranks of their items among all items that they did not have before; an item that "
    "training does not know is a miss.",
    f"Bytes: the size of {FILE}.",
    "Latency: the first ten items of a user, of 64 users, in NumPy; p50 and p99.",
    "Parity: the served file against the trained model on stored requests; a bundle that disagrees is not written.",
)


def make(run: RunContext, data: DataSplit, winner: Winner, compressed: Compressed) -> Made:
    """Write out, score the holdout, time, prove."""
    clock = RunClock(run.limits.started, run.limits.deadline(1.0))
    duration_s, model = clock.spent_s(), compressed.model
    read = feature_arrays(_parts(model)[0], data.training, run.loaded.recipe)
    file = stored_recommender(model, read).packed()
    signature = signature_of(data.training, run.loaded.recipe)
    requests = stored_requests(model, run.context.seed)
    requests += requests_with_features(model, data.training)
    files = {FILE: file, PARITY: packed(requests)}
    served = Settings().open(Sealed(Path("bundle"), "recommender", files), signature)
    worst = served.prove(files[PARITY], PARITY).worst
    after = receipt.counted(_timed(served, requests, len(file)), model)
    costs = (after, after)
    if winner.model is not model:
        old = stored_recommender(winner.model, read)
        timed = _timed(RecommenderRuntime(old), requests, len(old.packed()))
        costs = (receipt.counted(timed, winner.model), after)
    made = _receipt(run.loaded.recipe, data, winner, compressed, costs)
    told: dict[str, Any] = {
        "parity_rows": len(requests),
        "parity_worst": worst,
        "duration_s": round(duration_s, 2),
    }
    told["neighbors"] = neighbor_search(served, requests)
    made = settled(made.model_copy(update=told), winner)
    lines = planned.lines(run.folder, run.limits.started)
    findings = report.Findings((), run.folder.history(), model.fitted, 0, lines)
    content = report.report(made, data.training, winner, findings)
    shown = _users(served, model, requests[: run.loaded.recipe.report.examples])
    return Made(files, signature, content.model_copy(update={"recommended": shown}))


def stored_recommender(
    model: Model, read: Mapping[str, npt.NDArray[np.uint8]] | None = None
) -> StoredRecommender:
    """The model as its file holds it. `read`: what reads features of users. Raises TypeError for what is no recommender."""
    preparer, fitted = _parts(model)
    return StoredRecommender(
        fitted.kind,
        fitted.options,
        {**fitted.arrays, **(read or {})},
        preparer.users,
        preparer.items,
        fitted.seen,
        fitted.user_counts,
        preparer.user_type,
        preparer.item_type,
    )


def stored_requests(model: Model, seed: int) -> list[StoredRequest]:
    """Of some users, and of what some did as a session of nobody; each with the answer of the trained
    model.
    """
    preparer, fitted = _parts(model)
    rng = np.random.default_rng(derive(seed, "parity"))
    count = min(REQUESTS // 2, fitted.seen.count)
    users = np.sort(rng.permutation(fitted.seen.count)[:count])
    before = fitted.seen.take(users)
    short = np.repeat(np.arange(count), np.minimum(before.lengths(), LISTED))
    firsts = np.concatenate([before.items_of(user)[:LISTED] for user in range(count)])
    sessions = Interactions(short.astype(np.int32), firsts, count, len(preparer.items)).histories()
    found = []
    at_once = max(1, BLOCK_BYTES // (4 * len(preparer.items)))
    for codes, histories, known in ((users, before, True), (np.full(count, -1), sessions, False)):
        for first in range(0, count, at_once):
            some = np.arange(first, min(first + at_once, count))
            answers = _answers(model, codes[some], histories.take(some))
            for row, (answer, scores) in zip(some.tolist(), answers, strict=True):
                who = preparer.users[users[row]] if known else None
                items = () if known else _named(histories.items_of(row), preparer.items)
                found.append(StoredRequest(user=who, items=items, answer=answer, scores=scores))
    return found


def requests_with_features(model: Model, training: Dataset) -> list[StoredRequest]:
    """Of nobody who is known, with features that some users of training have."""
    preparer, fitted = _parts(model)
    rows = example_features(preparer, training)
    if not rows or not isinstance(fitted.scorer, ReadsUsers):
        return []
    side = training.table.sides[USER]
    places = side.places(preparer.users)
    places = places[places < len(side.keys)][: len(rows)]
    x = preparer.features[USER].transform(side.table.take(places))
    scores = fitted.scorer.with_users(x).scores(np.arange(len(rows)), nothing_done(len(rows)))
    found = []
    for own, first, features in zip(scores, first_items(scores, LISTED), rows, strict=True):
        answer, numbers = _named(first, preparer.items), tuple(own[first].tolist())
        found.append(StoredRequest(features=features, answer=answer, scores=numbers))
    return found


def _answers(
    model: Model, users: IntArray, histories: Histories
) -> Iterator[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Of each user the first items, and their scores."""
    preparer, fitted = _parts(model)
    scores = scored(fitted.scorer, users, histories, fitted.popularity)
    exclude(scores, histories)
    for own, first in zip(scores, first_items(scores, LISTED), strict=True):
        kept = first[np.isfinite(own[first])]
        yield _named(kept, preparer.items), tuple(own[kept].tolist())


def signature_of(training: Dataset, recipe: Recipe) -> Signature:
    """A user in, items out."""
    column = training.table.columns[USER]
    return Signature(
        task="recommendation",
        target=(ITEM,),
        outputs=(Output(name="items", columns=(ITEM,)),),
        missing=recipe.data.missing,
        inputs=(Input(name=USER, type=column.kind, level_type=column.level_type, optional=True),),
    )


def _parts(model: Model) -> tuple[InteractionPreparer, Recommender]:
    if not isinstance(model.fitted, Recommender) or not isinstance(
        model.preparer, InteractionPreparer
    ):
        raise TypeError(f"{type(model.fitted).__name__} is no Recommender")
    return model.preparer, model.fitted


def _named(codes: npt.NDArray[np.integer[Any]], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(names[code] for code in codes.tolist())


def _receipt(
    recipe: Recipe, data: DataSplit, winner: Winner, compressed: Compressed, costs: Sequence[Cost]
) -> Receipt:
    metrics, held_out = winner.plan.metrics, data.held_out
    before = ModelScores(winner.evaluation.scores, winner.model.scores(held_out, metrics))
    after = before
    if winner.model is not compressed.model:
        after = ModelScores(compressed.scores, compressed.model.scores(held_out, metrics))
    return Receipt(
        name=recipe.name,
        candidate=winner.evaluation.name,
        rows_trained=data.training.table.rows,
        rows_holdout=held_out.table.rows,
        metric=metrics[0],
        quality=qualities(metrics, winner.plan.baseline, before, after),
        baseline_is="giving everybody the popular items",
        before=costs[0],
        after=costs[1],
        steps=compressed.steps,
        verdict=receipt.outcome(compressed),
        machine=receipt.machine(),
        versions=receipt.versions(ENGINES),
        how=HOW,
    )


def _timed(served: RecommenderRuntime, requests: Sequence[StoredRequest], size: int) -> Cost:
    """Of the stored users, one after the other."""
    users = [one.user for one in requests if one.user is not None]
    batch = np.array([users[number % len(users)] for number in range(BATCH)], dtype=object)[:, None]
    one = [batch[number % BATCH][None] for number in range(TIMED)]
    alone, together = (_latencies(served, asked) for asked in (one, [batch] * (TIMED // BATCH + 1)))
    return Cost(
        file_bytes=size,
        inputs=1,
        p50_1_ms=alone[0],
        p99_1_ms=alone[1],
        p50_64_ms=together[0],
        p99_64_ms=together[1],
    )


def _latencies(served: RecommenderRuntime, asked: Sequence[Names]) -> list[float]:
    """p50 and p99 in milliseconds, of some of what is asked at least."""
    taken, end = [], time.perf_counter() + TIMED_S
    for users in asked:
        started = time.perf_counter()
        served.predict({CATEGORIES: users})
        taken.append(1e3 * (time.perf_counter() - started))
        if time.perf_counter() > end:
            break
    found: list[float] = np.percentile(taken, [50, 99]).tolist()
    return found


class _TimedLists(NamedTuple):
    """The items of each request; the median of the times."""

    lists: list[set[str]]
    p50_ms: float


def _timed_lists(model: RecommenderRuntime, requests: Sequence[StoredRequest]) -> _TimedLists:
    lists, taken = [], []
    for one in requests[::-1][:COMPARED]:
        started = time.perf_counter()
        answer = model.recommend(one.request())
        taken.append(1e3 * (time.perf_counter() - started))
        lists.append({item.item for item in answer.items})
    return _TimedLists(lists, float(np.median(taken)))


def neighbor_search(
    served: RecommenderRuntime, requests: Sequence[StoredRequest]
) -> NeighborSearch | None:
    """How much of the exact answers approximate neighbors find; None for few items, and where they cannot be found here."""
    many = len(served.items) > item_index.FROM and served.can_be_searched
    if not many or not item_index.is_installed():
        return None
    started = time.perf_counter()
    approximate = served.searching("approximate")
    build_s = time.perf_counter() - started
    exact, near = _timed_lists(served, requests), _timed_lists(approximate, requests)
    shares = [
        len(one & other) / max(1, len(one))
        for one, other in zip(exact.lists, near.lists, strict=True)
    ]
    library = item_index.LIBRARY
    return NeighborSearch(
        library=f"{library} {version(library)}",
        requests=len(shares),
        recall=float(np.mean(shares)),
        p50_ms=near.p50_ms,
        exact_p50_ms=exact.p50_ms,
        build_s=round(build_s, 2),
    )


def _users(
    served: RecommenderRuntime, model: Model, requests: Sequence[StoredRequest]
) -> tuple[ReportedUser, ...]:
    """What some users of training had, and what they get."""
    preparer, fitted = _parts(model)
    codes = {name: code for code, name in enumerate(preparer.users)}
    found = []
    for one in requests:
        if one.user is None:
            continue
        had = fitted.seen.items_of(codes[one.user])
        answer = served.recommend(RecommendRequest(one.user, count=SHOWN, because=True))
        gets = tuple(
            ReportedItem(item=_short(each.item), because=tuple(map(_short, each.because)))
            for each in answer.items
        )
        shown = tuple(map(_short, _named(had[:SHOWN], preparer.items)))
        more = len(had) - len(shown)
        found.append(ReportedUser(user=_short(one.user), had=shown, more=more, gets=gets))
    return tuple(found)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
