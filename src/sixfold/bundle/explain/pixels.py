"""Integrated gradients of the pixels of an image: from its mean color, which says nothing, to what the
model sees.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain import faithfulness
from sixfold.bundle.explain.attributions import Floats, places_of
from sixfold.bundle.explain.backward import SlopedFeatures
from sixfold.bundle.explain.explainer import ExplainEffort, Explainer, over_time
from sixfold.bundle.explain.faithfulness import JudgedRow
from sixfold.bundle.explain.features import AnswersFeatures, NamedFeatures
from sixfold.bundle.explain.gradients import Baseline, Integrated
from sixfold.bundle.explain.integrals import MOMENTS, integrated_slopes
from sixfold.bundle.explain.occlusion import GraphRuntime
from sixfold.bundle.explain.sampling import SamplingEffort
from sixfold.bundle.explain.slope_rules import NoRuleError
from sixfold.bundle.frontend import Extra, Feeds, RawRows
from sixfold.bundle.image_inputs import ImageEncoder
from sixfold.bundle.onnx_graph import DOUBLE
from sixfold.bundle.onnx_messages import WireError
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.runtime import EncodedColumn, EncodesInputs
from sixfold.core.errors import BundleError, RowError

HOW: Final = "integrated gradients of pixels: from the mean color of the image"
OCCLUDED: Final = "Leave method out: patches are left out then."


@dataclass(frozen=True)
class PixelGradients:
    """One record a row; `asked`: rows that the model answered for them."""

    records: list[dict[str, Any]]
    predictions: Predictions
    asked: int


def not_pixels(explainer: Explainer) -> str:
    """Why no gradients of pixels can be integrated; '' where they can."""
    runtime = explainer.predictor.runtime
    if not explainer.outputs:
        return "a model that answers with text, or names"
    encoders = list(runtime.encoders) if isinstance(runtime, EncodesInputs) else []
    of_images = len(encoders) == 1 and isinstance(encoders[0].encoder, ImageEncoder)
    if len(explainer.columns) != 1 or not of_images:
        return "a model that takes more, or other, than an image"
    return "" if explainer.has_graph else "a bundle without the graph"


def pixel_gradients(
    explainer: Explainer,
    rows: RawRows,
    effort: ExplainEffort,
    extra: Extra = "ignore",
    output: str | None = None,
) -> PixelGradients:
    """Of a model that takes one image a row, as `not_pixels` found. Raises RowError for rows that do
    not fit, answers whose slopes are not known, and more work than `effort` allows.
    """
    feeds = explainer.predictor.front_end.feeds(rows, extra)
    if not len(next(iter(feeds.values()))):
        raise RowError("rows", "at least one row", "none", "Give a row.")
    predictions = explainer.predictor.run(feeds)
    places = places_of(explainer.outputs, predictions, output)
    model = explainer.once(_PixelModel.of)
    images = model.images(feeds)
    model.check_time(images, effort)
    started, records, asked = time.monotonic(), [], 0
    for row, (image, place) in enumerate(zip(images, places, strict=True), start=1):
        end = started + effort.seconds * row / len(images)
        found = model.integrated(image, place, SamplingEffort(effort.rows, end, effort.seed))
        record = {"output": explainer.outputs[place], **model.record(image, found)}
        judged = JudgedRow(PixelGame(model.answer, image), model.summed(image, found), place)
        records.append(record | faithfulness.of_one(judged, end - time.monotonic()))
        asked += found.asked
    return PixelGradients(records, predictions, asked)


@dataclass(frozen=True)
class _PixelModel:
    """A bundle's graph, from the pixels of an image that `encoder` reads."""

    runtime: GraphRuntime
    input: EncodedColumn
    encoder: ImageEncoder
    answer: AnswersFeatures
    sloped: SlopedFeatures

    @classmethod
    def of(cls, explainer: Explainer) -> _PixelModel:
        """Raises RowError for a graph with a node whose slopes are not known."""
        runtime = cast(GraphRuntime, explainer.predictor.runtime)  # as `not_pixels` found
        ((each, encoder),) = _images(runtime)
        named = NamedFeatures(each.name, DOUBLE, encoder.cells)
        told = named, explainer.output_name, runtime.rows_at_once, each.name
        try:
            answer = AnswersFeatures.of(explainer.graph, *told)
            sloped = SlopedFeatures.of(explainer.graph, *told)
        except (NoRuleError, WireError, BundleError) as error:
            expected = "a network of pixels whose slopes are known"
            raise RowError("the method", expected, str(error), OCCLUDED) from None
        return cls(runtime, each, encoder, answer, sloped)

    def images(self, feeds: Feeds) -> list[Floats]:
        """What the graph takes of each row, [height, width, channels]. Raises RowError."""
        shape = self.encoder.described
        found = self.runtime.encoded(feeds, 1)[self.input.name]
        size = len(found), shape.height, shape.width, shape.channels
        return list(np.array(found, dtype=np.float64).reshape(size))

    def check_time(self, images: list[Floats], effort: ExplainEffort) -> None:
        """Raises RowError where all of them would take longer."""
        started = time.perf_counter()
        self.sloped.of_output(0)(images[0].reshape(1, -1))
        least_s = len(images) * len(MOMENTS) * (time.perf_counter() - started)
        if least_s > effort.seconds:
            raise over_time(effort.seconds, least_s, len(images))

    def integrated(self, image: Floats, output: int, effort: SamplingEffort) -> Integrated:
        """Of one output, from the mean color of the image."""
        start = _mean_colored(image).reshape(-1)
        none = np.zeros(start.shape, dtype=bool)
        (found,) = integrated_slopes(
            self.sloped.of_output(output),
            lambda some: self.answer(some)[:, [output]],
            image.reshape(1, -1),
            Baseline(start, none, none),
            effort,
        )
        return found

    def summed(self, image: Floats, found: Integrated) -> Floats:
        """[pixels] the channels of each added up."""
        return np.asarray(found.values[:, 0].reshape(-1, image.shape[2]).sum(axis=1))

    def record(self, image: Floats, found: Integrated) -> dict[str, Any]:
        """As JSON, but for the output's name."""
        height, width, _ = image.shape
        pixels = self.summed(image, found).reshape(height, width)
        base = float(found.base[0])
        column, added = self.encoder.column, float(pixels.sum())
        piece = {"kind": "image", "height": height, "width": width, "changes": pixels.tolist()}
        return {
            "scale": self.answer.output,
            "method": HOW,
            "base": base,
            "prediction": base + added,
            "contributions": {column: added},
            "error": float(found.error[0]),
            "pieces": {column: piece},
        }


@dataclass(frozen=True)
class PixelGame:
    """One image [height, width, channels]; a pixel is taken away by the mean color."""

    answer: AnswersFeatures
    image: Floats

    @property
    def count(self) -> int:
        """Pixels."""
        return int(self.image.shape[0] * self.image.shape[1])

    def answers(self, kept: npt.NDArray[np.bool_]) -> Floats:
        """[n, pixels] → [n, K]."""
        image, mean = self.image, _mean_colored(self.image)
        shown = kept.reshape(len(kept), *image.shape[:2], 1)
        return self.answer(np.where(shown, image, mean).reshape(len(kept), -1))


def _mean_colored(image: Floats) -> Floats:
    return np.broadcast_to(image.mean(axis=(0, 1)), image.shape)


def _images(runtime: GraphRuntime) -> list[tuple[EncodedColumn, ImageEncoder]]:
    return [
        (each, each.encoder) for each in runtime.encoders if isinstance(each.encoder, ImageEncoder)
    ]
