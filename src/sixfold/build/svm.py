"""Support vector machines: linear in the primal (liblinear), kernels in the dual (libsvm).

Shape letters: R rows, F features, S support vectors, P decision columns (pairs of classes), K
classes.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from sixfold.build import _pairs
from sixfold.build._classes import present
from sixfold.build._dual import Point, Solution
from sixfold.build._gram import Gram
from sixfold.build._side_by_side import side_by_side
from sixfold.build._svm_grid import VALUE_BYTES, FitGrid, MachineProblem, solve_grid, workers
from sixfold.build._warned import told
from sixfold.build.family import FitCost, FitWork, SolverFamily
from sixfold.parts.fit import Fit, Fitted, Matrix, Needs, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.sparse import dense
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.parts.weights import mean, std, taken
from sixfold.runs.context import Context

ABSENT = -1e6  # decision value of a class that no training row has: below every other
CACHE_MB = 500  # of kernel values, that libsvm keeps
BLOCK = (
    1 << 18
)  # kernel values held at once while predicting: 2 MiB stay in the cache; 32 MiB took twice the time

# Measured on one core with random rows, 1,000 to 16,000, of 10 and 60 features.
PAIR_S, PAIR_FEATURE_S, LINEAR_VALUE_S = 7e-9, 2.8e-10, 2e-8
HARDER = 1.7  # times as long: values, or three classes and more


@dataclass(frozen=True)
class LinearMachine(State):
    """`weights`: [F, P], `bias`: [P]. Two classes: P = 1; more: one column a class (one against the
    rest).
    """

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    task: Task

    @property
    def output(self) -> OutputKind:
        """Decision values for classes, values otherwise."""
        return "decision" if self.task == "classification" else "value"

    def predict(self, x: Matrix) -> FloatArray:
        """[R, F] → [R, K] decision values, the largest wins; or [R, 1] values."""
        d_RP = x.astype(np.float64, copy=False) @ self.weights + self.bias
        return _mirrored(d_RP) if self.task == "classification" and d_RP.shape[1] == 1 else d_RP

    def export(self, graph: Graph, x: str) -> str:
        """MatMul and Add in double precision."""
        decision = graph.op(
            "Add", graph.product(x, self.weights), graph.constant(self.bias, np.float64)
        )
        if self.task == "classification" and len(self.bias) == 1:
            return graph.concat([graph.op("Neg", decision), decision])
        return decision

    def parameters(self) -> dict[str, npt.NDArray[np.float64]]:
        """Weights and bias."""
        return {"weights": self.weights, "bias": self.bias}

    def with_parameters(self, parameters: dict[str, npt.NDArray[np.float64]]) -> Self:
        """The same machine with other numbers."""
        return replace(self, weights=parameters["weights"], bias=parameters["bias"])

    def importances(self) -> FloatArray:
        """|θ| summed over the columns, [F]; comparable where features have one scale."""
        return np.asarray(np.abs(self.weights).sum(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class Kernel(State):
    """k(x, s): linear x·s, poly (γ x·s + r)^degree, rbf exp(-γ‖x - s‖²), sigmoid tanh(γ x·s +
    r).
    """

    name: Literal["poly", "rbf", "sigmoid"]
    gamma: float
    coef0: float
    degree: int

    def matrix(self, x: FloatArray, support: FloatArray) -> FloatArray:
        """[R, F] and [S, F] → [R, S]."""
        dot_RS = x @ support.T
        if self.name == "rbf":
            squares = (x * x).sum(axis=1)[:, None] + (support * support).sum(axis=1)
            dot_RS *= 2.0  # in place: of 5,000 rows each of these is 200 MB
            squares -= dot_RS
            del dot_RS
            np.maximum(squares, 0.0, out=squares)
            squares *= -self.gamma
            return np.asarray(np.exp(squares, out=squares))
        inner = self.gamma * dot_RS + self.coef0
        return np.asarray(
            np.tanh(inner) if self.name == "sigmoid" else inner**self.degree, dtype=np.float64
        )

    def export(self, graph: Graph, x: str, support: FloatArray) -> str:
        """The same as nodes, in double precision; the support vectors are stored once."""
        vectors = graph.constant(support, np.float64)
        if self.name == "rbf":
            dot = graph.op(
                "Gemm",
                x,
                vectors,
                graph.constant((support * support).sum(axis=1)),
                alpha=-2.0,
                transB=1,
            )
            squares = graph.op("ReduceSumSquare", x, graph.constant([1], np.int64), keepdims=1)
            distance = graph.op(
                "Max", graph.op("Add", dot, squares), graph.constant(0.0, np.float64)
            )
            return graph.op(
                "Exp", graph.op("Mul", distance, graph.constant(-self.gamma, np.float64))
            )
        dot = graph.op(
            "Mul", graph.op("Gemm", x, vectors, transB=1), graph.constant(self.gamma, np.float64)
        )
        inner = graph.op("Add", dot, graph.constant(self.coef0, np.float64))
        if self.name == "sigmoid":
            return graph.op("Tanh", inner)
        return graph.op("Pow", inner, graph.constant(float(self.degree), np.float64))


@dataclass(frozen=True)
class KernelMachine(State):
    """`support`: [S, F], `weights`: [S, P] dual coefficients, `bias`: [P].

    Values: P = 1. Two classes: P = 1, positive for the second of `classes`. More: a column for
    every pair i < j of `classes` in lexicographic order, positive for i. `outputs`: classes the
    model must give columns for.
    """

    kernel: Kernel
    support: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    task: Task
    classes: tuple[int, ...]
    outputs: int

    @property
    def output(self) -> OutputKind:
        """Decision values for classes, values otherwise."""
        return "decision" if self.task == "classification" else "value"

    def predict(self, x: Matrix) -> FloatArray:
        """[R, F] → [R, K] decision values, the largest wins; or [R, 1] values.

        With three or more classes a column is the smallest decision value for the class in its
        pairs.
        """
        step = max(1, BLOCK // max(1, len(self.support)))
        blocks = [
            x[start : start + step].astype(np.float64, copy=False)
            for start in range(0, max(1, len(x)), step)
        ]
        d_RP = (
            np.concatenate([self.kernel.matrix(b, self.support) @ self.weights for b in blocks])
            + self.bias
        )
        if self.task != "classification":
            return d_RP
        return _place(
            _mirrored(d_RP) if len(self.classes) == 2 else _pairs.least(d_RP, len(self.classes)),
            self,
        )

    def export(self, graph: Graph, x: str) -> str:
        """The kernel as MatMul, Exp, Pow or Tanh; a product for each class of three or more. Double
        precision.
        """
        scores = (
            self._export_pairs(graph, x) if len(self.classes) > 2 else self._export_one(graph, x)
        )
        if self.task != "classification" or len(self.classes) == self.outputs:
            return scores
        placement, offset = _placement(self)
        placed = graph.op("MatMul", scores, graph.constant(placement, np.float64))
        return graph.op("Add", placed, graph.constant(offset, np.float64))

    def _export_one(self, graph: Graph, x: str) -> str:
        """One column of values, or the decision values of two classes."""
        kernel = self.kernel.export(graph, x, self.support)
        product = graph.op("MatMul", kernel, graph.constant(self.weights, np.float64))
        decision = graph.op("Add", product, graph.constant(self.bias, np.float64))
        if self.task != "classification":
            return decision
        return graph.concat([graph.op("Neg", decision), decision])

    def _export_pairs(self, graph: Graph, x: str) -> str:
        order, counts = _pairs.grouped(self.weights, len(self.classes))
        kernel = self.kernel.export(graph, x, self.support[order])
        return _pairs.export(graph, kernel, self.weights[order], counts, self.bias)

    def parameters(self) -> dict[str, npt.NDArray[np.float64]]:
        """Support vectors, dual coefficients and bias."""
        return {"support": self.support, "weights": self.weights, "bias": self.bias}

    def with_parameters(self, parameters: dict[str, npt.NDArray[np.float64]]) -> Self:
        """The same machine with other numbers."""
        return replace(
            self,
            support=parameters["support"],
            weights=parameters["weights"],
            bias=parameters["bias"],
        )

    @property
    def support_count(self) -> int:
        """Support vectors."""
        return len(self.support)

    def keep_support(self, indices: IntArray) -> Self:
        """The machine with these support vectors only, their coefficients unchanged."""
        return replace(self, support=self.support[indices], weights=self.weights[indices])


class Settings(SolverFamily):
    """Support vector machine: margin classifier, or regression within a tube of half-width epsilon.

    `linear` is solved in the primal with the squared hinge loss (liblinear; more than two classes:
    one against the rest) and takes every row. `rbf`, `poly` and `sigmoid` are solved in the dual
    (libsvm; one against one) on at most `sample` rows, because time grows with their square. Values
    are learned in units of their standard deviation, so C and epsilon need no change with the
    target's unit.
    """

    needs: ClassVar[Needs] = Needs(sparse=True, text_features=30_000)
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression"})
    shared: ClassVar[frozenset[str]] = frozenset({"C", "epsilon"})
    decides: ClassVar[bool] = True

    kernel: Literal["linear", "rbf", "poly", "sigmoid"] = Field(
        "rbf", description="Similarity of two rows."
    )
    C: float = Field(1.0, gt=0, description="Weight of errors against the margin, above 0.")
    gamma: Literal["scale", "auto"] | Annotated[float, Field(gt=0)] = Field(
        "scale",
        description="Factor of rbf, poly, sigmoid: scale is 1 / (features · variance), auto is 1 / features.",
    )
    degree: int = Field(3, ge=1, le=10, description="Degree of poly, 1 to 10.")
    coef0: float = Field(0.0, description="Constant r of poly and sigmoid.")
    epsilon: float = Field(
        0.1, ge=0, description="Half-width of the regression tube, in standard deviations."
    )
    sample: int = Field(
        5000,
        ge=10,
        description="Most training rows of a kernel machine, drawn with the seed; >= 10.",
    )
    max_iter: int = Field(10_000, ge=1, description="Iterations of the linear solver, at least 1.")

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Yield fit by fit, and within a fit setting by setting, a LinearMachine or KernelMachine:
        of several settings by one kernel matrix a fit, where it fits into memory.

        Where the kernel need not be positive (sigmoid; poly with a negative constant) a problem has
        several optima, and each setting goes its own way to the one that it finds alone.
        """
        one_optimum = self.kernel == "rbf" or (self.kernel == "poly" and self.coef0 >= 0)
        threads = workers(min(self.sample, max((fit.rows for fit in fits), default=1)))
        if len(settings) == 1:
            yield from self._alone(fits, context)
        elif one_optimum and threads:
            yield from self._grid(settings, fits, threads, context)
        else:
            for fit in fits:
                for setting in settings:
                    yield from setting._alone([fit], context)

    def _alone(self, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
        if self.kernel == "linear":
            for fit in fits:
                context.check_time("fitting svm")
                with told(
                    context,
                    f"svm: not converged within max_iter={self.max_iter}; raise it, or lower C",
                ):
                    machine = self._solve_linear(fit)
                yield machine
            return

        def one(fit: Fit, threads: int, context: Context) -> list[Fitted]:
            context.check_time("fitting svm")
            return [self._solve_kernel(self._sampled(fit, context))]

        yield from side_by_side(fits, one, context)

    @property
    def side_by_side(self) -> bool:
        """libsvm works outside of Python's lock; warnings of liblinear belong to the whole
        process.
        """
        return self.kernel != "linear"

    def _grid(
        self, settings: Sequence[Self], fits: Sequence[Fit], threads: int, context: Context
    ) -> Iterator[Fitted]:
        regression = bool(fits) and fits[0].task != "classification"
        points = [Point(setting.epsilon if regression else 0.0, setting.C) for setting in settings]
        begun: deque[Fit] = deque()

        def works() -> Iterator[FitGrid]:
            for fit in fits:
                begun.append(self._sampled(fit, context))
                yield FitGrid(
                    Gram(self._kernel(begun[-1]), np.asarray(begun[-1].x, dtype=np.float64)),
                    _problems(begun[-1]),
                )

        for found in solve_grid(works(), points, threads, context):
            fit = begun.popleft()
            for point in points:
                yield _machine(self._kernel(fit), fit, [one[point] for one in found])

    def work(self, rows: int) -> float:
        """Pairs of rows; rows, where the kernel is linear."""
        return float(rows) if self.kernel == "linear" else float(min(rows, self.sample)) ** 2

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """Pairs of rows, and the features that a kernel reads of each; values, where it is linear."""
        one, own, features = few[0], min(rows, self.sample), few[0].x.shape[1]
        if self.kernel == "linear":
            return FitWork(solver_s=LINEAR_VALUE_S * rows * features * max(1, one.outputs - 1))
        harder = HARDER if one.task != "classification" or one.outputs > 2 else 1.0
        return FitWork(solver_s=harder * own**2 * (PAIR_S + PAIR_FEATURE_S * features))

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """libsvm's cache of the kernel matrix; for several settings the whole matrix, its copy in
        double, and the next fit's. Of the model all rows as support vectors, with a coefficient for
        every pair of classes.
        """
        if self.kernel == "linear":
            return FitCost()
        one, own = few[0], min(rows, self.sample)
        shares = len(few) > 1 and workers(own) > 0
        solving = (VALUE_BYTES + 4) * own**2 if shares else min(CACHE_MB << 20, 4 * own**2)
        pairs = max(1, one.outputs * (one.outputs - 1) // 2) if one.task == "classification" else 1
        return FitCost(solving, 8 * own * (one.x.shape[1] + pairs))

    def _sampled(self, fit: Fit, context: Context) -> Fit:
        if fit.rows <= self.sample:
            return replace(fit, x=dense(fit.x))
        labels = (
            fit.y.astype(np.int64)
            if fit.task == "classification"
            else np.zeros(len(fit.y), dtype=np.int64)
        )
        rows = stratified_sample(labels, self.sample, fit.seed)
        text = f"svm: kernel {self.kernel} learns from {self.sample:,} of {fit.rows:,} rows, drawn at random"
        context.emit(
            "note", text=text + (" within classes" if fit.task == "classification" else "")
        )
        weights = taken(fit.weights, rows)
        return replace(fit, x=dense(fit.x[rows]), y=fit.y[rows], groups=None, weights=weights)

    def _solve_linear(self, fit: Fit) -> LinearMachine:
        shared = {"C": self.C, "dual": False, "max_iter": self.max_iter, "random_state": fit.seed}
        if fit.task != "classification":
            center, scale = _units(fit)
            machine = LinearSVR(loss="squared_epsilon_insensitive", epsilon=self.epsilon, **shared)
            machine.fit(fit.x, (fit.y - center) / scale, sample_weight=fit.weights)
            bias = np.reshape(machine.intercept_, 1) * scale + center
            return LinearMachine(machine.coef_.reshape(-1, 1) * scale, bias, fit.task)
        classes = present(fit, "svm")
        machine = LinearSVC(**shared).fit(fit.x, fit.y, sample_weight=fit.weights)
        weights, bias = machine.coef_.T, machine.intercept_
        if fit.outputs == 2:
            return LinearMachine(np.ascontiguousarray(weights), bias, fit.task)
        if len(classes) == 2:
            weights, bias = (
                np.concatenate([-weights, weights], axis=1),
                np.concatenate([-bias, bias]),
            )
        all_weights, all_bias = (
            np.zeros((fit.x.shape[1], fit.outputs)),
            np.full(fit.outputs, ABSENT),
        )
        all_weights[:, classes], all_bias[classes] = weights, bias
        return LinearMachine(all_weights, all_bias, fit.task)

    def _solve_kernel(self, fit: Fit) -> KernelMachine:
        kernel = self._kernel(fit)
        shared = {
            "kernel": self.kernel,
            "C": self.C,
            "gamma": kernel.gamma,
            "coef0": self.coef0,
            "degree": self.degree,
            "cache_size": CACHE_MB,
        }
        if fit.task != "classification":
            center, scale = _units(fit)
            machine = SVR(epsilon=self.epsilon, **shared)
            machine.fit(fit.x, (fit.y - center) / scale, sample_weight=fit.weights)
            bias = machine.intercept_ * scale + center
            return KernelMachine(
                kernel, fit.x[machine.support_], machine.dual_coef_.T * scale, bias, fit.task, (), 1
            )
        classes = present(fit, "svm")
        machine = SVC(**shared).fit(fit.x, fit.y, sample_weight=fit.weights)
        weights = (
            machine.dual_coef_.T
            if len(classes) == 2
            else _pairs.dense(machine.dual_coef_, machine.n_support_)
        )
        support, bias = fit.x[machine.support_], machine.intercept_
        names = tuple(int(name) for name in classes)
        return KernelMachine(
            kernel, support, np.ascontiguousarray(weights), bias, fit.task, names, fit.outputs
        )

    def _kernel(self, fit: Fit) -> Kernel:
        return Kernel(self.kernel, self._gamma(fit), self.coef0, self.degree)  # type: ignore[arg-type]  # not linear here

    def _gamma(self, fit: Fit) -> float:
        if self.gamma == "auto":
            return float(1.0 / fit.x.shape[1])
        if self.gamma == "scale":
            variance = variance_of(fit.x, fit.weights)
            return float(1.0 / (fit.x.shape[1] * variance)) if variance > 0 else 1.0
        return float(self.gamma)


def variance_of(x: Matrix, weights: FloatArray | None) -> float:
    """Of all features together, [R, F]; each row as often as it counts."""
    if weights is None:
        return float(x.var())
    center = float(np.average(x.mean(axis=1), weights=weights))
    return float(np.average(((x - center) ** 2).mean(axis=1), weights=weights))


def stratified_sample(labels: IntArray, count: int, seed: int) -> IntArray:
    """Sorted indices of `count` rows, each label in its share: within a label, shuffled row i of n
    has rank (i + u) / n with u uniform in [0, 1); the `count` smallest ranks are taken, and one row
    of every label at least.
    """
    generator = np.random.default_rng(seed)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        rank[rows] = (np.arange(len(rows)) + generator.random()) / len(rows)
        rank[rows[0]] = -1.0
    return np.sort(np.argsort(rank, kind="stable")[:count])


def _units(fit: Fit) -> tuple[float, float]:
    """Mean and standard deviation of the values (1 when they are all equal)."""
    return float(mean(fit.y, fit.weights)), float(std(fit.y, fit.weights)) or 1.0


def _problems(fit: Fit) -> list[MachineProblem]:
    """Values: one. Two classes: one, +1 for the second. More: one for each pair i < j of those
    present, +1 for i.
    """
    if fit.task != "classification":
        center, scale = _units(fit)
        targets = np.asarray((fit.y - center) / scale, dtype=np.float64)
        return [MachineProblem(np.arange(fit.rows), targets, False, fit.weights)]
    classes = [int(name) for name in present(fit, "svm")]
    signs = itertools.combinations(classes, 2) if len(classes) > 2 else [(classes[1], classes[0])]
    problems = []
    for positive, negative in signs:
        rows = np.flatnonzero((fit.y == positive) | (fit.y == negative))
        signs_N = np.where(fit.y[rows] == positive, 1.0, -1.0)
        problems.append(MachineProblem(rows, signs_N, True, taken(fit.weights, rows)))
    return problems


def _machine(kernel: Kernel, fit: Fit, found: Sequence[Solution]) -> KernelMachine:
    """One solution a problem as one machine: every vector that any of them stands on is stored
    once.
    """
    rows = np.unique(np.concatenate([one.rows for one in found]))
    weights, bias = np.zeros((len(rows), len(found))), np.array([one.bias for one in found])
    for column, one in enumerate(found):
        weights[np.searchsorted(rows, one.rows), column] = one.weights
    support = fit.x[rows]
    if fit.task != "classification":
        center, scale = _units(fit)
        return KernelMachine(
            kernel, support, weights * scale, bias * scale + center, fit.task, (), 1
        )
    names = tuple(int(name) for name in present(fit, "svm"))
    return KernelMachine(kernel, support, weights, bias, fit.task, names, fit.outputs)


def _mirrored(d_R1: FloatArray) -> FloatArray:
    return np.concatenate([-d_R1, d_R1], axis=1)


def _placement(machine: KernelMachine) -> tuple[FloatArray, FloatArray]:
    placement, offset = (
        np.zeros((len(machine.classes), machine.outputs)),
        np.full(machine.outputs, ABSENT),
    )
    placement[np.arange(len(machine.classes)), list(machine.classes)] = 1.0
    offset[list(machine.classes)] = 0.0
    return placement, offset


def _place(scores: FloatArray, machine: KernelMachine) -> FloatArray:
    """Columns of the classes that were present into columns of all classes."""
    if len(machine.classes) == machine.outputs:
        return scores
    placement, offset = _placement(machine)
    return scores @ placement + offset
