"""Fields of the recipe that name plug-ins: how they may be written, and what the schema says of
them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from sixfold.recipe.kinds import IDENTIFIER, MODALITY, PLAIN_KINDS

Options = dict[
    str, Any
]  # one plug-in's options, with its name under "name" (families: under "family")


def choice(value: Any, key: str = "name") -> Any:
    """A bare name as a mapping."""
    return {key: value} if isinstance(value, str) else value


def chain(value: Any, key: str = "name") -> Any:
    """The same of a list; one item is a list of it."""
    return [choice(item, key) for item in (value if isinstance(value, list) else [value])]


def plugin(kind: str, form: Literal["one", "chain"] = "one") -> Any:
    """Marks a field for the schema generator: it is replaced by the union of all plug-ins of
    `kind`.
    """
    return WithJsonSchema({"x-plugin": kind, "x-form": form})


def name_of(kind: str, *also: str) -> Any:
    """Marks a field that holds a plug-in's bare name, or one of `also`; the generator lists the
    names.
    """
    return WithJsonSchema({"type": "string", "x-names": kind, "x-also": list(also)})


def column_kind(value: str) -> str:
    """The name of a kind of column. Raises ValueError."""
    if value not in (*PLAIN_KINDS, IDENTIFIER) and value not in MODALITY.names():
        known = ", ".join((*PLAIN_KINDS, IDENTIFIER, *MODALITY.names()))
        raise ValueError(f"one of {known}")
    return value


Imputer = Annotated[Options, BeforeValidator(choice), plugin("imputer")]
Features = Annotated[list[Options], BeforeValidator(chain), plugin("feature", "chain")]
CalibrationMethod = Literal["none", "platt", "isotonic", "conformal"]
LabelMetric = Annotated[str, name_of("metric", "none")]
