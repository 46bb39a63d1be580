"""Recordings over HTTP: files of a form and base64 give the same answers; what is refused, and before what."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import loud_recordings
import pytest

from sixfold.bundle.load import Bundle, load
from sixfold.core.errors import BundleError
from sixfold.serve import inference
from sixfold.serve.app import create

Send = Callable[..., httpx.Response]
LOUD, QUIET = loud_recordings.sound(1.0), loud_recordings.sound(0.1, 0.5, 16_000)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(loud_recordings.make(tmp_path_factory.mktemp("sound") / "bundle"))


@pytest.fixture(scope="module")
def send(bundle: Bundle) -> Send:
    app = create(bundle, bundle.recipe.serve)

    def send(path: str = "/predict", **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request("POST" if options else "GET", path, **options)

        return asyncio.run(call())

    return send


def as_json(*contents: bytes) -> Any:
    return {"rows": [{"sound": base64.b64encode(content).decode()} for content in contents]}


def test_files_and_base64_are_answered_alike(send: Send) -> None:
    files = [("sound", ("a.wav", LOUD, "audio/wav")), ("sound", ("b.wav", QUIET, "audio/wav"))]
    answered = send(files=files).json()["predictions"]
    assert [row["label"] for row in answered] == ["loud", "quiet"]
    assert answered[0]["probability"]["loud"] == pytest.approx(loud_recordings.probability(LOUD))
    assert send(json=as_json(LOUD, QUIET)).json()["predictions"] == answered


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "column 'sound'"),
        (b"a text", "text"),
        (LOUD[:600], "cut"),
        (b"\xff\xfb" + bytes(90), "damaged"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_row(
    send: Send, content: bytes, found: str
) -> None:
    refused = send(files=[("sound", LOUD), ("sound", content)])
    assert refused.status_code == 422, refused.text
    assert "row 2, column 'sound'" in refused.text and found in refused.text
    assert send(json={"rows": [{"sound": "/etc/hostname"}]}).status_code == 422


def test_samples_are_counted_before_any_is_decoded(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "MOST_DECODED", 1_599)
    refused = send(json=as_json(LOUD, LOUD))
    assert refused.status_code == 413 and "1,600" in refused.text
    assert send(json=as_json(LOUD)).status_code == 200


def test_the_page_takes_a_recording(send: Send) -> None:
    page = send("/").text
    assert "Drop a recording here" in page and 'accept="audio/wav' in page
    assert "WAV, FLAC, MP3 or OGG" in page


def test_a_bundle_without_the_libraries_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = loud_recordings.make(tmp_path / "bundle")
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(BundleError, match=r"soundfile and soxr.*sixfold\[speech\]"):
        load(folder)
