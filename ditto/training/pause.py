"""Callbacks for a run in several loans of a machine: what it costs, when to stop, and what to leave behind."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from ditto.training.callbacks import spent_share


class Pause(Callback):
    """Stop this process after `hours` of training, or when a file `pause` appears in `folder`.

    Unlike the budget's, this time is not counted across resumes. The checkpoint is that of :class:`SaveLast`.
    """

    def __init__(self, folder: str, hours: float | None = None) -> None:
        self.file, self.hours = Path(folder) / "pause", hours
        self.start = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.start = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        late = self.hours is not None and time.monotonic() - self.start >= 3600 * self.hours
        if trainer.strategy.broadcast(late or self.file.exists()):
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.file.unlink(missing_ok=True)


class SaveLast(Callback):
    """The checkpoint at the end of a run, `last.ckpt`.

    It stands before the average of weights in the list of callbacks: at the end that one replaces the weights by their
    average, and a run that goes on later would go on from the average.
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "last.ckpt"

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        trainer.save_checkpoint(self.path)


class Speed(Callback):
    """A line on standard output now and then: step, clips a second, memory, loss, share of the budget."""

    def __init__(self, every_s: float = 20.0, skip: int = 3) -> None:
        self.every_s, self.skip = every_s, skip  # the first steps are slower: kernels are chosen

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.begin = trainer.global_step + self.skip
        self.since, self.step = time.monotonic(), self.begin

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        self.clips = clips_of(batch)
        if trainer.global_step <= self.begin:
            self.since, self.step = self._now(module), trainer.global_step
        elif time.monotonic() - self.since >= self.every_s:
            self._say(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.global_step > self.step:
            self._say(trainer, module)

    def _say(self, trainer: pl.Trainer, module: Any) -> None:
        now = self._now(module)
        speed = self.clips * trainer.world_size * (trainer.global_step - self.step) / max(now - self.since, 1e-9)
        loss = trainer.callback_metrics.get("train/loss", torch.tensor(torch.nan))
        memory = torch.cuda.max_memory_allocated(module.device) / 2**30 if module.device.type == "cuda" else 0.0
        if trainer.is_global_zero:
            print(
                f"step {trainer.global_step}: {speed:.1f} clips/s, loss {float(loss):.4f}, {memory:.1f} GiB, "
                f"{100 * spent_share(trainer):.1f} % of the budget",
                flush=True,
            )
        self.since, self.step = now, trainer.global_step

    def _now(self, module: Any) -> float:
        """Seconds, once the device has done what it was given."""
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        return time.monotonic()


def clips_of(batch: Any) -> int:
    """The size of a batch: a tensor, or a dict of them."""
    return len(next(iter(batch.values())) if isinstance(batch, dict) else batch)
