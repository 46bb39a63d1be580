"""The section `compress` of the recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from sixfold.recipe.plugin_fields import Options, chain, plugin
from sixfold.recipe.section import Section

Weights = Literal["int8", "int4", "gptq"]


class Quantize(Section):
    """Step 6b: weights and activations of a network in 8 bits, by onnxruntime; or the weights of a
    language model in 8 or 4 bits, 32 of which share a scale.
    """

    weights: Weights = Field(
        "int8",
        description="int4 and gptq are for language models: 4 bits, rounded to the nearest, or chosen so that answers to "
        "training texts stay (GPTQ).",
    )
    activations: Literal["dynamic", "static"] = Field(
        "dynamic",
        description="dynamic: scaled batch by batch; static: scales calibrated on training rows (of images always). Those of "
        "language models stay as they are.",
    )


def _quantized(value: Any) -> Any:
    return {"weights": value} if isinstance(value, str) else value


_QUANTIZED = BeforeValidator(_quantized, json_schema_input_type=Weights | Quantize | None)


class FixedPoint(Section):
    """Step 6c: every parameter θ becomes ⌊θ·Q⌋ / Q."""

    factor: int = Field(ge=2, description="Q: steps a unit.")
    rounding: Literal["floor", "nearest"] = Field(
        "floor", description="floor as in the formula, or nearest."
    )


class Compress(Section):
    """Step 6: what may be taken away, and the worst loss that may be accepted for it."""

    keep: dict[str, float] = Field(
        default_factory=dict,
        description="Metric → change of the mean over the folds that is accepted: `accuracy: -0.01`.",
    )
    keep_lift: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Share of the lift over a model that ignores the columns that stays, whatever `keep` allows: of the deciding "
        "metric, and of those that measure ranking (roc_auc, average_precision).",
    )
    prune: Annotated[
        list[Options], BeforeValidator(lambda v: chain(v, "target")), plugin("pruner", "chain")
    ] = Field(default_factory=list, description="Prunings by target, one after the other.")
    quantize: Annotated[Quantize | None, _QUANTIZED] = Field(
        None, description="`int8`, `int4` or `gptq`, or a mapping that says more."
    )
    fixed_point: FixedPoint | None = None
