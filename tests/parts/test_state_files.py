"""State files name only states, and what is damaged in them is told in four parts."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as packed

from sixfold.build.mlp import FittedPerceptron
from sixfold.core.errors import BundleError
from sixfold.core.plugins import PACKAGE_ROOT
from sixfold.parts import state
from sixfold.parts.state import State

# Everything that is importable and does something, classes that are no states, and names that are
# none.
NAMES = [
    "sixfold.__main__:main",
    "sixfold.cli:main",
    "sixfold.cli.run:command",
    "sixfold.serve.run:serve",
    "sixfold.pipeline:run",
    "sixfold.plan.candidates:generate_schema",
    "sixfold.parts.state:State",
    "sixfold.parts.state:save",
    "sixfold.parts.state:np",
    "sixfold.build.mlp:Settings",
    "sixfold.build.mlp:State",
    "sixfold.build.mlp:BundleError",
    "sixfold.build.mlp:Network.layers",
    "sixfold:load",
    "sixfoldish:State",
    "os:system",
    "builtins:eval",
    "subprocess:Popen",
    "this:s",
    "antigravity:x",
    "",
    ":",
    "sixfold.build.mlp",
    ":Network",
    "sixfold..build:Network",
    "../build/mlp:Network",
    "sixfold.build.nothing:Network",
    "torch:load",
    "a",
    "pickle:loads",
    "numpy.ctypeslib:load_library",
    5,
    None,
    ["sixfold.build.mlp:Network"],
    {"state": "x"},
    True,
    1.5,
]


def saved(folder: Path) -> dict[str, Any]:
    ones = np.ones((3, 2), dtype=np.float32)
    network = FittedPerceptron(
        (ones,), (np.zeros(3, np.float32),), "relu", "softmax", np.zeros(3), np.ones(3)
    )
    state.save(network, folder)
    tree: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return tree


def refused(folder: Path, tree: Any) -> str:
    (folder / "state.json").write_text(json.dumps(tree))
    with pytest.raises(BundleError) as caught:
        state.load(folder, State)
    assert all((caught.value.where, caught.value.expected, caught.value.found, caught.value.remedy))
    return str(caught.value)


@pytest.mark.parametrize("kind", ["state", "section"])
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_only_states_and_sections_can_be_named(tmp_path: Path, name: Any, kind: str) -> None:
    if (name, kind) == ("sixfold.build.mlp:Settings", "section"):
        name = "sixfold.build.mlp:Network"  # a state is no section
    tree = saved(tmp_path)
    before = set(sys.modules)
    refused(tmp_path, {kind: name, "fields": tree["fields"]})
    refused(tmp_path, {**tree, "fields": {**tree["fields"], "biases": {kind: name, "fields": {}}}})
    new = set(sys.modules) - before
    assert new & {"this", "antigravity", "sixfold.__main__", "sixfold.cli.run"} == set()


def test_the_command_line_is_not_run(tmp_path: Path) -> None:
    """In a fresh process, where nothing has been imported before."""
    tree = saved(tmp_path)
    (tmp_path / "state.json").write_text(json.dumps({**tree, "state": "sixfold.__main__:main"}))
    code = (
        "import sys; from pathlib import Path; from sixfold.parts import state\n"
        "sys.argv = ['sixfold', 'doctor']\n"
        "try: state.load(Path(sys.orig_argv[-1]), state.State)\n"
        "except ValueError as error: print(type(error).__name__,"
        " [m for m in sys.modules if '__main__' in m or 'cli' in m and 'sixfold' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("BundleError ['__main__']\n", "")


@pytest.mark.slow
def test_every_state_of_sixfold_is_found_in_a_fresh_process() -> None:
    names = [
        f"sixfold.{'.'.join(path.relative_to(PACKAGE_ROOT).with_suffix('').parts)}:{line.split('(')[0].removeprefix('class ')}"
        for path in PACKAGE_ROOT.rglob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith("class ") and "(State" in line
    ]
    assert len(names) > 35
    code = "import sys\nfrom sixfold.parts import state\nfor name in sys.argv[1:]: assert state._find(name, state.State)"
    subprocess.run([sys.executable, "-c", code, *names], check=True, timeout=120)


def test_damaged_files_are_told_in_four_parts(tmp_path: Path) -> None:
    tree = saved(tmp_path)
    trees: list[Any] = [
        [],
        {},
        None,
        5,
        {"state": tree["state"]},
        {"state": tree["state"], "fields": {}},
        {**tree, "fields": []},
        {**tree, "fields": {**tree["fields"], "other": 1}},
        {**tree, "fields": {**tree["fields"], "weights": {"array": "a99"}}},
        {"tuple": 5},
        {"dict": [1]},
        {"dict": [[[], 1]]},
        {"array": []},
        {"section": "sixfold.recipe.receipt:Step", "fields": {}},
        {"section": "sixfold.recipe.receipt:Step", "fields": [1]},
    ]
    for one in trees:
        refused(tmp_path, one)
    (tmp_path / "state.json").write_text("[" * 100_000)
    with pytest.raises(BundleError, match="RecursionError"):
        state.load(tmp_path, State)


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_flips_and_cuts_raise_nothing_else(tmp_path: Path, name: str) -> None:
    saved(tmp_path)
    rng, whole = random.Random(name), (tmp_path / name).read_bytes()
    contents = [whole[: rng.randrange(len(whole))] for _ in range(40)]
    for _ in range(160):
        at = rng.randrange(len(whole))
        contents.append(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
    for content in contents:
        (tmp_path / name).write_bytes(content)
        try:
            state.load(tmp_path, State)  # a flip in a number is the manifest's to find
        except BundleError as error:
            assert str(tmp_path) in error.where
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match="found FileNotFoundError"):
        state.load(tmp_path, State)


PLUGIN = {
    "plugged-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n",
    "plugged-1.0.dist-info/entry_points.txt": "[sixfold.imputer]\nlowest = plugged.lowest\n",
    "plugged/__init__.py": "",
    "plugged/__main__.py": "raise SystemExit('the command line ran')\n",
    "plugged/learned.py": """
from dataclasses import dataclass
import numpy as np
from sixfold.parts.state import State
from sixfold.prepare.step import same

@dataclass(frozen=True)
class Lowest(State):
    values: np.ndarray

    def transform(self, x):
        return np.where(np.isnan(x), self.values, x)

    def export(self, graph, x):
        return graph.op("Where", graph.op("IsNaN", x), graph.constant(self.values), x)

    def features(self, names):
        return same(names)
""",
    "plugged/lowest.py": """
from typing import ClassVar
import numpy as np
from plugged.learned import Lowest
from sixfold.recipe.section import Section

class Settings(Section):
    takes: ClassVar[frozenset] = frozenset({"number"})
    joint: ClassVar[bool] = False

    def fit(self, x, training):
        return Lowest(np.nanmin(x, axis=0))
""",
}


@pytest.fixture
def plugged(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which another package brings an imputer."""
    for name, text in PLUGIN.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)]),
    }


def test_the_state_of_an_installed_plugin_is_found_and_its_command_line_is_not_run(
    tmp_path: Path, plugged: dict[str, str]
) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path; from sixfold.parts import state; folder = Path(sys.argv[1])\n"
        "if sys.argv[2] == 'save':\n"
        "    from plugged.learned import Lowest; state.save(Lowest(np.ones(2)), folder)\n"
        "else: print(type(state.load(folder, state.State)).__name__, 'plugged.__main__' in sys.modules)\n"
    )
    for what in ("save", "load"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), what],
            env=plugged,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "Lowest False\n"
    content = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").write_text(
        content.replace("plugged.learned:Lowest", "plugged.__main__:Lowest")
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "load"],
        env=plugged,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (
        "expected a State of Sixfold or of a plug-in; found 'plugged.__main__:Lowest'"
        in done.stderr
    )


@pytest.mark.slow
def test_a_run_with_an_installed_plugin_goes_on_and_its_bundle_needs_it_not(
    tmp_path: Path, plugged: dict[str, str]
) -> None:
    rows = "".join(f"{n % 7 if n % 5 else ''},{n % 3},{n % 7 + n % 3}\n" for n in range(90))
    (tmp_path / "t.csv").write_text("a,b,y\n" + rows)
    (tmp_path / "r.yaml").write_text(
        "data: {source: t.csv, target: y}\nprepare: {impute: {number: lowest}}\nbuild: {family: linear}\nevaluate: {folds: 2}\n"
    )
    run = [sys.executable, "-m", "sixfold", "run", "r.yaml", "--quiet"]
    for _ in range(2):
        done = subprocess.run(
            run, cwd=tmp_path, env=plugged, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
    plain = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    verify = [sys.executable, "-m", "sixfold", "verify", "runs/model/bundle"]
    done = subprocess.run(
        verify, cwd=tmp_path, env=plain, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(run, cwd=tmp_path, env=plain, capture_output=True, text=True, timeout=100)
    assert (done.returncode, "expected the name of an imputer; found 'lowest'" in done.stderr) == (
        2,
        True,
    )


def test_what_is_written_is_what_safetensors_writes(tmp_path: Path) -> None:
    """Of arrays of every kind of number, and of empty ones."""
    rng = np.random.default_rng(0)
    kinds = list(state.KINDS_OF_NUMBERS)
    for _ in range(40):
        arrays = {
            f"a{number}": rng.integers(0, 2, rng.integers(0, 4, rng.integers(1, 3))).astype(
                rng.choice(kinds)
            )
            for number in range(rng.integers(0, 14))
        }
        state._write(arrays, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == packed(arrays)
