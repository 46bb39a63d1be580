"""Figure 9: requests made from the service's own OpenAPI document, right ones and wrong ones, with and without a key: none is a
mistake of the server, and each answer is as the document says.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from service_worlds import world
from up_process import UpProcess

CASES: Final = 2000  # of all operations together; SIXFOLD_FUZZ_CASES=20000 for the whole figure
CHECKS: Final = (
    *("not_a_server_error", "status_code_conformance"),
    *("content_type_conformance", "response_schema_conformance"),
)
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address and a key of every scope."""
    home = tmp_path_factory.mktemp("up")
    with world(home) as made:
        key = made.key
    up = UpProcess(home)
    up.start()
    yield up.url, key
    up.stop()


def operations(url: str) -> list[Any]:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

    @schemathesis.serializer("application/zip")
    def plain_bytes(_: Any, value: Any) -> bytes:
        return value if isinstance(value, bytes) else str(value).encode()

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


def checks() -> list[Any]:
    from schemathesis import checks

    checks.load_all_checks()
    return list(checks.CHECKS.get_by_names(CHECKS))


def failure_kinds() -> tuple[type[BaseException], ...]:
    from schemathesis.core.failures import Failure, FailureGroup

    return Failure, FailureGroup


def test_generated_requests(server: tuple[str, str]) -> None:
    from schemathesis import GenerationMode

    url, key = server
    seen: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    wrong: dict[str, str] = {}
    found, chosen, failures = operations(url), checks(), failure_kinds()
    cases = int(os.environ.get("SIXFOLD_FUZZ_CASES", CASES))
    each = max(2, cases // (4 * len(found)))

    def asked(operation: Any, mode: Any, headers: dict[str, str]) -> None:
        @settings(
            max_examples=each,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            response = case.call(headers=headers, timeout=60)
            seen[f"{case.method} {case.path}"] += 1
            statuses[response.status_code] += 1
            try:
                case.validate_response(response, checks=chosen)
            except failures as failure:
                wrong.setdefault(f"{case.method} {case.path}", str(failure)[:600])

        with suppress(Unsatisfiable):  # of an operation that takes nothing, nothing is wrong
            ask()

    for operation in found:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for headers in ({"Authorization": f"Bearer {key}"}, {}):
                asked(operation, mode, headers)
    print(f"{sum(seen.values()):,} cases of {len(seen)} operations: {dict(statuses)}")
    assert not wrong, wrong
    assert len(seen) == len(found)
    assert statuses[401] > len(found) and statuses[200] > 10, statuses
