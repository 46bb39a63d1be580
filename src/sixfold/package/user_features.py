"""What a bundle needs to read features of users: the graph of their preparation, and its raw columns."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.data.signature import inputs
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.interactions import USER
from sixfold.parts.packed import packed
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.table import Column, Dataset
from sixfold.prepare.interactions import InteractionPreparer
from sixfold.recipe.schema import Recipe
from sixfold.recipe.signature import Output, Signature

MOST_EXAMPLES: Final = 50  # users whose features are asked about in the proof


def feature_arrays(
    preparer: InteractionPreparer, training: Dataset, recipe: Recipe
) -> dict[str, npt.NDArray[np.uint8]]:
    """`feature_graph` and `feature_inputs`; {} where no features of users are read."""
    own: Any = preparer.features.get(USER)
    if own is None:
        return {}
    graph = Graph()
    named = [name for name in own.inputs if name not in own.texts]
    x = own.export(graph, RawInputs(graph, named, own.categories))
    names = tuple(own.feature_names)
    graph.output(
        "value", graph.cast(x, TensorProto.DOUBLE), TensorProto.DOUBLE, ["rows", len(names)]
    )
    signature = _signature(preparer, training, recipe, names)
    return {
        "feature_graph": _bytes(packed(graph.model())),
        "feature_inputs": _bytes(signature.model_dump_json().encode()),
    }


def example_features(preparer: InteractionPreparer, training: Dataset) -> list[dict[str, Any]]:
    """Raw values of some users of training, as a request sends them."""
    own: Any = preparer.features.get(USER)
    if own is None:
        return []
    side = training.table.sides[USER]
    places = side.places(preparer.users)
    places = places[places < len(side.keys)][:MOST_EXAMPLES]
    columns = {name: _values(side.table.columns[name].take(places)) for name in own.inputs}
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _signature(
    preparer: InteractionPreparer, training: Dataset, recipe: Recipe, names: tuple[str, ...]
) -> Signature:
    side, asked = training.table.sides[USER], recipe.data.users
    known = side.places(preparer.users)
    known = known[known < len(side.keys)]
    own: Any = preparer.features[USER]
    found = inputs(side.table.take(known), own.inputs, None if asked is None else asked.read)
    return Signature(
        task="regression",
        target=(),
        outputs=(Output(name="value", columns=names),),
        missing=recipe.data.missing,
        inputs=tuple(one.model_copy(update={"optional": True}) for one in found),
    )


def _values(column: Column) -> list[Any]:
    """As JSON has them; None where one is missing."""
    gone = column.missing().tolist()
    if column.is_float:
        plain: list[Any] = column.values.tolist()
        if column.kind == "boolean":
            plain = [value == 1 for value in plain]
    else:
        plain = list(column.strings())
    return [None if missing else value for value, missing in zip(plain, gone, strict=True)]


def _bytes(content: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(content, dtype=np.uint8)
