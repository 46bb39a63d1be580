"""Each page that says how to add something is followed to the letter: its files, its commands, in
processes of their own.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import shlex
import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler

import installed_plugins

DOCS = Path(__file__).parents[1] / "docs" / "how-to"
BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Followed:
    """A folder in which a page was followed, and the environment in which its package is
    installed.
    """

    folder: Path
    site: dict[str, str]

    def sixfold(
        self, *words: str, site: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sixfold", *words]
        env = self.site if site is None else site
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300
        )

    def receipt(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / "run/bundle/receipt.json").read_text())
        return found

    def answers(self) -> list[dict[str, str]]:
        with (self.folder / "answers.csv").open() as file:
            return list(csv.DictReader(file))


def follow(page: str, folder: Path) -> Followed:
    """Write the files that a page shows, install its package, and run its commands."""
    commands = []
    for language, title, content in BLOCK.findall((DOCS / f"{page}.md").read_text()):
        if language == "bash":
            commands += content.splitlines()
            continue
        file = folder / title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        if title.startswith("src/"):
            (file.parent / "__init__.py").touch()
    followed = Followed(folder, installed_plugins.install(folder / "site", folder))
    assert commands[0] == "pip install --editable ."
    for command in commands[1:]:
        program, *words = shlex.split(command)
        if program == "python":
            subprocess.run([sys.executable, *words], cwd=folder, check=True, timeout=120)
            continue
        assert program == "sixfold"
        done = followed.sixfold(*words)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return followed


@pytest.mark.slow
def test_a_metric(tmp_path: Path) -> None:
    """Its score on the folds is the share that the formula gives for the predictions out of
    fold.
    """
    import pandas as pd

    followed = follow("add-a-metric", tmp_path)
    out_of_fold = pd.read_parquet(next(followed.folder.glob("run/**/out_of_fold.parquet")))
    assert set(out_of_fold["target"]) <= set(load_diabetes().target)
    close = np.abs(out_of_fold["linear: value"] - out_of_fold["target"]) <= 50
    wanted = np.mean(
        [close[out_of_fold["fold"] == fold].mean() for fold in sorted(set(out_of_fold["fold"]))]
    )
    (quality,) = [each for each in followed.receipt()["quality"] if each["metric"] == "within_50"]  # type: ignore[attr-defined]
    assert abs(np.mean(quality["folds_after"]) - wanted) < 1e-12
    assert 0.4 < wanted < 0.9


@pytest.mark.slow
def test_a_family(tmp_path: Path) -> None:
    """Its bundle answers as scikit-learn's nearest centroid does, and where the package is
    missing.
    """
    followed = follow("add-a-family", tmp_path)
    x, y = load_iris(return_X_y=True)
    scaler = StandardScaler().fit(x)
    with (tmp_path / "rows.csv").open() as file:
        rows = np.array([[float(cell) for cell in row.values()] for row in csv.DictReader(file)])
    centroids = NearestCentroid().fit(scaler.transform(x), y)
    wanted = [
        str(load_iris().target_names[label]) for label in centroids.predict(scaler.transform(rows))
    ]
    assert [next(iter(answer.values())) for answer in followed.answers()] == wanted
    assert wanted == ["setosa", "versicolor", "virginica"]
    done = followed.sixfold("predict", "run/bundle", "rows.csv", site=installed_plugins.without())
    assert done.returncode == 0 and done.stdout == (tmp_path / "answers.csv").read_text()


@pytest.mark.slow
def test_a_runtime(tmp_path: Path) -> None:
    """Its file holds the graph that onnxruntime would be given, and it answers only where it is
    allowed.
    """
    followed = follow("add-a-runtime", tmp_path)
    bundle = tmp_path / "run" / "bundle"
    assert not (bundle / "model.onnx").exists()
    packed = (bundle / "model.onnx.gz").read_bytes()
    assert followed.receipt()["after"]["file_bytes"] == len(packed)  # type: ignore[index]
    other = (tmp_path / "recipe.yaml").read_text().replace("serve: {runtime: packed}\n", "")
    (tmp_path / "other.yaml").write_text(other)
    assert followed.sixfold("run", "other.yaml", "--out", "other").returncode == 0
    assert gzip.decompress(packed) == (tmp_path / "other/bundle/model.onnx").read_bytes()
    plain = followed.sixfold("predict", "other/bundle", "rows.csv")
    assert plain.stdout == (tmp_path / "answers.csv").read_text()
    refused = followed.sixfold("predict", "run/bundle", "rows.csv")
    assert refused.returncode != 0
    assert (
        "run/bundle/manifest.json: expected a runtime of Sixfold's own, or one that is allowed; found 'packed', of the package "
        "my_runtimes. If you trust the bundle and that package: --allow-plugin packed"
    ) in " ".join(refused.stderr.split())
    gone = followed.sixfold(
        "verify", "run/bundle", "--allow-plugin", "packed", site=installed_plugins.without()
    )
    assert (
        "expected an installed runtime (language, onnx, recommender); found 'packed'"
        in " ".join(gone.stderr.split())
    )


BANDS = 16


def reference(path: Path) -> list[float]:
    """Loudness in bands, by the sum over the definition of the transform."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32768.0
    times, count = np.arange(len(samples)), len(samples)
    power = [
        abs(np.sum(samples * np.exp(-2j * np.pi * k * times / count))) ** 2 / count
        for k in range(count // 2 + 1)
    ]
    return [10 * np.log10(np.mean(part) + 1e-12) for part in np.array_split(power, BANDS)]


@pytest.mark.slow
def test_a_kind_of_data(tmp_path: Path) -> None:
    """Every recording's answer is right, its features are those of the definition, and the reader
    needs to be allowed.
    """
    followed = follow("add-a-kind-of-data", tmp_path)
    with (tmp_path / "sounds.csv").open() as file:
        wanted = [row["pitch"] for row in csv.DictReader(file)]
    assert [next(iter(answer.values())) for answer in followed.answers()] == wanted
    events = (tmp_path / "run/events.jsonl").read_text()
    assert "1 recording" in events
    code = (
        "import json, pathlib, sixfold\n"
        "bundle = sixfold.load('run/bundle', allow=['recording'])\n"
        "content = pathlib.Path('sounds/03.wav').read_bytes()\n"
        "(encoded,) = bundle.predictor.runtime.encoders\n"
        "print(json.dumps([encoded.encoder.encode([content]).tolist()[0], bundle.predict([{'sound': content}]).labels[0]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=followed.site,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found, label = json.loads(done.stdout)
    np.testing.assert_allclose(found, reference(tmp_path / "sounds/03.wav"), atol=1e-6)
    assert label == "high"
    refused = followed.sixfold("verify", "run/bundle")
    assert (
        "expected a reader of Sixfold's own, or one that is allowed; found 'recording'"
        in " ".join(refused.stderr.split())
    )
    (tmp_path / "bad.csv").write_text("sound\npyproject.toml\n")
    bad = followed.sixfold("predict", "run/bundle", "bad.csv", "--allow-plugin", "recording")
    assert "row 1, column 'sound': expected a WAV file" in " ".join(bad.stderr.split())


@pytest.mark.parametrize(
    "page", ["add-a-kind-of-data", "add-a-family", "add-a-metric", "add-a-runtime"]
)
def test_the_overview_names_every_page(page: str) -> None:
    assert f"({page}.md)" in (DOCS / "add-a-plugin.md").read_text()
