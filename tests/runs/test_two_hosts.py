"""Two hosts with networks of their own (namespaces of Linux), a Ray node on each: a run whose other
host is cut off in the middle ends with the bytes of one that ran here.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from sixfold import pipeline
from sixfold.recipe.load import from_object

PORT = 6399
EPOCHS = 300  # each is saved: long enough to be cut off in the middle, on a machine that does nothing else, too
PATIENCE_S = 3600.0  # a safety net: nothing is measured by it
ENVIRONMENT = {
    **os.environ,
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # both hosts have the same, and the run
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_health_check_failure_threshold": "2",  # how soon Ray takes a node for lost: half a minute
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}


def system(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"


def may_make_networks() -> bool:
    name = f"sixfold-{os.getpid()}"
    if sys.platform != "linux" or shutil.which("ip") is None:
        return False
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    return made


@dataclass
class Host:
    """A namespace. `device`: its end of the wire."""

    name: str
    address: str
    device: str

    def command(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def ray(self, *options: str) -> None:
        start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=1"]
        address = f"--node-ip-address={self.address}"
        done = subprocess.run(
            self.command(*start, address, "--disable-usage-stats", *options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
        )
        assert done.returncode == 0

    def end(self) -> None:
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        for process in found.stdout.split():
            if psutil.pid_exists(int(process)):
                os.kill(int(process), signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True)


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    pytest.importorskip("ray")
    if "SIXFOLD_TWO_HOSTS" not in os.environ:
        pytest.skip("takes minutes, most of them Ray's: set SIXFOLD_TWO_HOSTS=1, or `make figures`")
    if not may_make_networks():
        pytest.skip("network namespaces are not allowed here: needs Linux, root and `ip netns`")
    own = os.getpid() % 100_000
    pair = tuple(Host(f"sixfold-{own}-{at}", f"10.213.77.{at}", f"sf{own}x{at}") for at in (1, 2))
    try:
        first, second = pair
        for host in pair:
            system("ip", "netns", "add", host.name)
        system("ip", "link", "add", first.device, "type", "veth", "peer", "name", second.device)
        for host in pair:
            system("ip", "link", "set", host.device, "netns", host.name)
            system("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.device)
            system("ip", "-n", host.name, "link", "set", host.device, "up")
            system("ip", "-n", host.name, "link", "set", "lo", "up")
        yield first, second
    finally:
        for host in pair:
            host.end()


def recipe(source: Path, **budget: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "data": {"source": str(source), "target": "y"},
        "build": [{"family": "mlp", "hidden": [width]} for width in (4, 5, 6)],
        "train": {"epochs": EPOCHS},
        "evaluate": {"folds": 3},
        "budget": budget,
    }


@pytest.mark.slow
def test_a_host_that_is_cut_off(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    first, second = hosts
    draw = np.random.default_rng(0).normal(size=(120, 3))
    frame = pd.DataFrame(draw, columns=list("abc")).assign(y=draw[:, 0] + draw[:, 1] > 0)
    frame.to_csv(tmp_path / "t.csv", index=False)
    here = pipeline.run(from_object(recipe(tmp_path / "t.csv")), tmp_path / "here")

    first.ray("--head", f"--port={PORT}", "--include-dashboard=false")
    second.ray(f"--address={first.address}:{PORT}")
    executor = {"name": "ray", "address": f"{first.address}:{PORT}"}
    (tmp_path / "r.yaml").write_text(json.dumps(recipe(tmp_path / "t.csv", executor=executor)))
    out = tmp_path / "there"
    command = [sys.executable, "-m", "sixfold", "run", str(tmp_path / "r.yaml"), "--out", str(out)]
    run = subprocess.Popen(
        first.command(*command, "--save-every", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        until = time.monotonic() + PATIENCE_S
        while len(list(out.glob("evaluate-*.saved"))) < 2 and time.monotonic() < until:
            assert run.poll() is None, run.communicate()[0]
            time.sleep(0.1)
        system("ip", "-n", second.name, "link", "set", second.device, "down")
        written = run.communicate(timeout=PATIENCE_S)[0]
        assert run.returncode == 0, written
    finally:
        run.kill()
        run.wait()
    events = (out / "events.jsonl").read_text()
    assert "2 nodes, 2 cores" in events
    assert "goes on elsewhere: its process was lost" in events
    for one in sorted(here.folder.rglob("*.safetensors")):
        assert (out / one.relative_to(here.folder)).read_bytes() == one.read_bytes(), one
    assert (out / "bundle" / "model.onnx").read_bytes() == (here.bundle / "model.onnx").read_bytes()
