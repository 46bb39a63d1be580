"""Figure 9: requests made from the service's own OpenAPI document, right ones and wrong ones, with and without a key, and one
after the other with what the one before answered: none is a mistake of the server, and each answer is as the document says.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from service_worlds import world
from up_process import UpProcess

from sixfold.service.domain.people import Quota
from sixfold.service.use_cases import people

CASES: Final = 400  # of all operations together; `make figures`: 20,000
AFTER_ANOTHER: Final = 0.2  # of them: requests that take ids from the answers before
STEPS: Final = 10  # of such a row of requests
TENANTS: Final = 100  # who revokes their own key goes on as another
CHECKS: Final = (
    *("not_a_server_error", "status_code_conformance"),
    *("content_type_conformance", "response_schema_conformance"),
)
TIMEOUT_S: Final = 60
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@dataclass
class FuzzedServer:
    """`key`: of every scope; `others`: of tenants' administrators."""

    url: str
    key: str
    others: list[str]


@dataclass
class FuzzCount:
    """What was asked, and what was wrong with an answer, by operation."""

    seen: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)

    def look(self, case: Any, response: Any) -> None:
        from schemathesis.core.failures import Failure, FailureGroup

        self.seen[f"{case.method} {case.path}"] += 1
        self.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=checks())
        except (Failure, FailureGroup) as failure:
            self.wrong.setdefault(f"{case.method} {case.path}", str(failure)[:900])

    def told(self, what: str) -> None:
        cases = f"{sum(self.seen.values()):,} cases of {len(self.seen)} operations"
        print(f"{what}: {cases}: {dict(sorted(self.statuses.items()))}")
        assert not self.wrong, "\n\n".join(f"{one}: {why}" for one, why in self.wrong.items())


def wanted() -> int:
    return int(os.environ.get("SIXFOLD_FUZZ_CASES", CASES))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzedServer]:
    home = tmp_path_factory.mktemp("up")
    with world(home) as made:
        key = made.key
        others = [
            people.create_tenant(made.service, made.operator, f"tenant-{number}", Quota())[1]
            for number in range(TENANTS)
        ]
    up = UpProcess(home)
    up.start()
    yield FuzzedServer(up.url, key, others)
    up.stop()


def schema(url: str) -> Any:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

    @schemathesis.serializer("application/zip")
    def plain_bytes(_: Any, value: Any) -> bytes:
        return value if isinstance(value, bytes) else str(value).encode()

    return schemathesis.openapi.from_url(f"{url}/openapi.json")


def checks() -> list[Any]:
    from schemathesis import checks

    checks.load_all_checks()
    return list(checks.CHECKS.get_by_names(CHECKS))


def bounds(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        stateful_step_count=STEPS,
    )


def ask_often(operation: Any, mode: Any, key: str, count: FuzzCount, at: int) -> bool:
    """Each request with the key and without. `at`: another number, other requests. Whether there are any."""

    @bounds(max(2, wanted() // 200))
    @seed(at)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        for headers in ({"Authorization": f"Bearer {key}"}, {}):
            count.look(case, case.call(headers=headers, timeout=TIMEOUT_S))

    with suppress(Unsatisfiable):
        ask()
        return True
    return False


def test_generated_requests(server: FuzzedServer) -> None:
    """Each operation right and wrong, with a key and without; again with other numbers until there are enough."""
    from schemathesis import GenerationMode

    count = FuzzCount()
    found = [one.ok() for one in schema(server.url).get_all_operations()]
    kinds = list(itertools.product(found, (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)))
    least = int(wanted() * (1 - AFTER_ANOTHER))
    for at in itertools.count():  # of an operation that takes nothing, nothing is wrong
        kinds = [one for one in kinds if ask_often(*one, server.key, count, at)]
        if sum(count.seen.values()) >= least:
            break
    count.told("each alone")
    assert len(count.seen) == len(found)
    assert count.statuses[401] > len(found) and count.statuses[200] > 10, count.statuses


def test_generated_requests_one_after_the_other(server: FuzzedServer) -> None:
    """With the ids of the answers before: what is made is read, changed and deleted."""
    count, keys = FuzzCount(), itertools.cycle(server.others)

    class AfterAnother(schema(server.url).as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.key = next(keys)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": {"Authorization": f"Bearer {self.key}"}, "timeout": TIMEOUT_S}

        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            count.look(case, response)
            if response.status_code == 401:
                self.key = next(keys)

    least = int(wanted() * AFTER_ANOTHER)
    for at in itertools.count():
        seed(at)(AfterAnother).run(settings=bounds(max(1, least // STEPS)))
        if sum(count.seen.values()) >= least:
            break
    count.told("one after the other")
    made = count.statuses[200] + count.statuses[201] + count.statuses[204]
    assert made > least // 20, count.statuses
