"""A real provider in a process, and a console whose people sign on with it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from console_worlds import _as_server
from service_worlds import World, world
from starlette.testclient import TestClient

from sixfold.service.api.app import create
from sixfold.service.domain.sign_on import SignOnRules
from sixfold.service.identity.oidc import OidcProvider
from sixfold.service.use_cases.sign_on import SignOn

START_S = 600.0  # a safety net, on a machine that is busy with other things
PROGRAM = Path(__file__).with_name("provider_process.py")
CLIENT = "sixfold-console"


@dataclass
class ProviderProcess:
    """May be killed, and started again at the same address: with other keys."""

    port: int = 0
    url: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(PROGRAM), str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        guard = threading.Timer(START_S, self.process.kill)
        guard.start()
        self.url = self.process.stdout.readline().strip()
        guard.cancel()
        self.port = urlsplit(self.url).port or 0
        assert self.port

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def twist(self, **how: Any) -> None:
        httpx.put(f"{self.url}/twist", json=how).raise_for_status()

    def know(self, subject: str, **claims: Any) -> None:
        """What its tokens say of somebody."""
        httpx.put(f"{self.url}/users/{subject}", json=claims).raise_for_status()

    def consent(self, url: str, subject: str = "alice", **form: str) -> str:
        """What a person does on its page: where the browser is sent back to."""
        answer = httpx.post(url, data={"sub": subject, **form})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]


@contextmanager
def provider_process() -> Iterator[ProviderProcess]:
    made = ProviderProcess()
    made.start()
    try:
        yield made
    finally:
        made.stop()


@dataclass
class SignOnWorld:
    """A service with a console, and its provider."""

    world: World
    provider: ProviderProcess
    sign_on: SignOn
    app: Any
    browsers: list[TestClient] = field(default_factory=list)

    def browser(self) -> TestClient:
        return TestClient(_as_server(self.app), base_url="http://localhost", follow_redirects=False)

    def to_provider(self, browser: TestClient) -> str:
        """Its page."""
        answer = browser.get("/login/oidc")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def back(self, browser: TestClient, subject: str = "alice") -> str:
        """Through the provider, up to the address that the browser is sent to."""
        return self.provider.consent(self.to_provider(browser), subject)

    def sign(self, browser: TestClient, subject: str = "alice") -> Any:
        """All of it: the answer of the service."""
        return browser.get(self.back(browser, subject))


@contextmanager
def sign_on_world(
    folder: Path, provider: ProviderProcess, rules: SignOnRules, secret: str | None = "s3"
) -> Iterator[SignOnWorld]:
    with world(folder) as made:
        sign_on = SignOn(OidcProvider(provider.url, CLIENT, secret), rules)
        app = create(made.service, folder, sign_on=sign_on)
        yield SignOnWorld(made, provider, sign_on, app)
