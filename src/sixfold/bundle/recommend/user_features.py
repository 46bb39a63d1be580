"""Raw values of a user that is not known → the numbers that a tower of users reads, by the graph of preparation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.frontend import FrontEnd, shown
from sixfold.bundle.manifest import AGAIN, LIMITS
from sixfold.bundle.recommend.histories import Float32
from sixfold.bundle.runtimes.onnx import OnnxRuntime
from sixfold.core import json_limits
from sixfold.core.errors import BundleError, RowError, did_you_mean
from sixfold.recipe.signature import Signature

SIGNATURE: Final = "signature.json"  # whose limits hold for the inputs of the graph, too


class UserFeatures:
    """`inputs`: a signature of the raw columns, as JSON; `graph`: from these to `value`, [rows, features]."""

    def __init__(self, graph: bytes, inputs: bytes, where: str) -> None:
        if found := json_limits.violation(inputs, LIMITS[SIGNATURE]):
            raise BundleError(where, *found, AGAIN)
        try:
            signature = Signature.model_validate_json(inputs)
        except ValueError as error:
            told = str(error).splitlines()[0][:200]
            raise BundleError(where, "the columns of users' features", told, AGAIN) from None
        if found := signature.excess():
            raise BundleError(where, *found, AGAIN)
        self.names = tuple(column.name for column in signature.inputs)
        self._front_end, self._runtime = FrontEnd(signature), OnnxRuntime(graph, signature, where)

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]], where: str) -> UserFeatures | None:
        """Of the arrays of a bundle; None where it has none. Raises BundleError."""
        if "feature_graph" not in arrays:
            return None
        return cls(arrays["feature_graph"].tobytes(), arrays["feature_inputs"].tobytes(), where)

    def read(self, values: Mapping[str, Any]) -> Float32:
        """float32 [1, features]; what is left out is missing. Raises RowError."""
        for name in values:
            if name not in self.names:
                raise RowError(
                    "features",
                    f"the features {', '.join(self.names[:20])}",
                    shown(name),
                    did_you_mean(name, self.names),
                )
        row = {name: values.get(name) for name in self.names}
        found = self._runtime.predict(self._front_end.feeds([row]))["value"]
        return np.asarray(found, dtype=np.float32)
