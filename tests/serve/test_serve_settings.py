"""What a bundle's recipe may ask of a server, and what only the command line may."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_bundle
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core.units import size_bytes
from sixfold.recipe.serving import Serve
from sixfold.serve.settings import settings_of

DEFAULT = Serve()
SERVES = st.builds(
    Serve,
    host=st.sampled_from(
        [
            "127.0.0.1",
            "localhost",
            "::1",
            "0.0.0.0",
            "::",
            "example.org",
            "",
            "127.0.0.2",
            "2130706433",
        ]
    ),
    port=st.integers(0, 65535),
    concurrency=st.integers(1, 1024),
    max_rows=st.integers(1, 10**12),
    max_body=st.sampled_from(["1B", "8MiB", "9MB", "8.1MiB", "1TiB"]),
)


@given(SERVES)
def test_a_recipe_sets_no_host_and_no_limit_beyond_the_defaults(asked: Serve) -> None:
    found, lines = settings_of(asked, {})
    assert found.host in ("127.0.0.1", "localhost", "::1")
    assert found.port == 0 or found.port >= 1024
    assert found.concurrency <= DEFAULT.concurrency
    assert found.max_rows <= DEFAULT.max_rows
    assert size_bytes(found.max_body) <= size_bytes(DEFAULT.max_body)
    differs = {key for key in Serve.model_fields if getattr(found, key) != getattr(asked, key)}
    assert {line.split(":")[0].removeprefix("serve.") for line in lines} == differs
    assert settings_of(asked, {}, trusted=True) == (asked, ())


@given(SERVES, st.booleans())
def test_the_command_line_goes_before_the_recipe(asked: Serve, trusted: bool) -> None:
    found, lines = settings_of(asked, {"host": "192.0.2.1", "port": 80}, trusted)
    assert (found.host, found.port) == ("192.0.2.1", 80)
    assert not any(line.startswith(("serve.host", "serve.port")) for line in lines)


@pytest.mark.parametrize("trusted", [False, True])
def test_a_bundle_that_asks_for_all_addresses_is_told_and_stays_on_loopback(
    tmp_path: Path, trusted: bool
) -> None:
    recipe = tiny_bundle.RECIPE.replace("serve: {", "serve: {host: 0.0.0.0, concurrency: 999, ")
    folder = tiny_bundle.make(tmp_path / "bundle", recipe=recipe)
    command = [
        sys.executable,
        "-m",
        "sixfold",
        "serve",
        str(folder),
        "--port",
        "0",
        *(["--trust-recipe"] if trusted else []),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert re.search(r"http://([\d.]+):", line).group(1) == ("0.0.0.0" if trusted else "127.0.0.1")  # type: ignore[union-attr]
    assert said == (
        ""
        if trusted
        else (
            "warning: serve.host: 127.0.0.1, not 0.0.0.0 as in the recipe: --trust-recipe would take it\n"
            "warning: serve.concurrency: 8, not 999 as in the recipe: --trust-recipe would take it\n"
        )
    )
