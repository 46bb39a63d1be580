"""What is told of answers: contributions of columns, pieces of texts, images and recordings, or
both, as records. The same for the command line and for the server.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from sixfold.bundle.explain import spoken
from sixfold.bundle.explain.explainer import ExplainEffort, Explainer
from sixfold.bundle.explain.faithfulness import Faithfulness
from sixfold.bundle.explain.occlusion import (
    KINDS,
    faithful,
    judged_rows,
    not_banded,
    not_occluded,
    occluded,
    taken,
)
from sixfold.bundle.explain.pixels import not_pixels, pixel_gradients
from sixfold.bundle.explain.rollout import has_attention, rollout_of_rows
from sixfold.bundle.frontend import Extra, RawRows, shown
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.runtime import Transcribes
from sixfold.core.errors import RowError

AskedMethod = Literal["auto", "exact", "sampled", "gradients", "occlusion", "bands", "rollout"]
METHODS: Final[tuple[AskedMethod, ...]] = get_args(AskedMethod)


@dataclass(frozen=True)
class Explanations:
    """One record a row; `asked`: rows that the model answered for them."""

    records: list[dict[str, Any]]
    predictions: Predictions
    asked: int


@dataclass(frozen=True)
class FaithfulnessTold:
    """`what` was taken away."""

    found: Faithfulness
    what: str

    def sentence(self) -> str:
        """In words."""
        return self.found.sentence(self.what)


def is_explained(explainer: Explainer) -> bool:
    """Whether anything can be told of its answers."""
    return explainer.is_possible or has_pieces(explainer)


def has_pieces(explainer: Explainer) -> bool:
    """Whether parts of its texts, images or recordings are told of."""
    runtime = explainer.predictor.runtime
    if isinstance(runtime, Transcribes):
        return runtime.transcriber().times_words
    return not not_occluded(explainer)


def ways(explainer: Explainer) -> dict[AskedMethod, str]:
    """By which methods its texts and images are explained, in words; nothing of other models."""
    if not has_pieces(explainer):
        return {}
    found: dict[AskedMethod, str] = {"auto": "leaving pieces out"}
    if not not_pixels(explainer):
        found["gradients"] = "gradients of pixels"
    if not not_banded(explainer):
        found["bands"] = "leaving bands of frequency out"
    if explainer.once(has_attention):
        found["rollout"] = "attention"
    return found


def explanations(
    explainer: Explainer,
    rows: RawRows,
    method: AskedMethod = "auto",
    effort: ExplainEffort | None = None,
    extra: Extra = "ignore",
    output: str | None = None,
) -> Explanations:
    """`auto`: contributions of the columns where these can be told and there are several, and the
    pieces of texts, images and recordings where there are any. `gradients` of a model of images: its
    pixels; `rollout` of an encoder of texts: its attention; `bands` of a model of recordings: bands of frequency in
    windows of time. Of a model that writes down what is said:
    where in the recording. Raises RowError.
    """
    effort, runtime = effort or ExplainEffort(), explainer.predictor.runtime
    if isinstance(runtime, Transcribes):
        _check_spoken(method, output)
        said = spoken.spoken_rows(explainer.predictor, runtime.transcriber(), rows, effort, extra)
        return Explanations(said.records, said.predictions, said.asked)
    if method == "rollout":
        shares = rollout_of_rows(explainer, rows, extra, output, effort)
        return Explanations(shares.records, shares.predictions, len(shares.records))
    if method == "gradients" and explainer.not_gradients and not not_pixels(explainer):
        of_pixels = pixel_gradients(explainer, rows, effort, extra, output)
        return Explanations(of_pixels.records, of_pixels.predictions, of_pixels.asked)
    _check_bands(explainer, method)
    if method != "occlusion" and method != "bands" and not _has_pieces(explainer, method):
        found = explainer.explain(rows, method, effort, extra)
        return Explanations(found.records(output), found.predictions, found.asked)
    columns = method == "auto" and explainer.is_possible and len(explainer.columns) > 1
    half = replace(effort, seconds=effort.seconds / 2) if columns else effort
    started = time.monotonic()
    pieces = occluded(explainer, rows, half, extra, not columns, method == "bands")
    judged = judged_rows(pieces, started + half.seconds, output)
    if not columns:
        records = [a | b for a, b in zip(pieces.records(output), judged, strict=True)]
        return Explanations(records, pieces.predictions, pieces.asked)
    found = explainer.explain(rows, "auto", half, extra)
    told = zip(found.records(output), pieces.places(output), judged, strict=True)
    records = [
        {**record, "pieces": pieces.pieces(row, at), **areas}
        for row, (record, at, areas) in enumerate(told)
    ]
    return Explanations(records, found.predictions, found.asked + pieces.asked)


def faithfulness_of(
    explainer: Explainer,
    rows: RawRows,
    method: AskedMethod = "auto",
    effort: ExplainEffort | None = None,
) -> FaithfulnessTold:
    """Of pieces where there are any, of columns otherwise. Raises RowError."""
    effort, runtime = effort or ExplainEffort(), explainer.predictor.runtime
    if method == "rollout":
        raise RowError("the method", "one that is not rollout", "rollout", "Leave method out.")
    if isinstance(runtime, Transcribes):
        _check_spoken(method, None)
        half_s, own = effort.seconds / 2, runtime.transcriber()
        changes = spoken.heard(explainer.predictor, own, rows, half_s)
        return FaithfulnessTold(spoken.faithful(changes.values(), half_s), KINDS["audio"])
    _check_bands(explainer, method)
    if method != "occlusion" and method != "bands" and not _has_pieces(explainer, method):
        return FaithfulnessTold(explainer.faithfulness(rows, method, effort), "columns")
    half = replace(effort, seconds=effort.seconds / 2)
    plain, by_band = method in ("occlusion", "bands"), method == "bands"
    found = occluded(explainer, rows, half, plain=plain, by_band=by_band)
    return FaithfulnessTold(faithful(found, half), taken(found))


def _check_bands(explainer: Explainer, method: AskedMethod) -> None:
    """Raises RowError for bands of a model that hears nothing."""
    if method == "bands" and (reason := not_banded(explainer)):
        expected = "a model of recordings, of which bands of frequency are left out"
        raise RowError("the method", expected, reason, "Leave method out.")


def _check_spoken(method: AskedMethod, output: str | None) -> None:
    """Raises RowError for what is not asked of a model that writes down what is said."""
    if method not in ("auto", "occlusion"):
        expected = "occlusion, of a model that writes down what is said"
        raise RowError("the method", expected, method, "Leave method out.")
    if output is not None:
        expected = "none, of a model that writes down what is said"
        raise RowError("the output", expected, shown(output), "Leave it out.")


def _has_pieces(explainer: Explainer, method: AskedMethod) -> bool:
    return method == "auto" and not not_occluded(explainer)
