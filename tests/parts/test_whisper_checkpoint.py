"""Local checkpoints of Whisper: tiny ones are saved as transformers does, read, and refused where they are
damaged or something else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperProcessor, WhisperTokenizer

import tiny_whisper
from sixfold.core.errors import DataError
from sixfold.parts.whisper_checkpoint import (
    StackShape,
    WhisperShape,
    digest,
    read_decoding,
    read_tokens,
    read_whisper_shape,
    read_whisper_weights,
)
from sixfold.parts.whisper_mel import WhisperMel, slaney_filters

EN, DE = tiny_whisper.NUMBERS["<|en|>"], tiny_whisper.NUMBERS["<|de|>"]
TASK, UNTIMED = (tiny_whisper.NUMBERS[name] for name in ("<|transcribe|>", "<|notimestamps|>"))
COUNT = len(tiny_whisper.NUMBERS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("checkpoint")
    tiny_whisper.write(made)
    return made


def copied(folder: Path, to: Path, name: str, changed: dict[str, Any]) -> Path:
    """The same folder, of whose file `name` some fields are others."""
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    (to / name).write_text(json.dumps(json.loads((folder / name).read_text()) | changed))
    return to


def recordings(samples: int) -> Any:
    """int16 [3, samples]: loud, quiet, and silent behind its first half."""
    rows = np.random.default_rng(0).normal(size=(3, samples)) * np.array([[6e3], [20], [900]])
    rows[2, samples // 2 :] = 0
    return np.rint(rows).astype(np.int16)


@pytest.mark.parametrize(("bands", "samples"), [(80, 12_000), (80, 16_000), (128, 999)])
def test_spectrograms_are_those_of_transformers_extractor(bands: int, samples: int) -> None:
    made, rows = tiny_whisper.extractor(bands), recordings(samples)
    np.testing.assert_allclose(slaney_filters(bands), made.mel_filters.T, rtol=0, atol=1e-9)
    given = list(rows / np.float32(32768))
    wanted = made(given, sampling_rate=tiny_whisper.RATE, return_tensors="np")["input_features"]
    mel = WhisperMel(bands, samples, 16_000)
    found = mel.spectrograms(torch.from_numpy(rows.astype(np.float32)))
    assert found.shape == wanted.shape == (3, bands, mel.frames)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=2e-4)


def test_what_it_is_put_together_by_is_read(folder: Path) -> None:
    found = read_whisper_shape(folder)
    encoder, decoder = StackShape(2, 2, 24), StackShape(2, 4, 20)
    assert found == WhisperShape(80, 16, encoder, decoder, COUNT, 50, 24)
    assert (found.frames, found.samples) == (100, 16_000)


def test_a_processor_that_newer_versions_save_is_read(tmp_path: Path) -> None:
    """Extractor and tokenizer as transformers writes them together, beside the model."""
    tiny_whisper.write(tmp_path, parts=True)
    for name in ("preprocessor_config.json", "vocab.json", "merges.txt", "added_tokens.json"):
        (tmp_path / name).unlink()
    pieces = {name: tiny_whisper.NUMBERS[name] for name in tiny_whisper.PIECES}
    tokenizer = WhisperTokenizer(vocab=pieces, merges=tiny_whisper.MERGES)
    tokenizer.add_special_tokens({"additional_special_tokens": tiny_whisper.SPECIAL[1:]})
    WhisperProcessor(tiny_whisper.extractor(), tokenizer).save_pretrained(tmp_path)
    assert read_whisper_shape(tmp_path).samples == 16_000 and len(digest(tmp_path)) == 64
    found = read_tokens(tmp_path, COUNT)
    assert found.encode("ae (é)") == tiny_whisper.tokenizer().encode(" ae (é)").ids
    assert read_decoding(tmp_path, found, "de").prompt == (tiny_whisper.START, DE, TASK, UNTIMED)


@pytest.mark.parametrize("parts", [False, True])
def test_tokens_are_those_of_its_tokenizer(parts: bool, tmp_path: Path) -> None:
    """As one file, or as the older ones."""
    tiny_whisper.write(tmp_path, parts=parts)
    found, own = read_tokens(tmp_path, COUNT), tiny_whisper.tokenizer()
    assert found.languages == ("de", "en")
    for text in ("ae a", "Grüße, 猫 and (é)", "e", "<|en|>a"):
        numbers = found.encode(text)
        assert numbers == own.encode(f" {text}").ids
        spelled = own.decode(numbers, skip_special_tokens=True)
        assert found.spelled(numbers) == spelled.removeprefix(" ")
    assert [found.pieces[number] for number in (EN, tiny_whisper.END)] == ["", ""]


@pytest.mark.parametrize(
    ("language", "told", "prompt"),
    [
        ("en", {}, [EN, TASK, UNTIMED]),
        (None, {"language": "<|de|>"}, [DE, TASK, UNTIMED]),
        ("en", {"language": "de"}, [EN, TASK, UNTIMED]),
        (None, {"forced_decoder_ids": [[1, DE], [2, TASK]]}, [DE, TASK, UNTIMED]),
    ],
)
def test_the_prompt_names_the_language_and_the_task(
    language: str | None, told: dict[str, Any], prompt: list[int], tmp_path: Path
) -> None:
    tiny_whisper.write(tmp_path, told=told)
    found = read_decoding(tmp_path, read_tokens(tmp_path, COUNT), language)
    assert found.prompt == (tiny_whisper.START, *prompt)
    numbers = tiny_whisper.NUMBERS
    assert (found.end, found.suppressed) == (tiny_whisper.END, (numbers["("], numbers[")"]))
    assert found.suppressed_first == tuple(sorted((numbers["Ġ"], tiny_whisper.END)))


def test_a_checkpoint_of_one_language_is_asked_for_none(tmp_path: Path) -> None:
    """Though its tokenizer names several, as those of the published ones for English do."""
    tiny_whisper.write(tmp_path, told={"is_multilingual": False})
    found = read_tokens(tmp_path, COUNT)
    assert read_decoding(tmp_path, found, None).prompt == (tiny_whisper.START, UNTIMED)
    with pytest.raises(DataError, match="no language, as the checkpoint knows one alone"):
        read_decoding(tmp_path, found, "en")


@pytest.mark.parametrize(("language", "prompt"), [(None, [UNTIMED]), ("de", [DE, TASK, UNTIMED])])
def test_without_what_says_so_a_small_one_knows_the_language_that_is_asked_for(
    language: str | None, prompt: list[int], tmp_path: Path
) -> None:
    tiny_whisper.write(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    found = read_decoding(tmp_path, read_tokens(tmp_path, COUNT), language)
    assert found.prompt == (tiny_whisper.START, *prompt)
    assert found.suppressed == found.suppressed_first == ()


@pytest.mark.parametrize("language", [None, "fr"])
def test_a_language_has_to_be_one_that_it_knows(language: str | None, folder: Path) -> None:
    with pytest.raises(DataError, match=r"build\.language, one of de, en; found (none|'fr')\."):
        read_decoding(folder, read_tokens(folder, COUNT), language)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"eos_token_id": tiny_whisper.START}, "eos_token_id that is no token of the prompt"),
        ({"eos_token_id": None}, f"eos_token_id below {COUNT}; found None"),
        ({"decoder_start_token_id": COUNT}, f"decoder_start_token_id below {COUNT}; found {COUNT}"),
    ],
)
def test_a_text_begins_and_ends_with_tokens_that_there_are(
    changed: dict[str, Any], problem: str, folder: Path, tmp_path: Path
) -> None:
    copied(folder, tmp_path, "generation_config.json", changed)
    with pytest.raises(DataError, match=problem):
        read_decoding(tmp_path, read_tokens(tmp_path, COUNT), "en")


@pytest.mark.parametrize(
    ("name", "changed", "problem"),
    [
        ("config.json", {"model_type": "wav2vec2"}, "a model_type of whisper; found 'wav2vec2'"),
        ("config.json", {"activation_function": "relu"}, "activation_function gelu; found 'relu'"),
        ("config.json", {"d_model": "16"}, "d_model of 1 and more; found '16'"),
        ("config.json", {"encoder_attention_heads": 3}, "a width of 16 that its heads divide"),
        ("config.json", {"decoder_layers": 10**9}, "decoder_layers of at most"),
        ("config.json", {"num_mel_bins": 128}, "feature_size 128, the num_mel_bins of config.json"),
        ("config.json", {"max_source_positions": 1500}, "n_samples 480,000, of the max_source"),
        ("preprocessor_config.json", {"sampling_rate": 8000}, "sampling_rate 16000; found 8000"),
        ("preprocessor_config.json", {"feature_size": 64}, "feature_size 80"),
        ("preprocessor_config.json", {"dither": 0.1}, r"dither 0\.0; found 0\.1"),
    ],
)
def test_another_folder_is_refused(
    name: str, changed: dict[str, Any], problem: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=problem):
        read_whisper_shape(copied(folder, tmp_path, name, changed))


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path, "config.json", {})
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"found no {name}"):
        read_whisper_shape(tmp_path)
    with pytest.raises(DataError, match=f"found no {name}"):
        digest(tmp_path)


def test_weights_have_to_be_there_and_fit(folder: Path) -> None:
    sizes = {"encoder.conv1.weight": torch.Size([16, 80, 3])}
    found = read_whisper_weights(folder, sizes)
    assert found["encoder.conv1.weight"].shape == sizes["encoder.conv1.weight"]
    for other in ({"encoder.conv1.weight": torch.Size([16, 80, 5])}, {"none": torch.Size([1])}):
        with pytest.raises(DataError, match=f"none that fit for {next(iter(other))}"):
            read_whisper_weights(folder, sizes | other)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "tokenizer.json"),
        ('{"model": {"type": "Unigram"}}', "a tokenizer; found"),
        (None, "tokenizer.json, or vocab.json and merges.txt; found none"),
    ],
)
def test_a_folder_without_its_tokenizer_is_refused(
    content: str | None, problem: str, folder: Path, tmp_path: Path
) -> None:
    copied(folder, tmp_path, "config.json", {})
    (tmp_path / "tokenizer.json").unlink()
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=problem):
        read_tokens(tmp_path, COUNT)


def test_more_tokens_than_the_network_has_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=f"at most {COUNT - 1} tokens; found {COUNT}"):
        read_tokens(folder, COUNT - 1)


def test_every_file_decides_about_the_digest(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path, "config.json", {})
    before = digest(tmp_path)
    for name in ("generation_config.json", "tokenizer.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + " ")
        assert digest(tmp_path) != before
        before = digest(tmp_path)
