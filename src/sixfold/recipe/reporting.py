"""The section `report` of a recipe."""

from __future__ import annotations

from pydantic import Field

from sixfold.recipe.section import Section


class Reporting(Section):
    """What the report shows besides figures."""

    examples: int = Field(
        12,
        ge=0,
        le=50,
        description="Training rows in each list of the report (the most wrong, the most unsure, a cell of the confusion "
        "matrix), as they are: 0 where nobody who reads the report may see the data.",
    )
    questions: str | None = Field(
        None,
        description="Of a language model: a file of JSON lines, {prompt or messages, answer, choices}, that it is asked "
        "before and after tuning; relative to where the command is started.",
    )
