"""A Ray cluster of several nodes on this machine, in processes of its own, whose nodes can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from free_ports import free_port

CODE = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from ray.cluster_utils import Cluster
cluster = Cluster()
head = cluster.add_node(num_cpus=0, include_dashboard=False, ray_client_server_port=int(sys.argv[1]))
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
print(cluster.address, file=answers, flush=True)
for line in sys.stdin:
    for node in [*nodes, head] if line.strip() == "all" else [nodes[int(line)]]:
        node.kill_all_processes(check_alive=False, allow_graceful=False)
    print("gone", file=answers, flush=True)
for node in [*nodes, head]:
    node.kill_all_processes(check_alive=False, allow_graceful=False)
"""


@dataclass
class RayCluster:
    """Its head does no stages. `outside`: its address for who is on none of its nodes."""

    address: str
    outside: str
    process: subprocess.Popen[str]

    def kill(self, node: int | str) -> None:
        """A node by its number, or "all" of them and the head: without that one alone, a node goes on for seconds."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{node}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "gone\n"


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Two nodes of one core each, and the head."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "RAY_gcs_rpc_server_reconnect_timeout_s": "5"},
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        address = process.stdout.readline().strip()
        assert address, "no cluster"
        yield RayCluster(address, f"ray://127.0.0.1:{port}", process)
        process.stdin.close()
        process.wait(60)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()
