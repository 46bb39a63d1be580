"""`sixfold doctor --report`: what helps, and none of the secrets that were planted."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from sixfold.cli import group
from sixfold.core.redacted import redacted

SECRETS = {
    "sf_AbC123_xyz": "key sf_AbC123_xyz",
    "hunter2": "postgresql+psycopg://ada:hunter2@db/x",
    "p@ss": "redis://:p@ss@db/0",
    "T0ken1": "Authorization: Bearer T0ken1",
    "hf_abcdefghij": "hf_abcdefghij",
    "s3cr3t": '{"password": "s3cr3t"}',
    "wJalr": "AWS_SECRET_ACCESS_KEY=wJalr",
    "ada": "/home/ada/data.csv",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_goes_and_the_rest_stays(secret: str) -> None:
    text = redacted(f"before {SECRETS[secret]} after")
    assert secret not in text and text.startswith("before ") and text.endswith(" after")


def test_the_report(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "report.zip"
    run.mkdir()
    lines = [f'{{"message": "it says {text}"}}' for text in SECRETS.values()]
    (run / "events.jsonl").write_text("\n".join(["first", *["filler"] * 200, *lines]))
    arguments = ["doctor", "--report", str(out), "--run", str(run)]
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(out) as file:
        texts = {name: file.read(name).decode() for name in file.namelist()}
    assert set(texts) == {"doctor.json", "events.jsonl"}
    assert '"version"' in texts["doctor.json"] and "first" not in texts["events.jsonl"]
    assert not [secret for secret in SECRETS if secret in texts["events.jsonl"]]
    assert CliRunner().invoke(group, arguments).exit_code != 0  # nothing is written over
