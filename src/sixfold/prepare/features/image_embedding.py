"""Images as the embeddings of a local checkpoint: numbers that every family takes. Nothing is
learned from the training rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sixfold.parts import image_checkpoint
from sixfold.parts.table import Table
from sixfold.prepare.embedded_images import EmbeddedImages, fit_embedded
from sixfold.prepare.step import Role, Takes
from sixfold.recipe.section import Section


class Settings(Section):
    """What a local checkpoint of ViT's, DeiT's, ConvNeXt's or ResNet's kind makes of an image: some
    hundred numbers that say what it shows, for every family. The folder holds config.json,
    model.safetensors and preprocessor_config.json; it travels in the bundle.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"image"})
    role: ClassVar[Role] = "change"

    checkpoint: str = Field(
        min_length=1,
        description="The checkpoint's folder; relative to where the command is started.",
    )

    def content_digest(self) -> str:
        """SHA-256 of what the folder holds: part of what a stage depends on."""
        return image_checkpoint.digest(Path(self.checkpoint))

    def block(self, name: str, table: Table) -> EmbeddedImages:
        """Reads the folder, and no image. Raises DataError for a folder that is no such
        checkpoint.
        """
        return fit_embedded(name, Path(self.checkpoint))
