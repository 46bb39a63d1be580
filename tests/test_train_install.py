"""`pip install 'sixfold[train]'`: tables, texts and images are trained, packed and verified without what other extras bring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OTHERS = (
    *("openvino", "openvino_genai", "openvino_tokenizers", "gguf", "peft", "ray"),
    *("sqlalchemy", "alembic", "fastapi", "httpx", "fsspec", "psycopg", "s3fs"),
    *("soundfile", "soxr"),
)
BLOCKED = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OTHERS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])
sys.meta_path.insert(0, Missing())
from sixfold.__main__ import main
main()
"""
TABLE = "version: 1\nname: iris\ndata: {source: 'sklearn:iris', target: target}\nbuild: {family: linear}\n"
LANGUAGE = "version: 1\nname: story\ntask: generation\ndata: {source: 'python:topics'}\nbuild: {family: language}\n"


def sixfold(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_a_table_needs_no_other_extra(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(TABLE)
    done = sixfold("run", "r.yaml", "--out", "run", "--quiet", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sixfold("verify", "run/bundle", folder=tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_language_model_tells_its_extra_before_the_training(verb: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(LANGUAGE)
    done = sixfold(verb, "r.yaml", folder=tmp_path)
    assert done.returncode == 8 and "extra `language`" in done.stderr, done.stderr
    assert not list(tmp_path.glob("runs/*/refit"))
