"""Run as a script in a process of its own: load a model, answer, print the peak of resident memory
in bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sixfold.core.memory import peak_bytes


def main(folder: Path) -> int:
    """Peak resident bytes."""
    listed = json.loads((folder / "feeds.json").read_text())
    feeds = {name: _array(item) for name, item in listed.items()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes(), options)
    session.run(None, feeds)
    return peak_bytes()


def _array(item: dict[str, Any]) -> Any:
    """Zeros where no rows are given."""
    if item["rows"] is None:
        return np.zeros(item["shape"], dtype=item["type"])
    return np.array(item["rows"], dtype=item["type"]).reshape(item["shape"])


if __name__ == "__main__":
    sys.stdout.write(str(main(Path(sys.argv[1]))))
