"""A wide search takes long for a recording: how often the stored ones are asked has a bound."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import numpy as np
import pytest

from sixfold.bundle.load import load
from sixfold.bundle.parity import ALONE, Parity, check_parity
from sixfold.bundle.runtime import Outputs

sys.path.insert(0, str(Path(__file__).parents[1]))
import spoken_letters


def test_each_is_asked_once_and_a_few_in_other_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = load(spoken_letters.make(tmp_path / "b")).predictor
    asked: list[int] = []
    plain = predictor.runtime.predict

    def predict(feeds: dict[str, np.ndarray], first_row: int = 1) -> Outputs:
        asked.append(len(next(iter(feeds.values()))))
        return plain(feeds, first_row)

    monkeypatch.setattr(predictor.runtime, "predict", predict)
    rows = [{"sound": base64.b64encode(spoken_letters.said("ab-ba---")).decode()}] * 60
    stored = Parity(rows, {"text": np.array(["abba"] * len(rows), dtype=object)})
    assert check_parity(predictor, stored) == 0.0
    other_forms = 5
    assert len(rows) < sum(asked) <= len(rows) + (other_forms + 1) * ALONE
