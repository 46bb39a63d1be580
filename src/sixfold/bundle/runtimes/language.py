"""The runtime of language models: the files of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from sixfold.bundle.manifest import GIB, MIB, Sealed
from sixfold.core.errors import BundleError
from sixfold.recipe.section import Section
from sixfold.recipe.signature import Signature

FOLDER: Final = "hf"  # what transformers loads with from_pretrained
WEIGHTS: Final = f"{FOLDER}/model.safetensors"


class Settings(Section):
    """A language model, which goes on with texts."""

    files: ClassVar[Mapping[str, int]] = {
        f"{FOLDER}/config.json": MIB,
        WEIGHTS: 256 * GIB,
        f"{FOLDER}/tokenizer.json": 64 * MIB,
        f"{FOLDER}/tokenizer_config.json": 4 * MIB,
        f"{FOLDER}/generation_config.json": MIB,
    }
    on_disk: ClassVar[frozenset[str]] = frozenset({WEIGHTS})
    proves: ClassVar[str] = f"{FOLDER}: the files of a checkpoint"

    def open(self, sealed: Sealed, signature: Signature) -> Any:
        """Raises BundleError: it answers no rows."""
        raise BundleError(
            str(sealed.folder),
            "a model that answers rows",
            "a language model",
            f"Load the folder {FOLDER} with transformers.",
        )
