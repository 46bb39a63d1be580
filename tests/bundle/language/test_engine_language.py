"""The engine: the trained model's tokens, alone and beside others; seeds, ends, schemas, faults; tokens to text."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import language_bundles
from sixfold.bundle.gguf_header import check_gguf
from sixfold.bundle.language.engine import Engine, EngineLimits, gathered
from sixfold.bundle.language.hidden_states import HiddenStates
from sixfold.bundle.language.model import LanguageRuntime
from sixfold.bundle.language.requests import GenerationRequest, Piece, Sampling
from sixfold.bundle.language.talking import Chat
from sixfold.bundle.language.tokens import LanguageTokens
from sixfold.core.errors import BundleError, RowError
from sixfold.package.gguf_file import gguf_bytes
from sixfold.package.served_weights import served_network

PROMPT = "The import statement finds a module, loads it, and binds its name. Strings"
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is café <|im_end|> text, 漢字 🙂?\n\n  Yes"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    files = language_bundles.checkpoint()
    language_bundles.write(folder / "hf", files)
    (folder / "model.gguf").write_bytes(gguf_bytes(files, "tiny"))
    return folder


@pytest.fixture(scope="module")
def tokens(folder: Path) -> LanguageTokens:
    files = {path.name: path.read_bytes() for path in (folder / "hf").iterdir()}
    return LanguageTokens.of(files, "hf")


@pytest.fixture(scope="module")
def engine(folder: Path, tokens: LanguageTokens) -> Iterator[Engine]:
    limits = EngineLimits(sequences=4, cached_tokens=2048, threads=1)
    engine = Engine(folder / "model.gguf", limits, tokens.vocabulary(400))
    yield engine
    engine.close()


def ask(
    tokens: LanguageTokens, text: str = PROMPT, count: int = 24, **changes: object
) -> GenerationRequest:
    values = {"sampling": Sampling(temperature=0), **changes}
    return GenerationRequest(tuple(tokens.encode(text)), count, **values)  # type: ignore[arg-type]


def test_tokens_and_logprobs_are_those_of_transformers(
    folder: Path, tokens: LanguageTokens, engine: Engine
) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder / "hf").float().eval()
    request = ask(tokens, logprobs=True)
    found = engine.complete(request)
    with torch.no_grad():
        logits = model(torch.tensor([[*request.prompt, *found.ids]])).logits[0].float()
    scores = torch.log_softmax(logits, -1)[len(request.prompt) - 1 : -1]
    near = scores.max(-1).values - scores[range(24), list(found.ids)]
    assert float(near.max()) < 0.02  # the weights in half precision may turn what is nearly equal
    expected = scores[range(24), list(found.ids)].tolist()
    assert found.logprobs == pytest.approx(expected, abs=0.05)
    assert found.finish == "length"


def test_texts_and_chats_are_the_tokens_of_transformers(
    folder: Path, tokens: LanguageTokens
) -> None:
    theirs = AutoTokenizer.from_pretrained(folder / "hf")
    for text in (*language_bundles.TEXTS, CHAT[1]["content"], " a  b\t\r\n", "\x00\ufeff"):
        ids = theirs(text)["input_ids"]
        assert tokens.encode(text) == ids
        assert tokens.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    asked = theirs.apply_chat_template(CHAT, add_generation_prompt=True)["input_ids"]
    assert tokens.chat(CHAT) == asked
    assert tokens.end == {0, 3}
    assert b"".join(map(tokens.token_bytes, tokens.encode("naïve 🙂"))) == "naïve 🙂".encode()


def test_a_seed_gives_the_same_alone_and_beside_others(
    tokens: LanguageTokens, engine: Engine
) -> None:
    def drawn(seed: int) -> GenerationRequest:
        return ask(tokens, sampling=Sampling(temperature=1.5, top_p=0.9, seed=seed))

    alone = engine.complete(drawn(3))
    pieces: list[queue.SimpleQueue[Piece]] = [queue.SimpleQueue() for _ in range(4)]
    requests = [ask(tokens, "A class", 40), drawn(3), drawn(4), drawn(3)]
    for request, one in zip(requests, pieces, strict=True):
        engine.submit(request, one.put)
    _, same, other, again = [gathered(iter(one.get, None)) for one in pieces]
    assert same.ids == alone.ids == again.ids
    assert other.ids != alone.ids


def test_penalties_act(tokens: LanguageTokens, engine: Engine) -> None:
    plain = engine.complete(ask(tokens, count=40)).ids
    against = Sampling(temperature=0, presence_penalty=2, frequency_penalty=2)
    varied = engine.complete(ask(tokens, count=40, sampling=against)).ids
    assert len(set(varied)) > len(set(plain))


def test_an_answer_fits_its_schema(tokens: LanguageTokens, engine: Engine) -> None:
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["module", "class"]}, "ok": {"type": "boolean"}},
        "required": ["kind", "ok"],
        "additionalProperties": False,
    }
    request = ask(tokens, count=80, json_schema=json.dumps(schema), end=tokens.end)
    found = engine.complete(request)
    assert found.finish == "stop"
    answer = json.loads(tokens.decode(found.ids))
    assert set(answer) == {"kind", "ok"} and isinstance(answer["ok"], bool)


def test_a_request_that_breaks_the_engine_is_refused_and_the_others_go_on(
    tokens: LanguageTokens, engine: Engine
) -> None:
    long = ask(tokens, count=90, sampling=Sampling(temperature=1, seed=5))
    alone = engine.complete(long)
    beside: queue.SimpleQueue[Piece] = queue.SimpleQueue()
    engine.submit(long, beside.put)
    with pytest.raises(RowError, match="its schema may use what the runtime does not know"):
        engine.complete(ask(tokens, json_schema="{"))
    assert gathered(iter(beside.get, None)).ids == alone.ids
    assert engine.complete(long).ids == alone.ids


def test_what_is_cancelled_ends(tokens: LanguageTokens, engine: Engine) -> None:
    pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
    ticket = engine.submit(ask(tokens, count=100), pieces.put)
    pieces.get()
    ticket.cancel()
    before = engine.generated
    assert engine.complete(ask(tokens, "A class", 8)).finish == "length"
    assert engine.generated - before < 8 + 12  # of the cancelled one at most what was under way


def test_a_prompt_is_scored(folder: Path, tokens: LanguageTokens) -> None:
    path = folder / "model.gguf"
    runtime = LanguageRuntime(path, check_gguf(path, path.stat().st_size), tokens)
    request = ask(tokens, count=1, logprobs=True, echo=True)
    first, again = runtime.complete(request), runtime.complete(request)
    assert first.ids[:-1] == request.prompt
    assert len(first.logprobs) == len(first.ids) == len(again.logprobs)  # no cache of prefixes
    assert first.logprobs == pytest.approx(again.logprobs, abs=1e-6)
    runtime.close()


def test_a_conversation(folder: Path, tokens: LanguageTokens) -> None:
    path = folder / "model.gguf"
    runtime = LanguageRuntime(path, check_gguf(path, path.stat().st_size), tokens)
    talk = Chat(runtime, Sampling(temperature=1), seed=2, max_tokens=8)
    answers = ["".join(talk.say("Hi")) for _ in range(2)]
    assert [each["role"] for each in talk.messages] == ["user", "assistant"] * 2
    assert [each["content"] for each in talk.messages][1::2] == answers
    again = Chat(runtime, Sampling(temperature=1), seed=2, max_tokens=8)
    assert "".join(again.say("Hi")) == answers[0]
    with pytest.raises(RowError, match="tokens: that is this model's context"):
        "".join(talk.say("long " * 200))
    runtime.close()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(BundleError, match="a GGUF file of version 3"):
        Engine(path, EngineLimits())


@pytest.mark.parametrize("kind", ["f16", "q8_0", "q4_0"])
@pytest.mark.parametrize("name", list(language_bundles.CONFIGS))
def test_hidden_states_are_those_of_transformers(name: str, kind: Any, tmp_path: Path) -> None:
    files = language_bundles.checkpoint(name, tie_word_embeddings=name == "qwen2")
    content, path = gguf_bytes(files, "tiny", kind), tmp_path / "model.gguf"
    path.write_bytes(content)
    states = HiddenStates(path, check_gguf(path, len(content)))
    ids = list(range(4, 40))
    with torch.no_grad():
        expected = served_network(files, content).model(torch.tensor([ids])).last_hidden_state[0]
    assert states.last(ids) == pytest.approx(expected.numpy(), abs=1e-4)
    mean = expected.mean(0)
    assert states.mean(ids) == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)


def test_a_tokenizer_of_bytes_alone(tmp_path: Path) -> None:
    """Without merges, which readers of the file ask for."""
    files = language_bundles.checkpoint()
    described = json.loads(files["tokenizer.json"])
    described["model"]["merges"] = []
    files["tokenizer.json"] = json.dumps(described).encode()
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_bytes(files, "tiny"))
    tokens = LanguageTokens.of(files, "hf")
    runtime = LanguageRuntime(path, check_gguf(path, path.stat().st_size), tokens)
    assert len(tokens.encode("The")) == 3
    assert len(runtime.complete(ask(tokens, count=4)).ids) == 4
    runtime.close()
