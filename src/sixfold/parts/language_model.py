"""A trained language model: its weights, what they are put together by, and its tokenizer; as the files
of a checkpoint that every tool of that ecosystem reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save

from sixfold.core.cores import cores
from sixfold.parts.checkpoint_files import CONFIG, TOKENIZER, WEIGHTS
from sixfold.parts.fit import Features, OutputKind
from sixfold.parts.gguf_blocks import TensorData
from sixfold.parts.graph import Graph
from sixfold.parts.language_network import PackedNetwork, token_losses
from sixfold.parts.state import State
from sixfold.parts.stored_tokens import StoredTokens, stored_tokens
from sixfold.parts.table import LOSS_SUMS, FloatArray
from sixfold.parts.text_tokenizer import TOKENIZER_CONFIG, TextTokenizer
from sixfold.parts.token_windows import Span, filled, losses_of_texts, scoring_windows

GENERATION: Final = "generation_config.json"
AT_ONCE: Final = 1 << 22  # scores of tokens that are held at once by a thread: 16 MB


@dataclass(frozen=True)
class LanguageModel(State):
    """`config`: the text of config.json. `arrays`: name → float32 array, as transformers names and
    shapes them; arrays that are one and the same stand there once. `context`: tokens of a window that
    it was trained with. `stops`: ids that end an answer besides those that its tokenizer names. `blocks`:
    matrices of fewer bits as the served file holds them, of which `arrays` has the very numbers; () where
    nothing was quantized.
    """

    config: str
    arrays: dict[str, npt.NDArray[Any]]
    tokenizer: TextTokenizer
    context: int
    stops: tuple[int, ...] = ()
    blocks: tuple[TensorData, ...] = ()

    @property
    def output(self) -> OutputKind:
        """Sums (`parts.table.LOSS_SUMS`)."""
        return "value"

    def network(self) -> PackedNetwork:
        """The trained network, in evaluation."""
        return PackedNetwork(self.config).load(self.arrays)

    def predict(self, x: Features) -> FloatArray:
        """[rows, 3] of each text: the sum of −ln of its tokens' probabilities, how many these are, and
        bytes; of preferences their margin (`parts.table.MARGIN`) behind these. Each thread works on
        some windows, on which ones does not depend on their number.
        """
        tokens = stored_tokens(x)
        sums = self._sums(tokens)
        if tokens.rejected is None:
            return sums
        return np.column_stack([sums, self._sums(tokens.rejected)[:, 0] - sums[:, 0]])

    def _sums(self, tokens: StoredTokens) -> FloatArray:
        windows = scoring_windows(tokens.lengths.tolist(), self.context)
        size = max(1, AT_ONCE // (self.context * self.tokenizer.vocabulary))
        parts = [windows[first : first + size] for first in range(0, len(windows), size)]
        network, sums = self.network(), np.zeros((len(tokens), len(LOSS_SUMS)))
        sums[:, 2] = tokens.size_bytes

        def scored(part: Sequence[Sequence[Span]]) -> FloatArray:
            length = max(sum(span.stop - span.start for span in spans) for spans in part)
            batch = filled(part, tokens, length)
            with torch.no_grad():
                losses = token_losses(network(batch.x), batch.y)
            return losses_of_texts(part, losses, batch.y, len(tokens))

        with ThreadPoolExecutor(cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for found in pool.map(scored, parts):
                sums[:, :2] += found
        return sums

    def export(self, graph: Graph, x: str) -> str:
        """A language model is no graph of this kind: its bundle holds its files (`files`)."""
        raise TypeError("a language model is packed as the files of a checkpoint")

    @property
    def fields(self) -> dict[str, Any]:
        """Of the configuration."""
        return json.loads(self.config)  # type: ignore[no-any-return]

    def files(self) -> dict[str, bytes]:
        """Name → content: what transformers loads with from_pretrained(folder)."""
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        generation = {
            "bos_token_id": self.tokenizer.start,
            "eos_token_id": self.ends,
            "pad_token_id": self.tokenizer.padding,
        }
        return {
            CONFIG: self.config.encode(),
            WEIGHTS: save(arrays, {"format": "pt"}),
            TOKENIZER: self.tokenizer.model.encode(),
            TOKENIZER_CONFIG: self.tokenizer.config.encode(),
            GENERATION: (json.dumps(generation, indent=1) + "\n").encode(),
        }

    @property
    def ends(self) -> list[int]:
        """Ids after which nothing follows: of a text, and of an answer in a chat."""
        message = self.tokenizer.id_of("<|im_end|>")
        return sorted({self.tokenizer.end, *self.stops, *([] if message is None else [message])})

    def parameters(self) -> dict[str, npt.NDArray[np.float64]]:
        """Name → array of every learned number."""
        return {name: array.astype(np.float64) for name, array in self.arrays.items()}

    def with_parameters(self, parameters: dict[str, npt.NDArray[np.float64]]) -> Self:
        """The same model with other numbers of the same shapes."""
        arrays = {name: array.astype(np.float32) for name, array in parameters.items()}
        return replace(self, arrays=arrays, blocks=())
