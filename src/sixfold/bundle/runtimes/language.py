"""The runtime of language models: OpenVINO GenAI generates from one GGUF file; the files of the checkpoint lie beside
it, for every other tool, and say how texts become tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from sixfold.bundle.gguf_header import check_gguf
from sixfold.bundle.language.model import LanguageRuntime
from sixfold.bundle.language.tokens import LARGEST, LanguageTokens
from sixfold.bundle.manifest import AGAIN, COMMON, GIB, PARITY, Sealed
from sixfold.core.errors import BundleError
from sixfold.recipe.section import Section
from sixfold.recipe.signature import Signature

FOLDER: Final = "hf"  # what transformers loads with from_pretrained
WEIGHTS: Final = f"{FOLDER}/model.safetensors"
GGUF: Final = "model.gguf"


class Settings(Section):
    """A language model, which goes on with texts."""

    files: ClassVar[Mapping[str, int]] = {
        **{f"{FOLDER}/{name}": size for name, size in LARGEST.items()},
        WEIGHTS: 256 * GIB,
        GGUF: 256 * GIB,
        PARITY: COMMON[PARITY],
    }
    on_disk: ClassVar[frozenset[str]] = frozenset({WEIGHTS, GGUF})
    model_file: ClassVar[str] = GGUF
    proves: ClassVar[str] = (
        f"{GGUF}: every tensor of the model inside, of its shape, and nothing else; {FOLDER}: its tokenizer is read"
    )

    def open(self, sealed: Sealed, signature: Signature) -> LanguageRuntime:
        """Raises BundleError for files that Sixfold does not write, or of two models."""
        path, where = sealed.large[GGUF], str(sealed.folder / FOLDER)
        header = check_gguf(path, path.stat().st_size)
        files = {name: sealed.files[f"{FOLDER}/{name}"] for name in LARGEST}
        tokens = LanguageTokens.of(files, where)
        rows, context = header.facts["tokenizer.ggml.tokens"], header.number("context_length")
        if tokens.size > rows or tokens.context != context:
            expected = f"at most {rows:,} tokens and a context of {context:,}, as in {GGUF}"
            found = f"{tokens.size:,} and {tokens.context:,}"
            raise BundleError(where, expected, found, AGAIN)
        return LanguageRuntime(path, header, tokens)
