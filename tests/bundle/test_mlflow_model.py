"""A bundle as an MLflow model: its files here, its answers by a real MLflow."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
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
import mlflow
import pandas
folder, rows, store = sys.argv[1:]
mlflow.set_tracking_uri(store)
with mlflow.start_run() as run:
    mlflow.log_artifacts(folder, "model")
uri = f"runs:/{run.info.run_id}/model"
answers = mlflow.pyfunc.load_model(uri).predict(pandas.DataFrame(json.load(open(rows))))
print(json.dumps({"uri": uri, "answers": [dict(one) for one in answers]}))
"""
START_S = 600.0  # a safety net, on a machine that is busy with other things


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


def environment(store: str) -> dict[str, str]:
    """As of a user; MLflow tells nobody of it."""
    own = {"MLFLOW_TRACKING_URI": store, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **own, "PATH": path}


@contextmanager
def model_server(uri: str, store: str, log: Path) -> Iterator[str]:
    """MLflow's own, in this environment: its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    asked = ["models", "serve", "-m", uri, "-h", "127.0.0.1", "-p", str(port)]
    command = [sys.executable, "-m", "mlflow", *asked, "--env-manager", "local", "--workers", "1"]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=environment(store), stdout=out, stderr=out, start_new_session=True
        )
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while True:
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/ping").status_code == 200:
                    break
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.mark.slow
def test_a_real_mlflow_logs_it_and_answers_the_same(tmp_path: Path) -> None:
    """Logged into a run, loaded by `mlflow.pyfunc`, and asked of MLflow's model server."""
    out, store = tmp_path / "m", f"sqlite:///{tmp_path / 'mlflow.db'}"
    bundle = tiny_bundle.make(tmp_path / "b")
    export_mlflow(bundle, out)
    rows = [tiny_bundle.raw(size=size, label=2.0) for size in (1.5, -8.0, 0.25)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    asked = [sys.executable, "-c", ASK, str(out), str(tmp_path / "rows.json"), store]
    done = subprocess.run(
        asked, capture_output=True, text=True, cwd=tmp_path, env=environment(store)
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    ours = load(bundle).predict(rows).records()
    assert told["answers"] == ours
    with model_server(told["uri"], store, tmp_path / "server.txt") as url:
        answer = httpx.post(f"{url}/invocations", json={"dataframe_records": rows}, timeout=START_S)
        assert (answer.status_code, answer.json()) == (200, {"predictions": ours})
        wrong = httpx.post(f"{url}/invocations", json={"dataframe_records": [{}]}, timeout=START_S)
        assert wrong.status_code == 400
