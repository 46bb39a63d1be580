"""Kernel machines of many fits over a grid of (C, epsilon): one kernel matrix a fit, chains of
neighbors in threads.

scikit-learn's libsvm lets other threads run while it solves. What is computed does not depend on
how many there are. The matrix products inside use one thread each: with more, they wait for one
another (measured: twice the processor time, and five times the time on a busy machine).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from sixfold.build._dual import Dual, Point, Solution
from sixfold.build._gram import Gram
from sixfold.core.cores import cores
from sixfold.parts.table import FloatArray, IntArray
from sixfold.runs.context import Context

MEMORY_BYTES = 1 << 30  # of all threads together
FIRST_CHAIN = (
    2 / 3
)  # of the points, where two chains share them: small C take fewer steps (measured)
VALUE_BYTES = 12  # of a kernel value: float32 in the matrix, float64 in what libsvm is given

Found = dict[Point, Solution]


@dataclass(frozen=True)
class MachineProblem:
    """One machine to solve: the positions of its rows in the fit, int64 [N], their targets (±1 if
    `classes`), and how often each counts, [N]; None: once.
    """

    rows: IntArray
    targets: FloatArray
    classes: bool
    weights: FloatArray | None = None


@dataclass(frozen=True)
class FitGrid:
    """The machines of one fit, which share its kernel matrix."""

    gram: Gram
    problems: Sequence[MachineProblem]


def workers(rows: int) -> int:
    """How many threads may hold a kernel matrix of so many rows; 0: not even one."""
    return min(cores(), MEMORY_BYTES // (VALUE_BYTES * rows * rows))


def solve_grid(
    works: Iterable[FitGrid], points: Sequence[Point], threads: int, context: Context
) -> Iterator[list[Found]]:
    """Yield, work by work, what was found for each of its problems. Raises BudgetError.

    A work is one task, a chain of neighboring points; the last of an odd number is two, so that no
    thread stands idle.
    """
    rising = sorted(set(points))
    cut = round(FIRST_CHAIN * len(rising))
    waiting: deque[list[list[Future[Found]]]] = deque()
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        try:
            for work, alone in _last_alone(works):
                chains = (
                    [rising[:cut], rising[cut:]] if alone and len(work.problems) == 1 else [rising]
                )
                waiting.append(
                    [
                        [pool.submit(_chain, work.gram, p, c, context) for c in chains if c]
                        for p in work.problems
                    ]
                )
                if len(waiting) > threads:
                    yield _found(waiting.popleft())
            while waiting:
                yield _found(waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _found(futures: list[list[Future[Found]]]) -> list[Found]:
    """The chains of each problem as one."""
    return [
        {point: one for chain in chains for point, one in chain.result().items()}
        for chains in futures
    ]


def _last_alone(works: Iterable[FitGrid]) -> Iterator[tuple[FitGrid, bool]]:
    """Each work, and whether it is the last of an odd number."""
    held: FitGrid | None = None
    even = True
    for work in works:
        if held is not None:
            yield held, False
        held, even = work, not even
    if held is not None:
        yield held, not even


def _chain(gram: Gram, problem: MachineProblem, points: Sequence[Point], context: Context) -> Found:
    context.check_time("fitting svm")
    matrix = gram.matrix()
    if len(problem.rows) < len(matrix):
        matrix = matrix[problem.rows[:, None], problem.rows]
    found: Found = {}
    dual = Dual(matrix, problem.targets, problem.classes, problem.weights)
    solutions = dual.solve(points)
    for point in points:
        context.check_time("fitting svm")
        one = next(solutions)
        found[point] = one._replace(rows=problem.rows[one.rows])
    return found
