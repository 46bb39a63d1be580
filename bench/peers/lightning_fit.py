"""Lightning: one network by `Trainer.fit`, with nothing switched on that the work does not need."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

from bench.child import Answer, serve


def start() -> Callable[[Answer], Answer]:
    import lightning
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")

    class Network(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
            )

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return functional.cross_entropy(self.layers(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), 1e-3, fused=True)

    def answer(question: Answer) -> Answer:
        with np.load(question["data"]) as data:
            x, y, x_held_out, y_held_out = (
                torch.from_numpy(data[name]) for name in ("x", "y", "x_held_out", "y_held_out")
            )
        started = time.perf_counter()
        module = Network()
        rows = DataLoader(TensorDataset(x, y), question["batch"], shuffle=True)
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=question["epochs"],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, rows)
        with torch.no_grad():
            right = (module.layers(x_held_out).argmax(1) == y_held_out).float().mean().item()
        return {"accuracy": right, "seconds": time.perf_counter() - started}

    return answer


if __name__ == "__main__":
    serve(start)
