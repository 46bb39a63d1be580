"""From `main` to the first matrix product of a training step: few calls, few files, each hop in one
direction.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

CALLS, FILES = 11, 9
RECIPE = """
version: 1
name: r
data: {source: sklearn:iris, target: target}
build: [{family: mlp, hidden: [4]}]
train: {epochs: 2}
evaluate: {folds: 3}
"""
SPY = textwrap.dedent("""
    import json, os, sys, traceback
    import torch

    product = torch.baddbmm

    def seen(*rest, **named):
        stack = [frame for frame in traceback.extract_stack() if "/sixfold/" in frame.filename]
        with open("stack.json", "w") as file:
            json.dump([[frame.filename.rpartition("/sixfold/")[2], frame.name] for frame in stack], file)
        os._exit(0)

    torch.baddbmm = seen
    sys.argv = ["sixfold", "run", "r.yaml", "--out", "run", "--quiet"]
    from sixfold.__main__ import main
    main()
""")


def test_the_path_to_the_first_product_of_a_step(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    subprocess.run(
        [sys.executable, "-c", SPY], cwd=tmp_path, check=False, capture_output=True, timeout=300
    )
    stack = json.loads((tmp_path / "stack.json").read_text())
    assert stack[0] == ["__main__.py", "main"]
    told = "\n".join(f"{file} {name}" for file, name in stack)
    assert len(stack) <= CALLS, told
    files = [file for file, _ in stack]
    assert len(set(files)) <= FILES, told
    firsts = [at for at, file in enumerate(files) if file not in files[:at]]
    assert files == sorted(files, key=lambda file: [files[at] for at in firsts].index(file)), (
        told
    )  # nobody is called back
