"""`sixfold serve --ray`: replicas of the thin server on a Ray cluster, as many as requests ask for."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

os.environ["RAY_USAGE_STATS_ENABLED"] = (
    "0"  # it would tell its makers, and looks when it is imported
)

os.environ.setdefault(
    "RAY_raylet_start_wait_time_s", "120"
)  # a busy machine takes longer than 30 s

import ray
from ray import serve as ray_serve

from sixfold.bundle.load import load
from sixfold.core.cores import cores
from sixfold.core.errors import SystemFault
from sixfold.serve.run import say
from sixfold.serve.served_bundle import ServedBundle
from sixfold.serve.settings import settings_of

LOCAL: Final = "local"
BUSY: Final = 0.5  # of a replica's places, on average, before another one is started; guessed
WORDS: Final = 400  # of what Ray says
ROUTED_S: Final = 30.0  # for a proxy that is told of new replicas; a busy machine takes a second
TICK_S: Final = 0.05
LOOK_S: Final = 0.5


@dataclass(frozen=True)
class Replicas:
    """How many there are: `least`, and up to `most` where requests wait."""

    least: int = 1
    most: int = 1


def serve_on_ray(
    path: Path,
    replicas: Replicas,
    given: dict[str, Any],
    allow_hosts: Sequence[str] = (),
    trust_recipe: bool = False,
    allow: Collection[str] = (),
) -> None:
    """Deploy the bundle `path` and stay until SIGTERM or SIGINT; then it is taken away again.

    On the cluster that RAY_ADDRESS names, or one of this machine. `given`: host and port of the
    command line. The rest as in `serve.run.serve`. Raises BundleError or SystemFault.
    """
    if replicas.most < replicas.least:
        raise SystemFault(
            "--max-replicas",
            f"at least {replicas.least}",
            str(replicas.most),
            "Raise it, or lower --min-replicas.",
        )
    bundle = load(path, allow)
    settings, refused = settings_of(bundle.recipe.serve, given, trust_recipe)
    address = os.environ.get("RAY_ADDRESS") or LOCAL
    _join(address)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # Ray has set its own
        signal.signal(number, lambda *_: ended.set())
    others = bool(ray_serve.status().proxies)
    if not others:
        ray_serve.start(http_options={"host": settings.host, "port": settings.port})
    deployment = _deployment(bundle.name, replicas, settings.concurrency)
    hosts = [*allow_hosts, settings.host]
    try:
        ray_serve.run(
            deployment.bind(
                str(path.absolute()), settings.model_dump(mode="json"), hosts, list(allow)
            ),
            name=bundle.name,
        )
    except (RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise SystemFault(
            f"Ray Serve at {address}",
            "replicas that start",
            str(error).strip()[-WORDS:],
            "Every node needs Sixfold, the extra `ray-serve`, and the bundle's folder at this path.",
        ) from error
    for line in refused:
        print(f"warning: {line}", file=sys.stderr, flush=True)
    where = f"http://{settings.host}:{settings.port}"
    if others or not _routed(settings.host, settings.port, bundle.name, ended):
        where = "the proxies of Ray Serve"
    say(f"{bundle.name} answers on {where}  ({replicas.least} to {replicas.most} replicas)")
    while not ended.wait(LOOK_S):  # a signal that comes as the wait begins wakes nobody
        pass
    ray_serve.delete(bundle.name)
    if address == LOCAL:
        ray_serve.shutdown()
    ray.shutdown()


def _deployment(name: str, replicas: Replicas, places: int) -> Any:
    """`places`: requests in work at once, of each replica."""
    return ray_serve.deployment(
        ray_serve.ingress()(ServedBundle),
        name=name,
        max_ongoing_requests=places,
        autoscaling_config={
            "min_replicas": replicas.least,
            "max_replicas": replicas.most,
            "target_ongoing_requests": max(1.0, BUSY * places),
        },
    )


def _routed(host: str, port: int, name: str, ended: threading.Event) -> bool:
    """Once the proxy of this machine knows the way to the replicas, which it is told after they are there: a request before is
    answered with 404. False where there is none, as the cluster's is on another machine.
    """
    with contextlib.suppress(ValueError):  # a name
        if ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
    end = time.monotonic() + ROUTED_S
    while time.monotonic() < end and not ended.wait(TICK_S):
        connection = http.client.HTTPConnection(host, port, timeout=ROUTED_S)
        try:
            connection.request("GET", "/-/routes")
            if name in json.loads(connection.getresponse().read()).values():
                return True
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            continue
        finally:
            connection.close()
    return False


def _join(address: str) -> None:
    options = {"num_cpus": cores(), "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address, log_to_driver=False, configure_logging=False, **options)
    except (Exception, SystemExit) as error:
        raise SystemFault(
            f"the Ray cluster at {address}",
            f"one of Ray {ray.__version__} that answers",
            str(error).strip()[:WORDS] or repr(error),
            "Say where it is in RAY_ADDRESS, or leave that out: then one of this machine is started.",
        ) from error
