"""Makers of models for `bench.end_to_end`, each in a process of its own:
`python -m bench.peers.automl NAME`.

Three questions: `fit` (from a CSV to a model on disk), `predict` (the answers for a CSV), `one_row`
(seconds of one row through the public predict of what is loaded). AutoGluon has an environment of
its own: nothing of Sixfold is imported for it.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.child import Answer, serve

CORES = 2


class Maker(ABC):
    """One way to a model. `classes`: whether labels are predicted, values otherwise. Constructors
    import.
    """

    def __init__(self, question: Answer) -> None:
        self.target, self.classes, self.out = (
            question["target"],
            question["classes"],
            Path(question["out"]),
        )
        self.seconds, self.limits = float(question["seconds"]), question.get("limits", {})

    @abstractmethod
    def fit(self, train: Path) -> None:
        """From a file to a model that is on disk and loaded."""

    @abstractmethod
    def stored(self) -> dict[str, int]:
        """Bytes on disk of what is needed to predict (`bytes`), and of other things worth
        saying.
        """

    @abstractmethod
    def predict(self, frame: Any) -> Any:
        """Through the public face."""

    def predict_at_best(self, frame: Any) -> Any:
        """The same where something can be done to make it faster."""
        return self.predict(frame)

    def row(self, frame: Any) -> Any:
        """One row as that face takes it."""
        return frame.head(1)

    def answers(self, frame: Any) -> list[Any]:
        """Labels or values."""
        return list(self.predict(frame))


class AutoGluon(Maker):
    """Medium quality: its folder as `fit` leaves it, loaded; at its best, a clone for deployment
    that is held in memory.
    """

    def fit(self, train: Path) -> None:
        from autogluon.tabular import TabularPredictor

        kind = "regression" if not self.classes else None
        metric = "accuracy" if self.classes else "r2"
        made = TabularPredictor(
            self.target, problem_type=kind, eval_metric=metric, path=self.out / "all", verbosity=0
        )
        made.fit(read(train), presets="medium_quality", time_limit=self.seconds, num_cpus=CORES)
        self.whole = TabularPredictor.load(str(self.out / "all"), verbosity=0)

    def stored(self) -> dict[str, int]:
        from autogluon.tabular import TabularPredictor

        whole, models = size(self.out / "all"), len(self.whole.model_names())
        self.clone = TabularPredictor.load(
            self.whole.clone_for_deployment(str(self.out / "clone")), verbosity=0
        )
        self.clone.persist()
        return {"bytes": whole, "bytes at best": size(self.out / "clone"), "models": models}

    def predict(self, frame: Any) -> Any:
        return self.whole.predict(frame)

    def predict_at_best(self, frame: Any) -> Any:
        return self.clone.predict(frame)


class Flaml(Maker):
    """Its defaults; on disk it is what pickle makes of it."""

    def fit(self, train: Path) -> None:
        import pickle

        from flaml import AutoML

        frame = read(train)
        self.model = AutoML()
        self.model.fit(
            frame.drop(columns=self.target),
            frame[self.target],
            task="classification" if self.classes else "regression",
            metric="accuracy" if self.classes else "r2",
            time_budget=self.seconds,
            n_jobs=CORES,
            seed=0,
            verbose=0,
        )
        self.out.mkdir(parents=True)
        (self.out / "model.pickle").write_bytes(pickle.dumps(self.model))

    def stored(self) -> dict[str, int]:
        return {"bytes": size(self.out)}

    def predict(self, frame: Any) -> Any:
        return self.model.predict(frame)


class ScikitLearn(Maker):
    """Histogram boosting with its defaults, categories as they are; on disk it is what joblib makes
    of it.
    """

    def fit(self, train: Path) -> None:
        import joblib
        from sklearn.compose import make_column_transformer
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OrdinalEncoder

        frame = read(train)
        x = frame.drop(columns=self.target)
        texts = [name for name in x.columns if not is_number(x[name])]
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
        kind = HistGradientBoostingClassifier if self.classes else HistGradientBoostingRegressor
        self.model = make_pipeline(
            make_column_transformer((encoder, texts), remainder="passthrough"),
            kind(categorical_features=list(range(len(texts))), random_state=0),
        )
        self.model.fit(x, frame[self.target])
        self.out.mkdir(parents=True)
        joblib.dump(self.model, self.out / "model.joblib")

    def stored(self) -> dict[str, int]:
        return {"bytes": size(self.out)}

    def predict(self, frame: Any) -> Any:
        return self.model.predict(frame)


class Sixfold(Maker):
    """`sixfold run` of a recipe with `build: auto`, as from the command line; the bundle it leaves,
    loaded. Equal rows are divided as any, as the splits of a bench divide them, and as the peers do.
    """

    def fit(self, train: Path) -> None:
        import subprocess

        self.out.mkdir(parents=True)
        recipe = {
            "version": 1,
            "name": "bench",
            "task": "classification" if self.classes else "regression",
            "data": {
                "source": str(train),
                "target": self.target,
                "missing": ["?"],
                "holdout": 0,
                "duplicates": "ignore",
            },
            "build": "auto",
            "evaluate": {"metrics": ["accuracy" if self.classes else "r2"], "ensemble": True},
            "budget": {"time": f"{self.seconds:g}s", **self.limits},
        }
        (self.out / "recipe.yaml").write_text(json.dumps(recipe))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "sixfold",
                "run",
                str(self.out / "recipe.yaml"),
                "--out",
                str(self.out / "run"),
                "--quiet",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-250:])
        import sixfold

        self.bundle = sixfold.load(self.out / "run" / "bundle")

    def stored(self) -> dict[str, int]:
        bundle = self.out / "run" / "bundle"
        return {"bytes": size(bundle), "bytes of the graph": (bundle / "model.onnx").stat().st_size}

    def predict(self, frame: Any) -> Any:
        return self.bundle.predict(frame)

    def row(self, frame: Any) -> Any:
        return frame.head(1).to_dict("records")

    def answers(self, frame: Any) -> list[Any]:
        found = self.predict(frame)
        return list((found.labels if self.classes else found.values).reshape(-1))


MAKERS: dict[str, type[Maker]] = {
    "autogluon": AutoGluon,
    "flaml": Flaml,
    "scikit-learn": ScikitLearn,
    "sixfold": Sixfold,
}


def read(path: Path) -> Any:
    """A frame; ? and empty are missing."""
    import pandas

    return pandas.read_csv(path, na_values=["?"], skipinitialspace=True)


def is_number(column: Any) -> bool:
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(column))


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def start() -> Callable[[Answer], Answer]:
    """Imports count for nobody: they are done by a first question, `warm`."""
    warnings.simplefilter("ignore")
    made: list[Maker] = []

    def answer(question: Answer) -> Answer:
        if question["do"] == "fit":
            shutil.rmtree(question["out"], ignore_errors=True)
            made[:] = [MAKERS[sys.argv[1]](question)]
            started = time.perf_counter()
            made[0].fit(Path(question["train"]))
            return {"seconds": time.perf_counter() - started, **made[0].stored()}
        frame = read(Path(question["rows"])).drop(columns=made[0].target)
        if question["do"] == "predict":
            return {"answers": [plain(each) for each in made[0].answers(frame)]}
        row, times = made[0].row(frame), []
        predict = made[0].predict_at_best if question["at_best"] else made[0].predict
        for _ in range(question["repeats"]):
            started = time.perf_counter()
            predict(row)
            times.append(time.perf_counter() - started)
        return {"seconds": statistics.median(times)}

    return answer


def plain(value: Any) -> float | str:
    """A value as a number where it is one: 3, "3" and 3.0 are the same label."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


if __name__ == "__main__":
    serve(start)
