"""Requests generated from the server's own OpenAPI document, right ones and wrong ones: none is a
fault of the server, and every answer is as the document says.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle
from hypothesis import HealthCheck, Phase, given, settings
from server_process import Server

CASES = 120  # of each operation that takes a body; 10,200 were run once (docs/reliability.md)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]  # warnings of packages that schemathesis brings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    running = Server(tiny_bundle.make(tmp_path_factory.mktemp("fuzz") / "bundle"))
    yield running
    _, err = running.stop()
    assert "Exception" not in err
    assert running.process.returncode == 0


def operations(server: Server) -> list[Any]:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


def checks() -> list[Any]:
    from schemathesis import checks

    checks.load_all_checks()
    names = (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
    return checks.CHECKS.get_by_names(names)


def test_generated_requests(server: Server) -> None:
    seen: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    chosen, modes = checks(), modes_of_generation()
    for operation in operations(server):
        takes_body = operation.method.upper() == "POST"
        for mode in modes if takes_body else modes[:1]:

            @settings(
                max_examples=CASES // 2 if takes_body else 5,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                response = case.call(timeout=20)
                case.validate_response(response, checks=chosen)
                seen[f"{case.method} {case.path}"] += 1
                statuses[response.status_code] += 1

            ask()
    assert len(seen) == 11
    assert sum(seen.values()) >= 2 * CASES * 0.8, (
        seen
    )  # Hypothesis may find that there are no more cases
    assert statuses[200] > 10 and statuses[422] + statuses[400] > 50, statuses


def modes_of_generation() -> list[Any]:
    from schemathesis import GenerationMode

    return [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


def test_one_server_answers_alike_whatever_came_before(server: Server, tmp_path: Path) -> None:
    """Stateful as far as it applies: there is no state, so the same request has the same answer
    after all of the above.
    """
    other = Server(tiny_bundle.make(tmp_path / "bundle"))
    try:
        for path in ("/signature", "/openapi.json", "/v2", "/v2/models/tiny", "/readyz", "/"):
            assert server.ask("GET", path) == other.ask("GET", path)
        body = b'[{"size": 1.5, "label": 2, "new": true, "since": null, "colour": "red"}]'
        assert server.ask("POST", "/predict", body) == other.ask("POST", "/predict", body)
    finally:
        other.stop()
