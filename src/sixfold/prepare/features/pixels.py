"""Images as their pixels, all of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sixfold.bundle.images import Channels
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import survey
from sixfold.parts.table import Table
from sixfold.prepare.image_block import ImageBlock
from sixfold.prepare.step import Role, Takes
from sixfold.recipe.images import LARGEST_SIDE
from sixfold.recipe.section import Section


class Settings(Section):
    """The pixels of an image, 0 to 255: the middle of it, resized to a square. Left out, the size
    is the median of the shorter sides of the training images (224 at most), and gray where none of
    them has colors.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"image"})
    role: ClassVar[Role] = "change"

    side: Literal["auto"] | Annotated[int, Field(ge=4, le=LARGEST_SIDE)] = Field(
        "auto", description=f"Pixels a side, 4 to {LARGEST_SIDE}, or auto."
    )
    color: Literal["auto"] | bool = Field("auto", description="Whether colors are kept, or auto.")

    def shape(self, names: Sequence[str]) -> ImageShape:
        """What every image becomes, of these training images."""
        asked: Channels = 3 if self.color is True else 1
        if self.side != "auto" and self.color != "auto":
            return ImageShape(self.side, self.side, asked)
        found, _ = survey(names)
        side = found.height if self.side == "auto" else self.side
        return ImageShape(side, side, found.channels if self.color == "auto" else asked)

    def block(self, name: str, table: Table) -> ImageBlock:
        """Fit on the images of `table`."""
        shape = self.shape(table.columns[name].strings())
        return ImageBlock((name,), shape.height, shape.width, shape.channels)
