"""A bundle without Sixfold: a bare onnxruntime process, and Node.js, give the stored answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle

NODE = Path(__file__).parent / "node"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-a-bundle-elsewhere.md"
BARE = """
import sys
import numpy as np
import onnxruntime as ort

session = ort.InferenceSession(sys.argv[1] + "/model.onnx")
nan = float("nan")
label, probability = session.run(["label", "probability"], {
    "numbers": np.array([  # size, label, new, since
        [1.5, 2.0, 1.0, 1795392000.0],
        [nan, -3.25, nan, 1795447200.0],
        [-8.0, nan, 0.0, nan],
        [0.0, 0.0, 0.0, 0.0],
    ]),
    "categories": np.array([["red"], [""], ["never seen"], ["café"]], dtype=object),
})
assert not [name for name in sys.modules if name.startswith(("sixfold", "onnx."))]
print(label.tolist(), probability.tolist())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.make(tmp_path_factory.mktemp("elsewhere") / "bundle")


def test_a_bare_onnxruntime_gives_the_same_answers(folder: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    expected = tiny_bundle.expected()
    label, probability = json.loads(
        "[" + done.stdout.replace("]] [[", "]], [[").replace("'", '"') + "]"
    )
    assert [row[0] for row in label] == expected["label"].tolist()
    np.testing.assert_allclose(probability, expected["probability"], atol=1e-12)


@pytest.fixture(scope="session")
def packages() -> Path:
    """A folder with the Node.js package, installed once a machine."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed")
    place = Path(tempfile.gettempdir()) / f"sixfold-node-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(NODE / "package.json", place)
    if not (place / "node_modules" / "onnxruntime-node" / "package.json").exists():
        # scripts are left out: they would fetch the parts for GPUs
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            pytest.skip("npm install onnxruntime-node took more than two minutes")
        if done.returncode != 0:
            pytest.skip(f"npm install onnxruntime-node does not work here: {done.stderr[-200:]}")
    return place


def test_node_gives_the_same_answers(folder: Path, packages: Path, tmp_path: Path) -> None:
    shutil.copy(NODE / "predict.mjs", packages)
    (tmp_path / "rows.json").write_text(json.dumps(tiny_bundle.ROWS))
    command = ["node", "predict.mjs", str(folder), str(tmp_path / "rows.json")]
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    expected = tiny_bundle.expected()
    assert [answer["label"] for answer in answers] == expected["label"].tolist()
    found = [list(answer["probability"].values()) for answer in answers]
    np.testing.assert_allclose(found, expected["probability"], atol=1e-12)


def test_the_page_shows_the_program_that_was_run() -> None:
    shown = re.search(r"^```js\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert shown[1] == (NODE / "predict.mjs").read_text()
