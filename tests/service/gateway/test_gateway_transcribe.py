"""A deployed recognizer of speech: the stock `openai` client asks the gateway, whose replica is a real one."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
import spoken_letters
from gateway_worlds import GatewayWorld, gateway_world, until

from sixfold.service.domain.people import Scope
from sixfold.service.use_cases import registry
from sixfold.service.use_cases.registry import NewVersion

PATH = "/v1/audio/transcriptions"
SAID = spoken_letters.said("ab ba---")


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    """A deployment of one that hears two letters."""
    folder = tmp_path_factory.mktemp("letters")
    (folder / "gate").mkdir()
    made = spoken_letters.make(folder / "bundle")
    with gateway_world(folder / "gate") as gate:
        service, tenant = gate.world.service, gate.world.operator.tenant_id
        tree, size = service.artifacts.put_tree(made)
        with service.database.transaction() as rows:
            registry.publish(service, rows, tenant, "letters", NewVersion(tree, size))
        gate.deploy("hears", model="letters", version="1")
        until(lambda: gate.state("hears")["state"] == "ready")
        yield gate


@pytest.fixture
def client(letters: GatewayWorld) -> Iterator[openai.OpenAI]:
    url = f"http://127.0.0.1:{letters.port}/v1"
    with openai.OpenAI(base_url=url, api_key=letters.key, max_retries=0, timeout=60) as client:
        yield client


@pytest.mark.slow
def test_the_stock_client_is_answered_by_a_deployment(
    letters: GatewayWorld, client: openai.OpenAI
) -> None:
    create = client.audio.transcriptions.create
    file = ("said.wav", SAID)
    assert create(file=file, model="hears").text == "ab ba"
    told = create(file=file, model="hears", response_format="verbose_json")
    assert [one.word for one in told.words or ()] == ["ab", "ba"]
    with pytest.raises(openai.NotFoundError):
        create(file=file, model="whisper-1")
    with pytest.raises(openai.BadRequestError, match="expected a recording"):
        create(file=("a.wav", b"a text"), model="hears")
    reading, _ = letters.predict_key(Scope.READ)
    with pytest.raises(openai.PermissionDeniedError):
        client.with_options(api_key=reading).audio.transcriptions.create(file=file, model="hears")
    used = until(lambda: letters.json("GET", "/api/v1/usage")["data"])
    assert sum(row["requests"] for row in used) >= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\na\r\n--x--\r\n', 400),
        (b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n\r\n--x--\r\n', 400),
        (b"no form", 400),
        (b"", 400),
    ],
)
def test_a_form_that_names_no_model_is_refused(
    body: bytes, status: int, letters: GatewayWorld
) -> None:
    found = letters.ask("POST", PATH, body, content_type="multipart/form-data; boundary=x")
    assert found[0] == status, found
    assert b'"error"' in found[2]
