"""Explains a bundle's answers: exactly where the score is a sum that is known, by sampling
otherwise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar, cast

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain import faithfulness
from sixfold.bundle.explain import stored as stored_file
from sixfold.bundle.explain.attributions import Attributions, Floats, Method, Scale
from sixfold.bundle.explain.faithfulness import Faithfulness
from sixfold.bundle.explain.feature_path import FeaturePath
from sixfold.bundle.explain.features import AnswersFeatures, FeatureReader, NamedFeatures
from sixfold.bundle.explain.gradients import Baseline
from sixfold.bundle.explain.sampling import LEAST_PAIRS, Player, Players, SamplingEffort, sampled
from sixfold.bundle.explain.stored import Stored
from sixfold.bundle.explain.sums import SCALES, Sum, answers, of_classes, sum_of
from sixfold.bundle.frontend import Extra, Feeds, RawRows
from sixfold.bundle.graph import CheckedModel
from sixfold.bundle.manifest import AGAIN, EXPLAIN, MODEL, PARITY
from sixfold.bundle.modality_reader import modalities, reader_of
from sixfold.bundle.onnx_graph import DOUBLE, FLOAT
from sixfold.bundle.onnx_messages import WireError
from sixfold.bundle.parity import unpack
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.predictor import Predictor
from sixfold.bundle.runtime import EncodesInputs
from sixfold.core.errors import BundleError, RowError
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.signature import NAMED, group_of

APART: Final = 1e-3  # of an answer: what the sum may be from it, which the rounding of shares makes
SAMPLED: Final = "Leave method out, or choose sampled."
CHECKED: Final = 8  # stored rows whose attributions are added up before a bundle is written
FEWER: Final = "Ask for fewer rows at once."
MORE_TIME: Final = "Give it more time: sixfold explain takes --seconds."
T = TypeVar("T")


@dataclass(frozen=True)
class ExplainEffort:
    """`seconds`: that explaining may take, about; `rows`: that the model may answer for one row;
    `seed`: of what is drawn.
    """

    seconds: float = 60.0
    rows: int = 20_000
    seed: int = 0


def over_time(most_s: float, expected_s: float, rows: int = 1) -> RowError:
    """Explaining would take `expected_s`, about, of which `most_s` are allowed."""
    return RowError(
        "explain",
        f"at most {most_s:g} s of work",
        f"about {expected_s:.2g} s for {rows:,} row{'s' if rows > 1 else ''}",
        FEWER if rows > 1 else MORE_TIME,
    )


class Explainer:
    """Of one bundle; `files`: those of its files that it needs, as they were checked. What it takes
    is made when it is first asked. Calls may come from several threads at once.
    """

    def __init__(self, predictor: Predictor, files: Mapping[str, bytes], where: str) -> None:
        self.predictor, self._files, self._where = predictor, files, where
        content = files.get(EXPLAIN)
        self.stored = Stored() if content is None else stored_file.read(content, where)
        self._lock = threading.RLock()
        self._made: dict[Callable[[Explainer], Any], Any] = {}
        signature = predictor.signature
        self.columns = tuple(column.name for column in signature.inputs)
        places: dict[str, int] = {}
        self.places: list[Player] = []
        for column in signature.inputs:
            group = group_of(column.type)
            self.places.append(Player(group, places.get(group, 0)))
            places[group] = places.get(group, 0) + 1
        source = self.stored.arrays.get("source", np.zeros(0, dtype=np.int32))
        if source.max(initial=-1) >= len(self.columns):
            raise BundleError(where, "features of the signature's columns", "of others", AGAIN)
        self._output = next((o for o in signature.outputs if o.name not in NAMED), None)

    def once(self, make: Callable[[Explainer], T]) -> T:
        """What `make` gives, which is made when it is first asked for. Raises what it raises."""
        with self._lock:
            if make not in self._made:
                self._made[make] = make(self)
            return cast(T, self._made[make])

    @property
    def not_exact(self) -> str:
        """Why there are no exact attributions; '' where there are."""
        runtime = self.predictor.runtime
        if self.stored.kind not in stored_file.SUMS or not isinstance(runtime, EncodesInputs):
            return "a model that is no sum of trees or of weighted columns"
        if not self.has_graph:
            return "a bundle without the graph"
        if self.stored.several:
            return "features that are made of several columns"
        return ""

    @property
    def not_gradients(self) -> str:
        """Why no gradients can be integrated; '' where they can."""
        runtime = self.predictor.runtime
        if self.stored.kind != "network" or not isinstance(runtime, EncodesInputs):
            return "a model that is no network of table columns"
        if not self.has_graph or PARITY not in self._files:
            return "a bundle without the graph, or without stored rows"
        if runtime.depends_on_batch:
            return "a network that computes in 8-bit integers, whose answers are steps"
        return "features that are made of several columns" if self.stored.several else ""

    @property
    def not_sampled(self) -> str:
        """Why columns cannot be put in the place of others; '' where they can."""
        signature = self.predictor.signature
        if self._output is None:
            return "a model that answers with text, or names"
        files = [name for name in modalities(signature) if reader_of(name).in_files]
        if files:
            return f"a column of type {files[0]}"
        return "" if PARITY in self._files else "a bundle without stored rows"

    @property
    def is_possible(self) -> bool:
        """Whether its answers can be explained at all."""
        return not (self.not_exact and self.not_sampled)

    def explain(
        self,
        rows: RawRows,
        method: Method = "auto",
        effort: ExplainEffort | None = None,
        extra: Extra = "ignore",
    ) -> Attributions:
        """Raises RowError for rows that do not fit, for a method that this model does not have, and
        for more work than `effort` allows.
        """
        chosen = self._chosen(method)
        feeds = self.predictor.front_end.feeds(rows, extra)
        if not len(next(iter(feeds.values()))):
            raise RowError("rows", "at least one row", "none", "Give a row.")
        effort = effort or ExplainEffort()
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            found = chosen(feeds, effort)
        self._must_be_finite(found)
        return found

    def _must_be_finite(self, found: Attributions) -> None:
        """Raises RowError for the first value whose part of an answer is beyond all numbers."""
        lost = np.argwhere(~np.isfinite(found.contributions).all(axis=2))
        for row, column in lost[:1].tolist():
            raise RowError(
                f"row {row + 1}, column '{self.columns[column]}'",
                "a value whose part of the answer is a number",
                "one so large that it is none",
                "Send a value like those of the training rows.",
            )

    def check(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether there are exact attributions; those of the first of `rows` add up to the answers. Of a
        network the graph has the features that gradients are integrated over. Raises BundleError.
        """
        if not self.not_gradients:
            _ = self._path
        if self.not_exact:
            return False
        self.exact(
            self.predictor.front_end.feeds(list(rows[:CHECKED])), ExplainEffort(float("inf"))
        )
        return True

    def _chosen(self, method: Method) -> Callable[[Feeds, ExplainEffort], Attributions]:
        """Raises RowError for a method that this model does not have."""
        if method == "gradients":
            if reason := self.not_gradients:
                expected = "a network of table columns, whose gradients are integrated"
                raise RowError("the method", expected, reason, SAMPLED)
            return self.gradients
        if method == "exact" and self.not_exact:
            raise RowError(
                "the method",
                "a sum of trees or of weighted columns, which has exact attributions",
                self.not_exact,
                SAMPLED,
            )
        if method != "sampled" and not self.not_exact:
            return self.exact
        if self.not_sampled:
            raise RowError(
                "this model",
                "columns of a table, of which attributions are sampled",
                self.not_sampled,
                "Look at the report: it has the importances of columns.",
            )
        return self.sampled

    def faithfulness(
        self, rows: RawRows, method: Method = "auto", effort: ExplainEffort | None = None
    ) -> Faithfulness:
        """Deletion and insertion curves of the attributions of the first rows. Raises RowError as
        `explain` does, and for columns that cannot be put in the place of others.
        """
        if self.not_sampled:
            raise RowError(
                "this model",
                "columns of a table, which can be taken from stored rows",
                self.not_sampled,
                "Look at the report: it has the importances of columns.",
            )
        effort = effort or ExplainEffort()
        return self.faithful(self.explain(rows, method, effort), effort)

    def faithful(self, found: Attributions, effort: ExplainEffort) -> Faithfulness:
        """The same of attributions that are known; of so many rows as there is time for."""
        a_row_s = faithfulness.answered(len(self.columns)) * self.row_s
        rows = int(min(len(found), effort.seconds / max(a_row_s, 1e-9)))
        if rows < 1:
            raise over_time(effort.seconds, a_row_s)
        feeds = dict(found.predictions.feeds)
        return faithfulness.measure(faithfulness.table_rows(self.players, feeds, found, rows))

    def exact(self, feeds: Feeds, effort: ExplainEffort) -> Attributions:
        """Of what the front end made."""
        rows = len(next(iter(feeds.values())))
        expected_s = rows * self._sum.row_s
        if expected_s > effort.seconds:
            raise over_time(effort.seconds, expected_s, rows)
        link = self.stored.link
        found = of_classes(link, self._sum.additions(self._features(feeds), len(self.columns)))
        predictions = self.predictor.run(feeds)
        base = np.broadcast_to(found.base, (rows, len(found.base)))
        scores = base + found.values.sum(axis=1)
        self._check(scores, predictions)
        return Attributions(
            method="linear" if self.stored.kind == "linear" else "trees",
            scale=SCALES[link],
            columns=self.columns,
            outputs=self.outputs,
            base=base,
            contributions=found.values,
            prediction=scores,
            predictions=predictions,
        )

    def sampled(self, feeds: Feeds, effort: ExplainEffort) -> Attributions:
        """Of what the front end made, row after row."""
        rows, players = len(next(iter(feeds.values()))), self.players
        least_s = rows * LEAST_PAIRS * 2 * len(self.columns) * self.row_s
        if least_s > effort.seconds:
            raise over_time(effort.seconds, least_s, rows)
        started, found = time.monotonic(), []
        for row in range(rows):
            one = {name: array[row : row + 1] for name, array in feeds.items()}
            end = started + effort.seconds * (row + 1) / rows
            found.append(sampled(players, one, SamplingEffort(effort.rows, end, effort.seed)))
        scale: Scale = self.output_name  # type: ignore[assignment]
        base, contributions = (
            np.stack([each.base for each in found]),
            np.stack([each.values for each in found]),
        )
        return Attributions(
            method="sampled",
            scale=scale,
            columns=self.columns,
            outputs=self.outputs,
            base=base,
            contributions=contributions,
            prediction=base + contributions.sum(axis=1),  # the answer to the row, asked alone
            predictions=self.predictor.run(feeds),
            error=np.stack([each.error for each in found]),
            asked=sum(each.asked for each in found),
        )

    def gradients(self, feeds: Feeds, effort: ExplainEffort) -> Attributions:
        """Of what the front end made, integrated from the mean of the stored rows."""
        end, path = time.monotonic() + effort.seconds, self._path
        x = np.asarray(path.reader.read(self.predictor.runtime, feeds), dtype=np.float64)
        expected_s = len(x) * path.least_s
        if expected_s > effort.seconds:
            raise over_time(effort.seconds, expected_s, len(x))
        found = path.integrated(x, SamplingEffort(effort.rows, end, effort.seed))
        values = np.stack([each.values for each in found])
        contributions = np.zeros((len(x), len(self.columns), values.shape[2]))
        arrays = self.stored.arrays
        for place, source in zip(arrays["place"], arrays["source"], strict=True):
            contributions[:, source] += values[:, place]
        base = np.stack([each.base for each in found])
        scale: Scale = self.output_name  # type: ignore[assignment]
        return Attributions(
            method="gradients",
            scale=scale,
            columns=self.columns,
            outputs=self.outputs,
            base=base,
            contributions=contributions,
            prediction=base + contributions.sum(axis=1),
            predictions=self.predictor.run(feeds),
            asked=sum(each.asked for each in found),
            integration_error=np.stack([each.error for each in found]),
            held=self.held,
            by_slopes=frozenset(row for row, each in enumerate(found) if each.lacking is not None),
        )

    @property
    def held(self) -> frozenset[str]:
        """Columns of texts and files, which stay as they are where gradients are integrated."""
        inputs = self.predictor.signature.inputs
        return frozenset(each.name for each in inputs if each.type not in PLAIN_KINDS)

    @property
    def _path(self) -> FeaturePath:
        with self._lock:
            return self._opened_path

    @cached_property
    def _opened_path(self) -> FeaturePath:
        """Raises BundleError."""
        stored, runtime = self.stored, self.predictor.runtime
        kind, place = FLOAT if stored.single else DOUBLE, stored.arrays["place"]
        named = NamedFeatures(stored.value, kind, stored.width)
        model = self.graph
        try:
            answer = AnswersFeatures.of(
                model, named, self.output_name, runtime.rows_at_once, self._where
            )
        except WireError as error:
            raise BundleError(
                self._where, f"the graph that {EXPLAIN} was written with", str(error), AGAIN
            ) from None
        reader = FeatureReader.of(model, named, self._where)
        x = np.asarray(reader.read(runtime, self.background), dtype=np.float64)
        held, code = np.ones(stored.width, dtype=bool), np.zeros(stored.width, dtype=bool)
        held[place], code[place] = False, stored.arrays["code"] > 0
        return FeaturePath.of(model, reader, answer, x, Baseline.of(x, code, held))

    @property
    def has_graph(self) -> bool:
        """False of an installed runtime, which has another file in its place."""
        return MODEL in self._files

    @property
    def graph(self) -> CheckedModel:
        """The bundle's. Raises BundleError."""
        return CheckedModel.of(self._files[MODEL], self._where)

    @property
    def output_name(self) -> str:
        """Of the output that is explained: probability, decision or value."""
        return "value" if self._output is None else self._output.name

    @property
    def outputs(self) -> tuple[str, ...]:
        """The classes, or the names of the values."""
        return () if self._output is None else self._output.columns

    @cached_property
    def background(self) -> Feeds:
        """What the front end makes of the stored rows that are rows of the training table. Raises
        BundleError.
        """
        rows = unpack(self._files[PARITY], self._where, self.predictor.signature).rows
        count = self.stored.real or -(-len(rows) // 2)
        return self.predictor.front_end.feeds(list(rows[:count]))

    @property
    def players(self) -> Players:
        """The raw columns, over the stored rows."""
        with self._lock:
            return self._players

    @cached_property
    def _players(self) -> Players:
        return Players(self.places, self.background, self.answer)

    @property
    def row_s(self) -> float:
        """Seconds that the model takes for a row, about."""
        with self._lock:
            return self._measured_s

    @cached_property
    def _measured_s(self) -> float:
        started = time.perf_counter()
        self.answer(self.players.background)
        return (time.perf_counter() - started) / self.players.rows

    def answer(self, feeds: Feeds) -> Floats:
        """[rows, outputs] probabilities, decisions or values."""
        return np.asarray(self.predictor.run(feeds).outputs[self.output_name], dtype=np.float64)

    @property
    def _sum(self) -> Sum:
        with self._lock:
            return self._opened[0]

    @cached_property
    def _opened(self) -> tuple[Sum, FeatureReader]:
        """The sum, and what reads its features. Raises BundleError."""
        model = self.graph
        try:
            found = sum_of(self.stored, model)
        except WireError as error:
            raise BundleError(
                self._where, f"the graph that {EXPLAIN} was written with", str(error), AGAIN
            ) from None
        named = NamedFeatures(found.value, found.elem_type, len(self.stored.arrays["source"]))
        return found, FeatureReader.of(model, named, self._where)

    def _features(self, feeds: Feeds) -> npt.NDArray[Any]:
        """[rows, features] as the model sees them."""
        with self._lock:
            reader = self._opened[1]
        return reader.read(self.predictor.runtime, feeds)

    def _check(self, scores: Floats, predictions: Predictions) -> None:
        """The sum is the answer. Raises BundleError for a file of another model."""
        if self.stored.calibrated:
            return
        told, found = predictions.outputs[self.output_name], answers(self.stored.link, scores)
        worst = np.abs(told - found).max(initial=0.0) if told.shape == found.shape else np.inf
        if not worst <= APART * max(1.0, float(np.abs(told).max(initial=0.0))):
            raise BundleError(
                self._where, "attributions whose sum is the answer", f"{worst:.2g} apart", AGAIN
            )
