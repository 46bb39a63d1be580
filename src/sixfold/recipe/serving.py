"""How `sixfold serve` answers for a bundle, where the command line says nothing else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sixfold.core.units import size_bytes
from sixfold.recipe.plugin_fields import name_of
from sixfold.recipe.section import Section

Neighbors = Literal["auto", "exact", "approximate"]


class Serve(Section):
    """Defaults of `sixfold serve` for the bundle."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    concurrency: int = Field(
        8, ge=1, le=1024, description="Requests in work at once; further ones wait or get a 503."
    )
    threads: int = Field(
        0, ge=0, le=256, description="Threads that generate text; 0: as many as there are cores."
    )
    max_rows: int = Field(10_000, ge=1, description="Rows a request.")
    max_body: str = Field("8MiB", description="Bytes a request.")
    neighbors: Neighbors = Field(
        "auto",
        description="How POST /recommend finds the best items: exact looks at all, approximate at some that usearch finds, auto "
        "at some of more than 100,000 where usearch is installed.",
    )
    runtime: Annotated[str, name_of("runtime")] | None = Field(
        None,
        description="What answers for the bundle, here and wherever it is loaded. Left out: onnx; language for "
        "task: generation, recommender for task: recommendation.",
    )

    @field_validator("max_body")
    @classmethod
    def _size(cls, value: str) -> str:
        size_bytes(value)
        return value
