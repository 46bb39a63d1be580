"""POST /v1/audio/transcriptions: the stock `openai` client, forms, words with times, and what is refused."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import spoken_letters
from server_process import HEAVY, Server

import tiny_sounds
from sixfold.bundle import audio
from sixfold.bundle.load import Bundle, load
from sixfold.bundle.verify import verify
from sixfold.core.errors import BundleError
from sixfold.serve.app import create

SAID = spoken_letters.said("ab ba---")
Send = Callable[..., httpx.Response]
PATH = "/v1/audio/transcriptions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoken_letters.make(tmp_path_factory.mktemp("letters") / "bundle")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return load(folder)


@pytest.fixture(scope="module")
def send(bundle: Bundle) -> Send:
    app = create(bundle, bundle.recipe.serve)

    def send(path: str = PATH, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request("POST" if options else "GET", path, **options)

        return asyncio.run(call())

    return send


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[openai.OpenAI]:
    """Of a process that has no torch."""
    running = Server(folder, without=HEAVY)
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{running.port}/v1", api_key="none", max_retries=0, timeout=60
    ) as client:
        yield client
    running.stop()


def form(content: bytes = SAID, name: str = "said.wav", **fields: Any) -> dict[str, Any]:
    return {"files": {"file": (name, content)}, "data": {"model": "letters", **fields}}


@pytest.mark.slow
def test_the_stock_client_is_answered(client: openai.OpenAI) -> None:
    create = client.audio.transcriptions.create
    file = ("said.wav", SAID)
    assert create(file=file, model="letters").text == "ab ba"
    assert create(file=file, model="letters", response_format="text") == "ab ba\n"
    told = create(
        file=file,
        model="letters",
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert told.text == "ab ba" and told.duration == pytest.approx(0.8)
    assert [(one.word, one.start, one.end) for one in told.words or ()] == [
        ("ab", 0.0, 0.2),
        ("ba", 0.3, 0.5),
    ]
    assert [one.id for one in client.models.list().data] == ["letters"]
    assert client.models.retrieve("letters").id == "letters"
    with pytest.raises(openai.NotFoundError, match="expected 'letters'"):
        create(file=file, model="whisper-1")
    with pytest.raises(openai.BadRequestError, match="response_format") as caught:
        create(file=file, model="letters", response_format="srt")
    assert caught.value.param == "response_format" and caught.value.code == "invalid_value"
    with pytest.raises(openai.BadRequestError, match="expected a recording") as caught:
        create(file=("a.wav", b"a text"), model="letters")
    assert caught.value.param == "file"


def test_times_are_those_of_the_recording(send: Send) -> None:
    """A shorter one lies in the middle of what the model takes."""
    told = send(**form(spoken_letters.said("a b-"), response_format="verbose_json")).json()
    assert told["text"] == "a b"
    assert told["words"] == [
        {"word": "a", "start": 0.0, "end": 0.1},
        {"word": "b", "start": 0.2, "end": 0.3},
    ]
    assert told["duration"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("options", "status", "param", "text"),
    [
        (form(language="en"), 400, "language", "Leave it out"),
        (form(prompt="hello"), 400, "prompt", "takes none"),
        (form(languge="en"), 400, "languge", "expected the fields"),
        (form(temperature="0.5"), 400, "temperature", "expected 0"),
        (form(stream="true"), 400, "stream", "expected false"),
        (form(response_format="vtt"), 400, "response_format", "verbose_json"),
        (form(response_format=["json", "text"]), 400, "response_format", "one value"),
        (form(**{"timestamp_granularities[]": "word"}), 400, "response_format", "for times"),
        (
            form(response_format="verbose_json", **{"timestamp_granularities[]": "segment"}),
            400,
            "timestamp_granularities",
            "expected word",
        ),
        ({"files": {"sound": ("a.wav", SAID)}, "data": {"model": "letters"}}, 400, None, "sound"),
        ({"files": {"model": (None, b"letters")}}, 400, "file", "found none"),
        (
            {"files": [("file", SAID), ("file", SAID)], "data": {"model": "letters"}},
            400,
            "file",
            "2",
        ),
        ({"files": {"file": SAID}}, 400, "model", "found none"),
        (form(model="other"), 404, None, "'letters'"),
        ({"json": {"model": "letters"}}, 415, None, "multipart/form-data"),
        (form(SAID[:900]), 400, "file", "cut"),
        (form(b""), 400, "file", "empty"),
    ],
    ids=str,
)
def test_what_is_refused_is_named(
    send: Send, options: dict[str, Any], status: int, param: str | None, text: str
) -> None:
    refused = send(**options)
    assert refused.status_code == status, refused.text
    error = refused.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert text in error["message"], error
    assert error["param"] == param or param is None


def test_a_long_recording_is_refused_before_it_is_decoded(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("it is decoded")

    monkeypatch.setattr(audio, "decode", decoded)
    refused = send(**form(tiny_sounds.wav(tiny_sounds.tone(440, 2.0))))
    assert refused.status_code == 400
    assert "at most 0.8 s" in refused.text and "2.00 s" in refused.text


def test_a_large_body_is_refused(bundle: Bundle) -> None:
    app = create(bundle, bundle.recipe.serve.model_copy(update={"max_body": "100KB"}))

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(PATH, **form(SAID + bytes(200_000)))

    assert asyncio.run(call()).status_code == 413


def test_rows_and_the_page_answer_too(send: Send, bundle: Bundle) -> None:
    rows = {"rows": [{"sound": base64.b64encode(SAID).decode()}]}
    assert send("/predict", json=rows).json()["predictions"] == [{"text": "ab ba"}]
    assert "answer.text" in send("/").text
    assert PATH in send("/openapi.json").json()["paths"]
    assert bundle.predict([{"sound": SAID}]).columns() == {"text": ["ab ba"]}
    assert any("parity" in sentence for sentence in verify(bundle.path))


def test_a_beam_is_served_alike(tmp_path: Path) -> None:
    found = spoken_letters.GREEDY.model_copy(
        update={"method": "beam", "width": 8, "ngrams": {"": {"a": 3, "b": 3, " ": 1, "\n": 1}}}
    )
    bundle = load(spoken_letters.make(tmp_path / "bundle", found))
    assert bundle.predict([{"sound": SAID}]).columns() == {"text": ["ab ba"]}


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"alphabet": ("a", "a", "b")}, "different characters"),
        ({"frames": 9}, "outputs as the decoder takes them"),
        ({"frame_s": -1.0}, "described as Sixfold does"),
        ({"ngrams": {"a": {"b": 0}}}, "described as Sixfold does"),
    ],
)
def test_a_decoder_of_a_stranger_is_looked_at(
    tmp_path: Path, update: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        spoken_letters.make(tmp_path / "bundle", spoken_letters.GREEDY.model_copy(update=update))
