"""A bundle as an MLflow model: its files here; its answers by a real MLflow where there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_bundle
import yaml
from click.testing import CliRunner

from sixfold.bundle.load import load
from sixfold.bundle.mlflow_model import _load_pyfunc, export_mlflow
from sixfold.cli import group
from sixfold.core.errors import BundleError, SystemFault

ASK = """
import json, sys
import mlflow.pyfunc
import pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pandas.DataFrame(json.load(open(sys.argv[2])))
print(json.dumps([dict(one) for one in model.predict(rows)]))
"""


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_folder(task: str, tmp_path: Path) -> None:
    bundle, out = tiny_bundle.make(tmp_path / "b", task), tmp_path / "m"
    done = CliRunner().invoke(group, ["export", str(bundle), "--mlflow", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["mlflow"]["folder"] == str(out)
    model = yaml.safe_load((out / "MLmodel").read_text())
    assert model["flavors"]["python_function"]["loader_module"] == "sixfold.bundle.mlflow_model"
    inputs = json.loads(model["signature"]["inputs"])
    signature = load(bundle).signature
    assert [one["name"] for one in inputs] == [one.name for one in signature.inputs]
    assert load(out / "bundle").signature == signature
    pins = (out / "requirements.txt").read_text().splitlines()
    assert pins and all("==" in one for one in pins)
    with pytest.raises(SystemFault, match="something of this name"):
        export_mlflow(bundle, out)


def test_a_damaged_byte_is_found_when_it_is_loaded(tmp_path: Path) -> None:
    out = tmp_path / "m"
    export_mlflow(tiny_bundle.make(tmp_path / "b"), out)
    graph = out / "bundle" / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(BundleError):
        _load_pyfunc(str(out / "bundle"))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_real_mlflow_answers_the_same(task: str, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="pip install -c constraints.txt mlflow-skinny")
    out = tmp_path / "m"
    bundle = tiny_bundle.make(tmp_path / "b", task)
    export_mlflow(bundle, out)
    rows = [tiny_bundle.raw(size=size, label=2.0) for size in (1.5, -8.0, 0.25)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    asked = [sys.executable, "-c", ASK, str(out), str(tmp_path / "rows.json")]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == load(bundle).predict(rows).records()
