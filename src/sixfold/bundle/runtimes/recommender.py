"""The runtime of recommenders: arrays that score items, and NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from sixfold.bundle.manifest import GIB, Sealed
from sixfold.bundle.recommend import stored
from sixfold.bundle.recommend.runtime import RecommenderRuntime
from sixfold.recipe.section import Section
from sixfold.recipe.signature import Signature

FILE: Final = "recommender.safetensors"


class Settings(Section):
    """The best items for a user, a session, or like an item."""

    files: ClassVar[Mapping[str, int]] = {FILE: 2 * GIB - 1}
    proves: ClassVar[str] = (
        f"{FILE}: names, histories and scores of one number of users and items, every code inside"
    )

    def open(self, sealed: Sealed, signature: Signature) -> RecommenderRuntime:
        """Raises BundleError for a file that Sixfold does not write."""
        where = str(sealed.folder / FILE)
        return RecommenderRuntime(stored.read(sealed.files[FILE], where), where)
