"""OpenVINO GenAI by hand: the same GGUF file, precision and threads, prompts as token ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.child import Answer, serve


def start() -> Callable[[Answer], Answer]:
    import numpy as np
    import openvino
    import openvino_genai

    opened: dict[str, Any] = {}

    def open_pipeline(path: str, threads: int) -> Any:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size, scheduler.max_num_seqs = 1, 8
        scheduler.enable_prefix_caching = True
        exact = {
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
            "INFERENCE_NUM_THREADS": threads,
        }
        return openvino_genai.ContinuousBatchingPipeline(path, scheduler, "CPU", exact)

    def answer(question: Answer) -> Answer:
        path = question["path"]
        if path not in opened:
            opened.clear()
            opened[path] = open_pipeline(path, question["threads"])
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos = question["tokens"], True
        config.do_sample = config.apply_chat_template = False
        prompts = [openvino.Tensor(np.array([ids])) for ids in question["prompts"]]
        found = opened[path].generate(prompts, [config] * len(prompts))
        return {"ids": [list(each.m_generation_ids[0]) for each in found]}

    return answer


if __name__ == "__main__":
    serve(start)
