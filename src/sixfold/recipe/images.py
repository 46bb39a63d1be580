"""What a model takes of a column of images: written by the fit on training rows, read by training
and serving alike.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from sixfold.recipe.encoded import EncodedInput

LARGEST_SIDE: Final = 1024  # pixels that an image may become a side


class ImageInput(EncodedInput):
    """One input of the graph that is made of a column of images: double [rows, height · width ·
    channels], values 0 to 255, the channels of a pixel side by side, pixels by rows.
    """

    height: int = Field(ge=1, le=LARGEST_SIDE, description="Pixels.")
    width: int = Field(ge=1, le=LARGEST_SIDE, description="Pixels.")
    channels: Literal[1, 3] = Field(description="1 is gray, 3 is color.")
    resize: str = Field(
        max_length=1 << 16, description="The ONNX graph that resizes an image, as base64."
    )

    @property
    def cells(self) -> int:
        """Features."""
        return self.height * self.width * self.channels

    def describe(self) -> str:
        """ "224 × 224, color" """
        return f"{self.height} × {self.width}, {'gray' if self.channels == 1 else 'color'}"
