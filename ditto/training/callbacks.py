"""Lightning callbacks of the training: a learning rate that fits a time budget, and pictures of samples on the way."""

import copy
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytorch_lightning as pl
import soundfile
import torch
from pytorch_lightning.callbacks import Callback, Timer, WeightAveraging
from torch import Tensor

from ditto.models.text import shared_text_encoder
from ditto.training.diffusion import DenoiserTraining


class BudgetSchedule(Callback):
    """Warm-up, constant, then linear decay to zero over the last part of the budget (Hu et al., 2024, "WSD").

    The budget is whatever runs out first, the trainer's `max_steps` or the hours of its `Timer`; the time a Timer has
    counted is part of every checkpoint, so a resumed run goes on with the same curve. A parameter group of the
    optimisers may scale it by its `lr_scale`.
    """

    def __init__(self, warmup_steps: int = 100, decay: float = 0.3) -> None:
        self.warmup_steps, self.decay = warmup_steps, decay

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, index: int) -> None:
        warm = min(1.0, (trainer.global_step + 1) / self.warmup_steps)
        cool = min(1.0, (1.0 - spent_share(trainer)) / self.decay)
        lr = module.lr * warm * max(cool, 0.0)
        for group in (group for optimizer in trainer.optimizers for group in optimizer.param_groups):
            group["lr"] = lr * group.get("lr_scale", 1.0)
        module.log("train/lr", lr)


def spent_share(trainer: pl.Trainer) -> float:
    """Share of the budget that is used up, in steps or in time, whichever is further on."""
    shares = [trainer.global_step / trainer.max_steps if trainer.max_steps > 0 else 0.0]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and callback.time_remaining() is not None:
            elapsed, left = callback.time_elapsed(), callback.time_remaining() or 0.0
            shares.append(elapsed / max(elapsed + left, 1e-9))
    return min(1.0, max(shares))


class WarmAverage(WeightAveraging):
    """Exponential moving average of the weights, its decay (1 + n) / (10 + n) after n updates, at most `decay`.

    A fixed decay would leave the average of a short run at its first weights.
    """

    def __init__(self, decay: float = 0.999) -> None:
        def average(averaged: list[Tensor], current: list[Tensor], n: Tensor | int) -> None:
            # All tensors of a kind at once: one by one, a GPU waits for the count and for hundreds of launches a step.
            share = min(decay, (1 + int(n)) / (10 + int(n)))
            if averaged[0].is_floating_point():
                torch._foreach_lerp_(averaged, current, 1 - share)
            else:
                torch._foreach_copy_(averaged, current)

        super().__init__(use_buffers=True, multi_avg_fn=average)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None


class SampleMels(Callback):
    """At every validation, x_0 of a few prompts by DDIM, as a picture `samples/<step>.png` (one clip a row)."""

    def __init__(self, folder: str, prompts: list[str], steps: int = 20, guidance_scale: float = 3.0) -> None:
        self.folder, self.prompts = Path(folder), list(prompts)
        self.steps, self.guidance_scale = steps, guidance_scale

    @torch.no_grad()
    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        mel_BFT = sample_mels(module, self.prompts, self.steps, self.guidance_scale).float().cpu().numpy()
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = np.concatenate([clip[::-1] for clip in mel_BFT], axis=0)
        matplotlib.image.imsave(self.folder / f"{trainer.global_step:07d}.png", rows, vmin=-10, vmax=2, cmap="magma")


class SampleWave(Callback):
    """At every validation, one clip through log-mel and vocoder as `samples/<step>.flac`, to listen to."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    @torch.no_grad()
    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        wave_BN = next(iter(trainer.datamodule.val_dataloader()))[:1].to(module.device)  # type: ignore[attr-defined]
        self.folder.mkdir(parents=True, exist_ok=True)
        made = module.network(module.mel(wave_BN))[0].float().cpu().numpy()
        soundfile.write(self.folder / f"{trainer.global_step:07d}.flac", made, 22050)


def sample_mels(module: DenoiserTraining, prompts: list[str], steps: int, guidance_scale: float) -> torch.Tensor:
    """prompts -> mel_BFT with the weights being trained; the same noise every time, so that pictures compare."""
    from ditto.models.embedded import Embedded
    from ditto.noise import noise
    from ditto.sampling import DDIM

    network: Any = copy.deepcopy(module.network)  # Embedded freezes what it is given
    model = Embedded(network, None, shared_text_encoder(), module.mean_F, module.sigma, skip_scale=module.skip_scale)
    x_T = noise(list(range(len(prompts))), model.shape, module.device)
    x_0 = DDIM(steps=steps, guidance_scale=guidance_scale)(model, x_T, model.encode(prompts))
    return model.decode(x_0)
