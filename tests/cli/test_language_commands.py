"""chat, export, verify, inspect and predict on the bundle of a language model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from transformers import AutoModelForCausalLM, AutoTokenizer

import language_bundles
from sixfold.bundle import manifest
from sixfold.bundle.language.requests import GenerationRequest, Sampling
from sixfold.bundle.load import load
from sixfold.bundle.verify import verify
from sixfold.cli import group
from sixfold.core.errors import BundleError, SystemFault


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return language_bundles.bundle(tmp_path_factory.mktemp("language") / "bundle")


def run(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(group, list(map(str, arguments)), input=text)


def test_verify_proves_texts(bundle: Path) -> None:
    done = run("verify", bundle)
    assert done.exit_code == 0, done.output
    assert "12 files" in done.output
    assert "3 stored texts tokenized, answered and scored again" in done.output
    assert "model.gguf: every tensor" in done.output


def test_chat_from_a_pipe(bundle: Path) -> None:
    options = ("--seed", 1, "--max-tokens", 8, "--threads", 1, "--system", "Be brief.")
    first = run("chat", bundle, *options, text="Hi\n\nAnd now?\n/exit\nnever\n")
    assert first.exit_code == 0, first.output
    again = run("chat", bundle, *options, text="Hi\n\nAnd now?\n/exit\nnever\n")
    assert first.stdout == again.stdout != ""
    long = run("chat", bundle, text="long " * 300)
    assert isinstance(long.exception, ValueError) and "that is this model's context" in str(
        long.exception
    )


def test_export(bundle: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "new" / "model.gguf", tmp_path / "checkpoint"
    done = run("export", bundle, "--gguf", out, "--hf", folder, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert out.read_bytes() == (bundle / "model.gguf").read_bytes()
    assert told["gguf"]["bytes"] == out.stat().st_size
    assert sorted(path.name for path in folder.iterdir()) == told["hf"]["files"]
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    with torch.no_grad():
        assert model(tokenizer("The", return_tensors="pt").input_ids).logits.shape[-1] == 400
    taken = run("export", bundle, "--gguf", out)
    assert isinstance(taken.exception, SystemFault) and "a name that is free" in str(
        taken.exception
    )
    assert run("export", bundle).exit_code == 2


def test_predict_and_python(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "The import"}\n{"text": "A class"}\n')
    done = run("predict", bundle, tmp_path / "texts.jsonl", "--json")
    assert done.exit_code == 0, done.output
    records = json.loads(done.stdout)["predictions"]
    assert [list(record) for record in records] == [["text"], ["text"]]
    assert load(bundle).predict([{"text": "A class"}]).records() == records[1:]


def damaged(bundle: Path, folder: Path, name: str, content: bytes) -> Path:
    """A copy with another content of one file, sealed again."""
    folder.mkdir()
    files: dict[str, bytes] = {}
    for path in bundle.rglob("*"):
        if path.is_file() and path.name != manifest.MANIFEST:
            files[path.relative_to(bundle).as_posix()] = path.read_bytes()
    files[name] = content
    for each, part in files.items():
        (folder / each).parent.mkdir(exist_ok=True)
        (folder / each).write_bytes(part)
    sealed = manifest.make("0", dict(files), "language")
    (folder / manifest.MANIFEST).write_bytes(sealed.rendered())
    return folder


def test_another_models_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    """Whole and sealed, but not the model whose texts were stored."""
    other = language_bundles.parts(language_bundles.checkpoint(seed=1)).model["model.gguf"]
    assert isinstance(other, bytes)
    changed = damaged(bundle, tmp_path / "other", "model.gguf", other)
    with pytest.raises(BundleError, match="log-probabilities within"):
        verify(changed)


DAMAGES = {
    "hf/tokenizer.json": (b"{}", "a tokenizer and a configuration"),
    "hf/tokenizer_config.json": (
        b'{"chat_template": "{% if"}',
        "a chat_template that cannot be read",
    ),
    "hf/config.json": (b'{"max_position_embeddings": 64}', "a context of 128"),
    "model.gguf": (b"GGUF\x03\0\0\0", "a whole head"),
    "parity.jsonl.gz": (b"none", "stored texts"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damages_are_refused(name: str, bundle: Path, tmp_path: Path) -> None:
    content, text = DAMAGES[name]
    with pytest.raises(BundleError, match=text):
        verify(damaged(bundle, tmp_path / "damaged", name, content))


def test_a_flipped_bit_of_the_weights_is_found(bundle: Path, tmp_path: Path) -> None:
    copy = damaged(bundle, tmp_path / "copy", "recipe.yaml", (bundle / "recipe.yaml").read_bytes())
    content = bytearray((copy / "model.gguf").read_bytes())
    content[-5] ^= 1
    (copy / "model.gguf").write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"model\.gguf: expected SHA-256"):
        load(copy)


def test_tokens_of_a_prompt_are_explained(bundle: Path) -> None:
    done = run("explain", bundle, "--prompt", "Hi, and now?", "--answer", " no", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert "".join(each["text"] for each in told["tokens"]).strip() == "Hi, and now?"
    assert told["answer"].strip() == "no"
    runtime = load(bundle).predictor.runtime
    model = runtime.language_model()  # type: ignore[attr-defined]
    answer = tuple(model.tokens.plain.encode(" no", add_special_tokens=False).ids)

    def logprob(text: str) -> float:
        ids = tuple(model.tokens.chat([{"role": "user", "content": text}]))
        whole = GenerationRequest(
            (*ids, *answer), 1, Sampling(temperature=0), logprobs=True, echo=True
        )
        return float(sum(model.complete(whole).logprobs[len(ids) :][: len(answer)]))

    assert told["logprob"] == pytest.approx(logprob("Hi, and now?"), abs=1e-3)
    assert told["without_prompt"] == pytest.approx(logprob(""), abs=1e-3)
    model.close()
    shown = run("explain", bundle, "--prompt", "Hi, and now?")
    assert "log-probability" in shown.output
    shown = run("explain", bundle, "--prompt", "Hi, and now?", "--method", "rollout")
    assert "from the template and the answer itself" in shown.output
    other = run("explain", bundle, "--prompt", "Hi", "--method", "exact")
    assert "takes --method auto, occlusion or rollout" in other.output
    for wrong, message in (("", "at least two tokens"), ("long " * 300, "tokens with its answer")):
        refused = run("explain", bundle, "--prompt", wrong, "--answer", "no")
        assert message in str(refused.exception)
