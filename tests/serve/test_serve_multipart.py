"""Forms: fields and files as rows; the parser against python-multipart; what is refused; bodies
that nobody would write.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bright_images
import httpx
import pytest
import python_multipart
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from server_process import Server

from sixfold.bundle.load import Bundle, load
from sixfold.recipe.signature import Input
from sixfold.serve import inference, multipart
from sixfold.serve.app import create
from sixfold.serve.errors import Refusal
from sixfold.serve.multipart import Form, boundary_of, parts

Send = Callable[..., httpx.Response]
PHOTO = bright_images.photo(200, 9)
TYPE = "multipart/form-data; boundary=b"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(bright_images.make(tmp_path_factory.mktemp("form") / "bundle"))


@pytest.fixture(scope="module")
def send(bundle: Bundle) -> Send:
    app = create(bundle, bundle.recipe.serve)

    def send(**options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post("/predict", **options)

        return asyncio.run(call())

    return send


def body(*fields: tuple[str, bytes], end: bytes = b"\r\n--b--\r\n") -> bytes:
    """Fields (the rest of their head behind `form-data`, and their content) between boundaries
    `b`.
    """
    heads = [b'--b\r\nContent-Disposition: form-data; name="' + head.encode() for head, _ in fields]
    return (
        b"\r\n".join(
            head + b"\r\n\r\n" + content for head, (_, content) in zip(heads, fields, strict=True)
        )
        + end
    )


def error(response: httpx.Response) -> list[str]:
    found = response.json()["error"]
    assert list(found) == ["where", "expected", "found", "remedy"]
    return list(found.values())


def as_json(*rows: tuple[bytes, Any, str]) -> dict[str, Any]:
    return {
        "rows": [
            {"photo": base64.b64encode(photo).decode(), "weight": w, "note": note}
            for photo, w, note in rows
        ]
    }


def test_a_form_gets_the_answers_of_json(send: Send) -> None:
    form = send(data={"weight": "2.5", "note": "a night"}, files={"photo": ("a.png", PHOTO)})
    assert form.status_code == 200, form.text
    assert form.content == send(json=as_json((PHOTO, 2.5, "a night"))).content
    assert form.json()["predictions"][0]["probability"]["bright"] == pytest.approx(
        bright_images.probability(200, 2.5, 1)
    )


def test_a_field_that_comes_again_is_another_row(send: Send) -> None:
    photos = [
        bright_images.photo(shade, 5, form)
        for shade, form in ((0, "PNG"), (100, "BMP"), (255, "GIF"))
    ]
    files = [("photo", (f"{number}.png", content)) for number, content in enumerate(photos)]
    form = send(data={"weight": ["1", "", "NA"], "note": ["night", "", "día"]}, files=files)
    rows = zip(photos, (1, None, None), ("night", "", "día"), strict=True)
    assert (form.status_code, form.content) == (200, send(json=as_json(*rows)).content)


def test_texts_may_be_files_and_images_base64(send: Send) -> None:
    files = {"note": ("note.txt", "día".encode()), "photo": (None, base64.b64encode(PHOTO))}
    form = send(data={"weight": "1"}, files=files)
    assert (form.status_code, form.content) == (200, send(json=as_json((PHOTO, 1, "día"))).content)


def test_a_large_form_is_one_too(send: Send, bundle: Bundle) -> None:
    noise = Image.effect_noise((400, 400), 100)
    noise.save(stream := io.BytesIO(), "PNG")
    photo = stream.getvalue()
    assert len(photo) > 128 << 10
    form = send(data={"weight": "2", "note": "x"}, files={"photo": photo})
    assert (form.status_code, form.content) == (200, send(json=as_json((photo, 2, "x"))).content)
    assert create(bundle, bundle.recipe.serve).server.bodies.large.used == 0


def test_over_a_socket(tmp_path: Path) -> None:
    """A real client and a real server, which keeps the connection after a refusal, and holds no
    more for a bomb.
    """
    server = Server(bright_images.make(tmp_path / "bundle"))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
            data = {"weight": ["1", "2"], "note": ["", ""]}
            files = [
                ("photo", ("a.png", PHOTO, "image/png")),
                ("photo", ("b.png", PHOTO, "image/png")),
            ]
            answered = client.post("/predict", data=data, files=files)
            assert [row["label"] for row in answered.json()["predictions"]] == ["bright", "bright"]
            before = server.memory_bytes()
            bomb = client.post(
                "/predict", data={"weight": "1", "note": ""}, files={"photo": png_of(60_000)}
            )
            assert bomb.status_code == 422 and error(bomb)[0] == "row 1, column 'photo'"
            many = [("photo", ("a.png", png_of(6_900)))] * 5
            refused = client.post(
                "/predict", data={"weight": [1] * 5, "note": ["x"] * 5}, files=many
            )
            assert refused.status_code == 413 and error(refused)[1].startswith(
                "at most 200,000,000 pixels"
            )
            assert server.memory_bytes() - before < 20 << 20
            assert client.post("/predict", data=data, files=files).json() == answered.json()
    finally:
        _, err = server.stop()
    assert "Exception" not in err
    assert server.process.returncode == 0


def png_of(side: int) -> bytes:
    """A black image of one bit a pixel, whose rows are not all there where it is large."""
    image = Image.new("1", (side, 100 if side > 10_000 else side))
    image.save(stream := io.BytesIO(), "PNG", optimize=False)
    content = bytearray(stream.getvalue())
    content[20:24] = side.to_bytes(4, "big")  # IHDR's height
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


def test_pixels_are_counted_in_every_form_of_a_request(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        inference, "MOST_DECODED", 161
    )  # one of 9 × 9 and a little less than another
    twice = as_json((PHOTO, 1, ""), (PHOTO, 1, ""))
    line = "photo,weight,note\n" + f"{twice['rows'][0]['photo']},1,\n" * 2
    files = [("photo", PHOTO), ("photo", PHOTO)]
    for options in (
        {"json": twice},
        {"content": line, "headers": {"Content-Type": "text/csv"}},
        {"data": {"weight": [1, 1], "note": ["", ""]}, "files": files},
    ):
        refused = send(**options)
        assert (refused.status_code, error(refused)[2]) == (413, "162")
    assert send(json=as_json((PHOTO, 1, ""))).status_code == 200


def test_a_long_row_holds_images_and_not_many_values(send: Send) -> None:
    row = as_json((PHOTO, 1, "x"))["rows"][0]
    long = json.dumps({"rows": [row, {**row, "note": ["," * 10] * 20_000}]})
    refused = send(content=long)
    assert (refused.status_code, error(refused)[1]) == (413, "rows of at most 100,000 values")


FIELDS = ('weight"', b"1"), ('note"', b"x")
REFUSALS: list[tuple[bytes, str, int, str]] = [
    (b"", TYPE, 400, "the body: expected the boundary '--b' first; found nothing"),
    (b"x", TYPE, 400, "the body: expected the boundary '--b' first; found 'x'"),
    (b"--b", "multipart/form-data", 400, "Content-Type: expected a boundary of 1 to 70"),
    (
        b"--b",
        "multipart/form-data; boundary=" + "b" * 71,
        400,
        "Content-Type: expected a boundary of 1 to 70",
    ),
    (
        b"--b",
        "multipart/form-data; boundary=a; boundary=b",
        400,
        "Content-Type: expected parameters",
    ),
    (b"--b--", TYPE, 422, "the body: expected at least one row"),
    (
        body(*FIELDS, end=b""),
        TYPE,
        400,
        "part 2: expected the boundary behind it; found the end of the body",
    ),
    (body(*FIELDS, end=b"\r\n--b"), TYPE, 400, "part 3: expected headers of at most 4,096 bytes"),
    (
        body(*FIELDS) + b"x",
        TYPE,
        400,
        "the body: expected nothing behind the last boundary; found 'x'",
    ),
    (
        b"--b\r\n\r\nx\r\n--b--",
        TYPE,
        400,
        'part 1, Content-Disposition: expected form-data; name="COLUMN"',
    ),
    (
        body(('"', b"x")),
        TYPE,
        400,
        'part 1, Content-Disposition: expected form-data; name="COLUMN"',
    ),
    (body(('a"; name="b"', b"x")), TYPE, 400, "part 1, Content-Disposition: expected parameters"),
    (
        body(('a"\r\nContent-Disposition: form-data', b"x")),
        TYPE,
        400,
        "part 1: expected headers as 'Name: value', each",
    ),
    (
        body(('a"' + "\r\nX: y" * 2, b"x")),
        TYPE,
        400,
        "part 1: expected headers as 'Name: value', each",
    ),
    (
        body(('a"' + "".join(f"\r\nX{n}: y" for n in range(9)), b"x")),
        TYPE,
        400,
        "part 1: expected a line end",
    ),
    (
        body(('a"\r\nX: ' + "y" * 5000, b"x")),
        TYPE,
        400,
        "part 1: expected headers of at most 4,096 bytes",
    ),
    (body(('note"', b"\xff"), *FIELDS), TYPE, 400, "part 1, field 'note': expected UTF-8"),
    (
        body(('a"\r\nContent-Transfer-Encoding: base64', b"x")),
        TYPE,
        415,
        "part 1, field 'a', Content-Transfer",
    ),
    (
        body(('a"\r\nContent-Type: multipart/mixed; boundary=c', b"x")),
        TYPE,
        415,
        "part 1, field 'a': expected a field",
    ),
    (
        body(*FIELDS),
        TYPE,
        422,
        "columns, column 'photo': expected the column 'photo'; found no such column",
    ),
    (
        body(('photos"; filename="a"', PHOTO), *FIELDS),
        TYPE,
        422,
        "columns, column 'photo': expected the column",
    ),
    (
        body(('photo"; filename=""', b""), *FIELDS),
        TYPE,
        422,
        "row 1, column 'photo': expected an image; found an empty",
    ),
    (
        body(('photo"; filename="a"', b"GIF89a"), *FIELDS),
        TYPE,
        422,
        "row 1, column 'photo': expected a",
    ),
    (
        body(('photo"; filename="a"', PHOTO), *FIELDS, *FIELDS),
        TYPE,
        422,
        "columns: expected columns of equal length",
    ),
    (
        body(('weight"', b"1" * 70_000)),
        TYPE,
        413,
        "part 1, field 'weight': expected at most 65,536 bytes; found 70,000",
    ),
    (
        body(('note"; filename="a"', b"1" * 70_000)),
        TYPE,
        422,
        "columns, column 'photo': expected the column 'photo'",
    ),
    (body(*[('note"', b"")] * 10_001), TYPE, 413, "the body: expected at most 10,000 parts"),
]


@pytest.mark.parametrize(
    ("content", "kind", "status", "told"), REFUSALS, ids=[told[:50] for *_, told in REFUSALS]
)
def test_what_does_not_fit_is_told(
    send: Send, content: bytes, kind: str, status: int, told: str
) -> None:
    response = send(content=content, headers={"Content-Type": kind})
    where, expected, found, remedy = error(response)
    assert f"{where}: expected {expected}; found {found}".startswith(told)
    assert response.status_code == status
    assert remedy


@pytest.mark.parametrize(
    "written",
    ['size "S"', "size %22S%22", 'size \\"S\\"', "größe", "a%22b", "back\\\\slash", "back\\slash"],
)
def test_names_as_clients_write_them(bundle: Bundle, written: str) -> None:
    names = ('size "S"', "größe", "a%22b", "back\\slash")
    inputs = tuple(Input(name=name, type="text") for name in names)
    signature = bundle.signature.model_copy(update={"inputs": inputs})
    quoted = (
        written if written != 'size "S"' else written.replace('"', "%22")
    )  # what a browser makes of it
    content = body((f'{quoted}"', b"x"))
    (found,) = Form(signature).columns(content, TYPE)
    assert found in names


CONTENTS = st.binary(max_size=20) | st.sampled_from(
    [b"\r\n--", b"\r\n--bo", b"--bound", b"\r\n\r\n", b"\r", b"\n--bound--"]
)
NAMES = st.text(
    st.characters(exclude_characters='"\\\r\n', exclude_categories=["Cs", "Cc"]),
    min_size=1,
    max_size=6,
)
FORMS = st.lists(st.tuples(NAMES, CONTENTS, st.booleans()), min_size=1, max_size=5)


def by_the_library(content: bytes) -> list[tuple[str, bytes]]:
    """Names and contents, by python-multipart."""
    found: list[list[Any]] = []
    header = bytearray()
    callbacks: Any = {
        "on_part_begin": lambda: found.append([None, bytearray()]),
        "on_header_value": lambda data, start, end: header.extend(data[start:end]),
        "on_header_end": lambda: (_name_into(found[-1], bytes(header)), header.clear()),
        "on_part_data": lambda data, start, end: found[-1][1].extend(data[start:end]),
    }
    parser = python_multipart.MultipartParser(b"bound", callbacks)
    parser.write(content)
    parser.finalize()
    return [(name, bytes(value)) for name, value in found]


def _name_into(part: list[Any], header: bytes) -> None:
    kind, options = python_multipart.multipart.parse_options_header(header)
    if kind == b"form-data":
        part[0] = options[b"name"].decode()


@given(fields=FORMS)
@example(fields=[("a", b"\r\n--boun", True), ("a", b"", False)])
def test_the_parts_are_those_of_a_library(fields: list[tuple[str, bytes, bool]]) -> None:
    if any(b"\r\n--bound" in b"\r\n" + content for _, content, _ in fields):
        return
    lines = b""
    for name, content, is_file in fields:
        more = '; filename="f"\r\nContent-Type: application/octet-stream' if is_file else ""
        lines += (
            f'--bound\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
            + content
            + b"\r\n"
        )
    lines += b"--bound--\r\n"
    ours = list(parts(lines, boundary_of("multipart/form-data; boundary=bound")))
    assert [(part.name, part.content) for part in ours] == by_the_library(lines)
    assert [part.is_file for part in ours] == [is_file for *_, is_file in fields]


WHOLE = body(
    ('photo"; filename="a.png"\r\nContent-Type: image/png', PHOTO),
    ('weight"', b"1"),
    ('note"', b"night"),
)
SPLICES = st.sampled_from(
    [b"--b", b"\r\n--b", b"--b--", b"\r\n", b"\r\n\r\n", b'"', b";", b"\0", b"name=", b"\xff", b":"]
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 40), SPLICES | st.binary(max_size=4)),
        max_size=4,
    ),
    kind=st.sampled_from(
        [
            TYPE,
            TYPE,
            TYPE,
            'multipart/form-data; boundary="b"',
            "multipart/form-data;",
            "MULTIPART/FORM-DATA; boundary=b;",
        ]
    ),
)
def test_no_form_is_a_fault_of_the_server(
    send: Send, changes: list[tuple[int, int, bytes]], kind: str
) -> None:
    content = WHOLE
    for place, removed, put in changes:
        content = content[:place] + put + content[place + removed :]
    response = send(content=content, headers={"Content-Type": kind})
    assert response.status_code in (200, 400, 413, 415, 422)
    if response.status_code == 200:
        assert len(response.json()["predictions"]) >= 1
    else:
        assert all(error(response))


@given(content=st.binary(max_size=60))
def test_no_bytes_are_more_than_refused(content: bytes) -> None:
    for start in (b"", b"--b", b"--b\r\n", b'--b\r\nContent-Disposition: form-data; name="a"'):
        try:
            found = list(parts(start + content, b"b"))
        except Refusal as refusal:
            assert refusal.status in (400, 413, 415)
        else:
            assert all(len(part.content) <= len(content) for part in found)


def test_the_work_grows_with_the_bytes() -> None:
    """Bodies that nearly hold a boundary at every place: counted in calls of find, not in
    seconds.
    """
    near = b"\r\n--" + b"b" * 69
    boundary = b"b" * 70
    head = b"--" + boundary + b'\r\nContent-Disposition: form-data; name="a"\r\n\r\n'

    class Counted(bytes):
        finds = 0

        def find(self, *arguments: Any) -> int:
            Counted.finds += 1
            return super().find(*arguments)

    content = Counted(head + (near + b"x") * 1000 + b"\r\n--" + boundary + b"--")
    assert len(list(parts(content, boundary))) == 1
    assert Counted.finds == 2


def test_the_document_describes_the_form(bundle: Bundle) -> None:
    document = json.loads(json.dumps(create_document(bundle)))
    form = document["paths"]["/predict"]["post"]["requestBody"]["content"][multipart.FORM]["schema"]
    assert form["required"] == ["photo", "weight", "note"]
    assert form["properties"]["photo"]["items"]["format"] == "binary"


def create_document(bundle: Bundle) -> dict[str, Any]:
    from sixfold.serve import openapi

    return openapi.document(bundle, bundle.recipe.serve)
