"""A server process, asked by the stock `openai` client. torch and its like are not installed there."""

from __future__ import annotations

import http.client
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner

import language_bundles
from sixfold.cli import group

sys.path.insert(0, str(Path(__file__).parents[1]))
from server_process import HEAVY, Server

MODEL = "tiny"
CHAT: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What does import do?"},
]
AREAS = {"deletion", "insertion", "random_deletion", "random_insertion"}
GREEDY: dict[str, Any] = {"model": MODEL, "temperature": 0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "bundle"
    return language_bundles.bundle(folder, max_position_embeddings=1024)


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    running = Server(bundle, without=(*HEAVY, "transformers", "safetensors", "gguf"))
    yield running
    told = running.stop()[
        1
    ].splitlines()  # OpenVINO speaks of what it lost when it was opened again
    assert [line for line in told if not line.startswith("[ERROR] Block")] == []


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0, timeout=60
    ) as client:
        yield client


def chat(client: openai.OpenAI, **options: Any) -> Any:
    given: dict[str, Any] = {**GREEDY, "messages": CHAT, "max_tokens": 12, **options}
    return client.chat.completions.create(**given)


def figure(server: Server, name: str) -> float:
    text = server.ask("GET", "/metrics")[1].decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def test_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == (MODEL, "model", "sixfold")
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("other/model")
    assert caught.value.body["code"] == "not_found"  # type: ignore[index]


def test_a_chat(client: openai.OpenAI) -> None:
    answer = chat(client)
    (choice,) = answer.choices
    assert answer.object == "chat.completion"
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.completion_tokens <= 12
    assert chat(client).choices[0].message.content == choice.message.content


def test_a_stream_is_the_same_text(client: openai.OpenAI) -> None:
    whole = chat(client, n=2, seed=3, temperature=1.2, logprobs=True)
    chunks = list(
        chat(
            client,
            n=2,
            seed=3,
            temperature=1.2,
            logprobs=True,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    for choice in whole.choices:
        deltas = [c for chunk in chunks for c in chunk.choices if c.index == choice.index]
        assert deltas[0].delta.role == "assistant"
        assert "".join(c.delta.content or "" for c in deltas) == choice.message.content
        assert [c.finish_reason for c in deltas if c.finish_reason] == [choice.finish_reason]
        told = [entry for c in deltas if c.logprobs for entry in c.logprobs.content or []]
        assert told == choice.logprobs.content
    assert whole.choices[0].message.content != whole.choices[1].message.content


def test_log_probabilities(client: openai.OpenAI) -> None:
    entries = chat(client, logprobs=True).choices[0].logprobs.content
    assert all(entry.logprob <= 0 and entry.top_logprobs == [] for entry in entries)
    text = b"".join(bytes(entry.bytes) for entry in entries).decode(errors="replace")
    assert text == chat(client).choices[0].message.content


def test_stop_strings_across_tokens(client: openai.OpenAI) -> None:
    text = chat(client, max_tokens=40).choices[0].message.content
    stop = text[7:12]
    cut = chat(client, max_tokens=40, stop=[stop, "never there"]).choices[0]
    assert cut.message.content == text[: text.index(stop)]
    assert cut.finish_reason == "stop"
    pieces = chat(client, max_tokens=40, stop=stop, stream=True)
    streamed = "".join(c.choices[0].delta.content or "" for c in pieces)
    assert streamed == cut.message.content


def test_many_at_once_are_the_same_as_alone(client: openai.OpenAI) -> None:
    def ask(seed: int) -> str:
        found = chat(client, seed=seed, temperature=1.3, top_p=0.95, max_tokens=20)
        return str(found.choices[0].message.content)

    alone = [ask(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == alone
    assert len(set(alone)) > 4


def test_an_answer_fits_its_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "kind": {"enum": ["a", "b"]}},
        "required": ["ok", "kind"],
        "additionalProperties": False,
    }
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    found = chat(client, response_format=asked, max_tokens=60).choices[0]
    assert set(json.loads(found.message.content)) == {"ok", "kind"}
    assert found.finish_reason == "stop"
    with pytest.raises(openai.BadRequestError, match="OpenVINO GenAI can answer") as caught:
        strange = {"type": "string", "pattern": "(?<=a)b"}
        chat(client, response_format={"type": "json_schema", "json_schema": {"schema": strange}})
    assert caught.value.status_code == 400
    assert chat(client).choices[0].message.content  # it goes on


def begun(text: str) -> list[int]:
    """As texts are learned: behind the token that begins them."""
    made = language_bundles.tokenizer()
    return [made.token_to_id("<|endoftext|>"), *made.encode(text).ids]


def test_completions(client: openai.OpenAI) -> None:
    text = "The import statement"
    one = client.completions.create(**GREEDY, prompt=text, max_tokens=6)
    assert one.object == "text_completion"
    assert one.usage and one.usage.completion_tokens <= 6
    ids = begun(text)
    several = client.completions.create(**GREEDY, prompt=[text, "A class"], max_tokens=6, n=2)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    assert several.choices[0].text == several.choices[1].text == one.choices[0].text
    by_ids = client.completions.create(**GREEDY, prompt=[ids, ids], max_tokens=6)
    assert [choice.text for choice in by_ids.choices] == [one.choices[0].text] * 2
    streamed = client.completions.create(**GREEDY, prompt=ids, max_tokens=6, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == one.choices[0].text
    default = client.completions.create(model=MODEL, prompt="", extra_body={"ignore_eos": True})
    assert default.usage and default.usage.completion_tokens == 16


def test_embeddings(client: openai.OpenAI) -> None:
    texts = ["The import statement", "A class"]
    found = client.embeddings.create(model=MODEL, input=texts)  # the client asks for base64
    assert [each.index for each in found.data] == [0, 1]
    assert len(found.data[0].embedding) == 32
    assert sum(x * x for x in found.data[0].embedding) == pytest.approx(1, abs=1e-5)
    one = client.embeddings.create(model=MODEL, input=texts[0], encoding_format="float")
    assert one.data[0].embedding == pytest.approx(found.data[0].embedding, abs=1e-6)
    ids = begun(texts[0])
    assert client.embeddings.create(model=MODEL, input=[ids]).data[0].embedding == pytest.approx(
        one.data[0].embedding, abs=1e-6
    )
    assert one.usage.prompt_tokens == one.usage.total_tokens == len(ids)
    for options, param in (({"dimensions": 8}, "dimensions"), ({"input": ""}, "input")):
        given: dict[str, Any] = {"model": MODEL, "input": "x", **options}
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(**given)
        assert caught.value.body["param"] == param  # type: ignore[index]


def test_echo(client: openai.OpenAI) -> None:
    text = "The import statement finds a module, loads it, and binds its name."
    options: dict[str, Any] = {**GREEDY, "prompt": text, "echo": True, "logprobs": 0}
    first = client.completions.create(**options, max_tokens=3)
    told = first.choices[0].logprobs
    assert told and told.tokens and told.token_logprobs and told.text_offset
    ids = language_bundles.tokenizer().encode(text).ids
    assert len(told.tokens) == len(told.token_logprobs) == len(ids) + 3
    assert max(told.token_logprobs) <= 0  # the first follows the token that begins a text
    assert "".join(told.tokens) == first.choices[0].text
    assert first.choices[0].text.startswith(text)
    assert told.text_offset[1] == len(told.tokens[0])
    silent = client.completions.create(**options, max_tokens=0)  # how evaluations score texts
    scored = silent.choices[0].logprobs
    assert silent.choices[0].text == text and scored
    assert scored.token_logprobs[1:] == pytest.approx(told.token_logprobs[1 : len(ids)], abs=1e-4)  # type: ignore[index]
    assert silent.usage and silent.usage.completion_tokens == 0
    streamed = client.completions.create(**options, max_tokens=3, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == first.choices[0].text


@pytest.mark.slow
@pytest.mark.parametrize("method", [True, "rollout"])
def test_an_answer_is_explained_as_on_the_command_line(
    bundle: Path, client: openai.OpenAI, method: Any
) -> None:
    """The most probable sixteen tokens are what it explains where no answer is given."""
    text = "What does import do?"
    options: dict[str, Any] = {"max_tokens": 16, "extra_body": {"explain": method}}
    answer = chat(client, messages=[{"role": "user", "content": text}], **options)
    found = answer.model_extra["explanation"]
    choice = ("--method", "rollout") if method == "rollout" else ()
    asked = ("explain", str(bundle), "--prompt", text, "--json", *choice)
    told = json.loads(CliRunner().invoke(group, asked).stdout)
    assert set(found) - {"faithfulness"} == set(told) - {"faithfulness"}
    assert (found["answer"], found["method"]) == (told["answer"], told["method"])
    key = "share" if method == "rollout" else "change"
    assert [each["text"] for each in found["tokens"]] == [each["text"] for each in told["tokens"]]
    expected = [each[key] for each in told["tokens"]]
    assert [each[key] for each in found["tokens"]] == pytest.approx(expected, abs=1e-4)
    assert set(told["faithfulness"]) == AREAS
    continued = client.completions.create(
        **GREEDY, prompt=text, max_tokens=3, extra_body={"explain": method}
    )
    (extra,) = (continued.model_extra or {}).values()
    assert "".join(each["text"] for each in extra["tokens"]).strip() == text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"stream": True}, "stream: false"),
        ({"n": 2}, "one answer"),
        (
            {"messages": [*CHAT, {"role": "assistant", "content": "It"}]},
            "a last message of the user's",
        ),
        ({"extra_body": {"explain": "exact"}}, "one of auto, occlusion, rollout"),
    ],
)
def test_what_is_not_explained_is_refused(
    client: openai.OpenAI, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=expected) as caught:
        chat(client, **{"extra_body": {"explain": True}, **options})
    assert caught.value.param == "explain"


TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
}


def test_tools_reach_the_template(client: openai.OpenAI) -> None:
    short = [{"role": "user", "content": "Hi"}]
    plain = chat(client, messages=short, max_tokens=1).usage.prompt_tokens
    told = chat(client, messages=short, tools=[TOOL], max_tokens=1).usage.prompt_tokens
    assert told > plain + 50
    none = chat(client, messages=short, tools=[TOOL], tool_choice="none", max_tokens=1)
    assert none.usage.prompt_tokens == plain


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown": ({"extra_body": {"tempratur": 1}}, "tempratur", "unknown_parameter"),
    "logit_bias": ({"logit_bias": {"5": 1}}, "logit_bias", "unsupported_parameter"),
    "user": ({"user": "me"}, "user", "unsupported_parameter"),
    "store": ({"store": True}, "store", "unsupported_parameter"),
    "top_logprobs": ({"logprobs": True, "top_logprobs": 3}, "top_logprobs", "invalid_value"),
    "temperature": ({"temperature": 3}, "temperature", "invalid_value"),
    "temperature as text": ({"temperature": "0"}, "temperature", "invalid_value"),
    "top_p": ({"top_p": 0}, "top_p", "invalid_value"),
    "n": ({"n": 0}, "n", "invalid_value"),
    "max_tokens": ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    "both": ({"max_completion_tokens": 5}, "max_tokens", "invalid_value"),
    "stop": ({"stop": ["a"] * 5}, "stop", "invalid_value"),
    "empty stop": ({"stop": ""}, "stop", "invalid_value"),
    "seed": ({"seed": 1.5}, "seed", "invalid_value"),
    "usage": ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
    "role": (
        {"messages": [{"role": "human", "content": "x"}]},
        "messages[0].role",
        "invalid_value",
    ),
    "content": ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_value"),
    "image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].type",
        "invalid_value",
    ),
    "no messages": ({"messages": []}, "messages", "invalid_value"),
    "long": (
        {"messages": [{"role": "user", "content": "x " * 2000}]},
        "messages",
        "context_length_exceeded",
    ),
    "many tokens": ({"max_tokens": 1020}, "messages", "context_length_exceeded"),
    "schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
        "response_format.json_schema.schema",
        "invalid_value",
    ),
    "reference": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {"$ref": "http://x"}},
            }
        },
        "response_format.json_schema.schema",
        "invalid_value",
    ),
    "tool_choice": ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice", "invalid_value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_parameter_acts_or_is_refused_by_its_name(client: openai.OpenAI, name: str) -> None:
    options, param, code = REFUSED[name]
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, **options)
    body: Any = caught.value.body
    assert (body["param"], body["code"], body["type"]) == (param, code, "invalid_request_error")


def test_completions_refuse_too(client: openai.OpenAI) -> None:
    for options, param in (
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 2}, "logprobs"),
        ({"best_of": 2}, "best_of"),
        ({"prompt": [[1, 99999]]}, "prompt[0]"),
        ({"prompt": [1, "x"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
    ):
        given: dict[str, Any] = {"prompt": "x", **GREEDY, **options}
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(**given)
        assert caught.value.body["param"] == param  # type: ignore[index]


def test_values_that_ask_for_nothing_are_taken(client: openai.OpenAI) -> None:
    options = {"store": False, "logit_bias": {}, "parallel_tool_calls": True, "top_logprobs": 0}
    assert chat(client, **options, logprobs=True, response_format={"type": "text"}).choices


def test_what_is_no_request(server: Server, client: openai.OpenAI) -> None:
    for body, status in (
        (b"{", 400),
        (b"[]", 400),
        (b'{"model": "tiny", "model": "x"}', 400),
        (b'{"messages": []}', 400),
        (b'{"model": "other", "messages": []}', 404),
        (b" " * 300_000, 413),
    ):
        found, answer = server.ask("POST", "/v1/chat/completions", body)
        assert found == status, answer
        assert set(json.loads(answer)["error"]) == {"message", "type", "param", "code"}
    assert server.ask("GET", "/v1/chat/completions")[0] == 405
    found, answer = server.ask("GET", "/v1/nothing")
    assert found == 404 and json.loads(answer)["error"]["type"] == "invalid_request_error"
    assert server.ask("GET", "/v1/models/other%2Fmodel")[0] == 404
    with pytest.raises(openai.NotFoundError):
        chat(client, model="other")


def until(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_client_that_leaves_ends_its_request(server: Server, client: openai.OpenAI) -> None:
    def cancelled() -> float:
        return figure(server, r'sixfold_answers_total{finish="cancelled"}')

    options: dict[str, Any] = {"extra_body": {"ignore_eos": True}, "max_tokens": 900, "n": 20}
    before = cancelled()
    stream = chat(client, stream=True, **options)
    next(iter(stream))
    stream.close()
    until(lambda: cancelled() > before)
    until(lambda: figure(server, "sixfold_generating") == 0)
    before = cancelled()
    body = {**GREEDY, "messages": CHAT, "max_tokens": 900, "n": 20, "ignore_eos": True}
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    until(lambda: figure(server, "sixfold_generating") == 20)
    connection.close()
    until(lambda: cancelled() > before)
    until(lambda: figure(server, "sixfold_generating") == 0)
    assert chat(client).choices[0].message.content


def test_the_queue_is_bounded(server: Server, client: openai.OpenAI) -> None:
    """Four at once and sixteen waiting; the next one is told to come again."""
    full: dict[str, Any] = {"n": 20, "extra_body": {"ignore_eos": True}, "max_tokens": 300}
    ask = threading.Thread(target=lambda: chat(client, **full))
    ask.start()
    until(lambda: figure(server, "sixfold_generating") == 20)
    with pytest.raises(openai.RateLimitError) as caught:
        chat(client)
    assert caught.value.response.headers["retry-after"] == "1"
    assert server.ask("GET", "/readyz")[0] == 503
    ask.join()
    assert chat(client.with_options(max_retries=2)).choices
    with pytest.raises(openai.BadRequestError, match="at most 20 answers"):
        chat(client, n=21)


def test_figures_and_pages(server: Server) -> None:
    assert figure(server, "sixfold_generated_tokens_total") > 100
    assert figure(server, "sixfold_prompt_tokens_total") > 100
    for path in ("/", "/docs"):
        status, page = server.ask("GET", path)
        assert status == 200 and b"http://" not in page.replace(b"http://www.w3.org", b"")
    assert json.loads(server.ask("GET", "/livez")[1]) == {"status": "ok"}
    assert json.loads(server.ask("GET", "/readyz")[1]) == {"status": "ok", "model": MODEL}
    assert json.loads(server.ask("GET", "/signature")[1])["task"] == "generation"


def test_the_async_client(server: Server) -> None:
    import asyncio

    async def ask() -> list[str]:
        address = f"http://127.0.0.1:{server.port}/v1"
        async with openai.AsyncOpenAI(base_url=address, api_key="none") as client:
            asked = [
                client.chat.completions.create(messages=CHAT, seed=n, model=MODEL, max_tokens=5)
                for n in range(4)
            ]
            return [str(found.choices[0].message.content) for found in await asyncio.gather(*asked)]

    assert len(asyncio.run(ask())) == 4
