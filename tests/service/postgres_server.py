"""A PostgreSQL of the tests' own: in a temporary folder, by a user without rights, over a socket of a port that is free."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from free_ports import free_port


def binaries() -> Path | None:
    """Of the newest PostgreSQL that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


class PostgresServer:
    """`url(name)` makes a database; `kill` and `start` are for tests of lost connections."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder, self.bin = folder, bin_folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.user = unprivileged()

    def init(self) -> None:
        if self.user:
            os.chown(self.folder, self.user, -1)
        command = [self.bin / "initdb", "-D", self.folder / "data", "-U", "sixfold", "-A", "trust"]
        command += ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self.user, cwd="/")

    def start(self) -> None:
        command = [self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=50"]
        command += [
            "-c",
            "fsync=off",
            "-c",
            "full_page_writes=off",
        ]  # processes are killed, no machine
        command += ["-c", f"unix_socket_directories={self.folder}"]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, user=self.user, cwd="/", start_new_session=True
        )
        log.close()
        for _ in range(600):
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.1)
            else:
                return
        raise AssertionError("PostgreSQL does not answer")

    def stop(self, sign: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends all connections and stops; SIGQUIT stops at once, as a crash does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.wait(60)

    def address(self, name: str) -> str:
        return f"postgresql://sixfold@127.0.0.1:{self.port}/{name}"

    def create(self, name: str, template: str = "template0") -> str:
        """The URL of a new database."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.address(name).replace("postgresql:", "postgresql+psycopg:")


@contextmanager
def postgres_server() -> Iterator[PostgresServer | None]:
    """None where no PostgreSQL is installed."""
    bin_folder = binaries()
    if bin_folder is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="sixfold-pg-"))  # short: sockets have short names
    server = PostgresServer(folder, bin_folder)
    try:
        server.init()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def unprivileged() -> int | None:
    """PostgreSQL refuses to run as root; None where we are not."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
