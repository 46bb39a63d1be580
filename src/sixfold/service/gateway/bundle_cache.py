"""Bundles on this machine's disk, verified when they are fetched, once each."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from sixfold.service.ports.artifacts import Artifacts


@dataclass
class BundleCache:
    """`folder`: a bundle each, by the digest of its tree."""

    artifacts: Artifacts
    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bundle(self, tree: str) -> Path:
        """Where it is. Raises NotFound, Unprocessable."""
        there = self.folder / tree
        with self._lock:
            if not there.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                self.artifacts.fetch_tree(tree, there)
        return there
