"""Fits in a folder, for another process that makes them, too: arrays are written, and what stays on disk is named."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from sixfold.core.errors import FitError
from sixfold.parts.decoded_rows import DecodedRows
from sixfold.parts.fit import FeatureGroup, Features, Fit, Setting, Watch
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import ImageCache, StoredPixels
from sixfold.parts.sound_store import SoundCache, StoredSamples
from sixfold.parts.state import State
from sixfold.parts.stored_tokens import StoredTokens
from sixfold.parts.table import FloatArray, IntArray
from sixfold.parts.text_tokenizer import TextTokenizer
from sixfold.recipe.section import Section

DIGEST_BYTES = 32


@dataclass(frozen=True)
class SparseArrays(State):
    """A `csr_array`."""

    data: np.ndarray[Any, Any]
    indices: IntArray
    indptr: IntArray
    shape: tuple[int, int]

    def opened(self) -> csr_array:
        """As it was."""
        return csr_array((self.data, self.indices, self.indptr), shape=self.shape)


@dataclass(frozen=True)
class TokensPlace(State):
    """`StoredTokens`, by the place of their file."""

    path: str
    starts: IntArray
    sizes: IntArray
    rows: IntArray
    tokenizer: TextTokenizer
    whole: bool
    rejected: TokensPlace | None

    @classmethod
    def of(cls, tokens: StoredTokens) -> TokensPlace:
        """To be written."""
        return cls(
            str(tokens.path.absolute()),
            tokens.starts,
            tokens.sizes,
            tokens.rows,
            tokens.tokenizer,
            tokens.whole,
            None if tokens.rejected is None else cls.of(tokens.rejected),
        )

    def opened(self) -> StoredTokens:
        """As they were."""
        rejected = None if self.rejected is None else self.rejected.opened()
        return StoredTokens(
            Path(self.path),
            self.starts,
            self.sizes,
            self.rows,
            self.tokenizer,
            self.whole,
            rejected,
        )


@dataclass(frozen=True)
class PixelsPlace(State):
    """`StoredPixels`, by the place of their file. `digests`: uint8 [images of the file, DIGEST_BYTES]."""

    path: str
    shape: dict[str, int]
    digests: np.ndarray[Any, Any]
    rows: IntArray

    @classmethod
    def of(cls, pixels: StoredPixels) -> PixelsPlace:
        """To be written."""
        cache = pixels.cache
        path, digests = str(cache.path.absolute()), _digests_of(cache)
        return cls(path, asdict(cache.shape), digests, cache.rows)

    def opened(self) -> StoredPixels:
        """As they were."""
        shape: Any = ImageShape(**self.shape)  # type: ignore[arg-type]
        digests = tuple(row.tobytes() for row in self.digests)
        return StoredPixels(ImageCache(Path(self.path), digests, self.rows, shape))


@dataclass(frozen=True)
class SamplesPlace(State):
    """`StoredSamples`, by the place of their file. `digests`: uint8 [recordings of the file, DIGEST_BYTES]."""

    path: str
    samples: int
    digests: np.ndarray[Any, Any]
    rows: IntArray

    @classmethod
    def of(cls, stored: StoredSamples) -> SamplesPlace:
        """To be written."""
        cache = stored.cache
        path, digests = str(cache.path.absolute()), _digests_of(cache)
        return cls(path, cache.samples, digests, cache.rows)

    def opened(self) -> StoredSamples:
        """As they were."""
        digests = tuple(row.tobytes() for row in self.digests)
        return StoredSamples(SoundCache(Path(self.path), digests, self.rows, self.samples))


@dataclass(frozen=True)
class StoredSetting(State):
    """A `Setting`, by its fields; of the metric that is watched the name, as one process alone scores."""

    plain: dict[str, Any]
    watched: str
    greater_is_better: bool

    @classmethod
    def of(cls, setting: Setting) -> StoredSetting:
        """To be written."""
        watch = setting.watch
        found = {name: value for name, value in _fields(setting).items() if name != "watch"}
        if watch is None:
            return cls(found, "", False)
        return cls(found, watch.name, watch.greater_is_better)

    def opened(self) -> Setting:
        """As it was, but that a metric cannot be scored."""
        watch = Watch(self.watched, self.greater_is_better, scored_elsewhere)
        return Setting(**self.plain, watch=watch if self.watched else None)


@dataclass(frozen=True)
class StoredFit(State):
    """A `Fit`, by its fields. `x`: an array, or one of the classes above; `layout`: fields of each group."""

    plain: dict[str, Any]
    x: Any
    setting: StoredSetting
    layout: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, fit: Fit) -> StoredFit:
        """To be written. Raises FitError for features that another process cannot read."""
        own = ("x", "setting", "layout")
        return cls(
            {name: value for name, value in _fields(fit).items() if name not in own},
            _placed(fit.x),
            StoredSetting.of(fit.setting),
            tuple(asdict(group) for group in fit.layout),
        )

    def opened(self) -> Fit:
        """As it was."""
        return Fit(
            x=self.x if isinstance(self.x, np.ndarray) else self.x.opened(),
            setting=self.setting.opened(),
            layout=tuple(map(_group, self.layout)),
            **self.plain,
        )


@dataclass(frozen=True)
class StoredFits(State):
    """What a family is asked for. `numbers`: of the fits, among those that it was asked for."""

    family: Section
    numbers: tuple[int, ...]
    fits: tuple[StoredFit, ...]


def _digests_of(cache: DecodedRows) -> np.ndarray[Any, Any]:
    return np.frombuffer(b"".join(cache.digests), dtype=np.uint8).reshape(-1, DIGEST_BYTES)


def _fields(one: Fit | Setting) -> dict[str, Any]:
    """By name, as they are."""
    return {field.name: getattr(one, field.name) for field in fields(one)}


def scored_elsewhere(
    y: FloatArray | IntArray, predicted: FloatArray, weights: FloatArray | None
) -> float:
    """Raises FitError: a process that only helps in a training is told the score."""
    raise FitError(
        "train.stop.metric", "the run's own process, which scores", "another one", "Report it."
    )


def _placed(x: Features) -> Any:
    if isinstance(x, StoredTokens):
        return TokensPlace.of(x)
    if isinstance(x, StoredPixels):
        return PixelsPlace.of(x)
    if isinstance(x, StoredSamples):
        return SamplesPlace.of(x)
    if isinstance(x, csr_array):
        return SparseArrays(x.data, x.indices, x.indptr, (int(x.shape[0]), int(x.shape[1])))
    if isinstance(x, np.ndarray):
        return x
    raise FitError(
        "budget.data_parallel",
        "features that all processes can read",
        type(x).__name__,
        "Leave it out.",
    )


def _group(told: dict[str, Any]) -> FeatureGroup:
    image = told["image"]
    return FeatureGroup(**{**told, "image": None if image is None else ImageShape(**image)})
