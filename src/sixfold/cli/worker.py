"""sixfold worker: this machine joins a service."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from sixfold.cli import EXISTING, LOG_FORMS, observed
from sixfold.core.units import size_bytes


@click.command(name="worker")
@click.option("--server", required=True, metavar="URL", help="Address of the service.")
@click.option(
    "--key",
    envvar="SIXFOLD_API_KEY",
    required=True,
    help="With the scope `work`; or SIXFOLD_API_KEY.",
)
@click.option(
    "--home",
    type=EXISTING,
    default=Path("sixfold-worker"),
    show_default=True,
    help="Where jobs are worked on.",
)
@click.option(
    "--memory",
    metavar="BYTES",
    help="For all jobs together, such as 16GiB; left out: nine tenths of the machine's.",
)
@click.option(
    "--jobs", type=click.IntRange(1), help="At once; left out: as many as there are cores."
)
@click.option(
    "--log",
    type=LOG_FORMS,
    default="text",
    show_default=True,
    help="A line on stderr for each job that is begun and ended, and for its stages.",
)
@click.option("--id", "worker_id", hidden=True)
def command(
    server: str,
    key: str,
    home: Path,
    memory: str | None,
    jobs: int | None,
    log: str,
    worker_id: str | None,
) -> None:
    """Work on the jobs of a service until SIGTERM or Ctrl-C; then they are given back, with all that they have finished."""
    from sixfold.service.client.transport import Transport
    from sixfold.service.worker.worker import Worker

    memory_bytes = None if memory is None else size_bytes(memory)
    worker = Worker(Transport(server, key), home, memory_bytes=memory_bytes, most_jobs=jobs)
    if worker_id is not None:
        worker.id = worker_id
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.end())
    with observed(log, "sixfold-worker"):
        worker.work()
