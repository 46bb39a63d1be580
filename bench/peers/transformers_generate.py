"""`generate` of transformers: the checkpoint's folder, single precision, all prompts of a length in one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.child import Answer, serve


def start() -> Callable[[Answer], Answer]:
    import torch
    from transformers import AutoModelForCausalLM

    opened: dict[str, Any] = {}

    def answer(question: Answer) -> Answer:
        torch.set_num_threads(question["threads"])
        path, tokens = question["path"], question["tokens"]
        if path not in opened:
            opened[path] = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        ids = torch.tensor(question["prompts"])
        with torch.inference_mode():
            found = opened[path].generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                pad_token_id=0,
            )
        return {"ids": found[:, ids.shape[1] :].tolist()}

    return answer


if __name__ == "__main__":
    serve(start)
