"""Damaged heads of GGUF files: each is refused before a library sees it, and says where."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import language_bundles
from sixfold.bundle.gguf_header import check_gguf
from sixfold.core.errors import BundleError
from sixfold.package.gguf_file import gguf_bytes


@pytest.fixture(scope="module")
def content() -> bytes:
    return gguf_bytes(language_bundles.checkpoint(), "tiny")


def check(content: bytes, folder: Path) -> None:
    path = folder / "model.gguf"
    path.write_bytes(content)
    check_gguf(path, len(content))


def test_a_whole_file(content: bytes, tmp_path: Path) -> None:
    check(content, tmp_path)


DAMAGES = {
    "another magic": (lambda c: b"GGML" + c[4:], "a GGUF file of version 3"),
    "another version": (lambda c: c[:4] + struct.pack("<I", 2) + c[8:], "version 2"),
    "many tensors": (lambda c: c[:8] + struct.pack("<Q", 1 << 60) + c[16:], "tensors and"),
    "many facts": (lambda c: c[:16] + struct.pack("<Q", 1 << 60) + c[24:], "and 200 facts"),
    "a long name": (lambda c: c[:24] + struct.pack("<Q", 1 << 40) + c[32:], "128 bytes"),
    "cut short": (lambda c: c[:-1], "bytes; found"),
    "cut in the head": (lambda c: c[:1000], "a whole head"),
    "more behind it": (lambda c: c + b"\0" * 32, "bytes; found"),
    "empty": (lambda c: b"", "a whole head"),
    "another tensor": (
        lambda c: c.replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_ap.weight"),
        "blk.0.ffn_ap.weight",
    ),
    "other heads": (
        lambda c: c.replace(
            b"llama.attention.head_count\x04\0\0\0\x04\0\0\0",
            b"llama.attention.head_count\x04\0\0\0\x08\0\0\0",
        ),
        "of shape",
    ),
    "no heads for keys": (
        lambda c: c.replace(
            b"llama.attention.head_count_kv\x04\0\0\0\x02",
            b"llama.attention.head_count_kv\x04\0\0\0\0",
        ),
        "facts of a language model",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damages(name: str, content: bytes, tmp_path: Path) -> None:
    damage, text = DAMAGES[name]
    changed = damage(content)
    assert changed != content
    with pytest.raises(BundleError, match=text):
        check(changed, tmp_path)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 3000), value=st.integers(0, 255))
def test_any_byte(
    place: int, value: int, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing but a BundleError, whatever stands in the head."""
    changed = content[:place] + bytes([value]) + content[place + 1 :]
    path = tmp_path_factory.getbasetemp() / "any.gguf"
    path.write_bytes(changed)
    try:
        check_gguf(path, len(changed))
    except BundleError as error:
        assert "gguf" in str(error)
