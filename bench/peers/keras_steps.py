"""Keras 3: full-batch steps of a tiny network by `train_on_batch`, on the backend of
KERAS_BACKEND.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.child import Answer, serve


def start() -> Callable[[Answer], Answer]:
    import keras
    import numpy as np

    def answer(question: Answer) -> Answer:
        with np.load(question["data"]) as data:
            rows, first, first_bias, second, second_bias = (
                data[f"arr_{number}"] for number in range(5)
            )
        keras.utils.clear_session(free_memory=False)
        started = time.perf_counter()
        width = rows.shape[1]
        model = keras.Sequential(
            [
                keras.Input((width,)),
                keras.layers.Dense(width, activation="relu"),
                keras.layers.Dense(width),
            ]
        )
        model.set_weights([first.T, first_bias, second.T, second_bias])
        model.compile(keras.optimizers.Adam(1e-3), "mse")
        for _ in range(question["steps"]):
            model.train_on_batch(rows, rows)
        loss = float(np.mean((model.predict_on_batch(rows) - rows) ** 2))
        return {"loss": loss, "seconds": time.perf_counter() - started}

    return answer


if __name__ == "__main__":
    serve(start)
