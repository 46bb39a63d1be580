"""How far the served language model is from the trained one: the proof of its bundle, asked before the receipt
is written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sixfold.bundle.manifest import PARITY, Sealed
from sixfold.bundle.runtimes.language import GGUF, Settings
from sixfold.bundle.write import LANGUAGE
from sixfold.recipe.signature import Signature


def worst_difference(files: Mapping[str, bytes], signature: Signature) -> float:
    """The largest difference of a token's log-probability on the stored texts. `files`: of the bundle's
    runtime. Raises BundleError where they disagree.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / GGUF).write_bytes(files[GGUF])
        held = {one: content for one, content in files.items() if one not in Settings.on_disk}
        sealed = Sealed(folder, LANGUAGE, held, {GGUF: folder / GGUF})
        with closing(Settings().open(sealed, signature)) as model:
            worst: float = model.prove(files[PARITY], str(folder / PARITY)).worst
    return worst
