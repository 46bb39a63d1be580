"""An S3-speaking server of the tests' own: SeaweedFS, whose binary comes with the test dependencies."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from free_ports import free_port

KEY, SECRET = "sixfold", "sixfold-secret"


@dataclass
class S3Server:
    port: int
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Where our own code finds it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def binary() -> str | None:
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("weed")


@contextmanager
def s3_server() -> Iterator[S3Server | None]:
    """None where the binary is not installed."""
    weed = binary()
    if weed is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="sixfold-s3-"))
    (folder / "data").mkdir()
    credentials = [{"accessKey": KEY, "secretKey": SECRET}]
    identity = {"name": "tests", "credentials": credentials, "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    command = [weed, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += ["-filer", "-s3", f"-s3.config={folder / 's3.json'}", "-volume.max=10"]
    s3_port = free_port()
    command += [f"-s3.port={s3_port}", f"-s3.port.grpc={free_port()}"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    for part in ("master", "volume", "filer"):
        command += [f"-{part}.port={free_port()}", f"-{part}.port.grpc={free_port()}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        wait(s3_port, process, folder / "log")
        yield S3Server(s3_port, process, folder)
    finally:
        process.kill()  # its orderly end takes longer than 20 s, and nothing of it is kept
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until its health page says that it is well."""
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])
