"""How many tokens a language model sees at once: the same in training, in its file and in the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PLACES: Final = 2_048  # of transformers' configurations, where one says nothing


def context_of(config: Mapping[str, Any]) -> int:
    """Of a config.json: places, or a sliding window where one is used. Beyond a window the runtime
    would look where transformers does not.

    >>> context_of({"max_position_embeddings": 64, "model_type": "mistral", "sliding_window": 32})
    32
    """
    places = int(config.get("max_position_embeddings") or PLACES)
    window = config.get("sliding_window")
    uses = config.get("use_sliding_window", config.get("model_type") == "mistral")
    return min(places, int(window)) if uses and window else places
