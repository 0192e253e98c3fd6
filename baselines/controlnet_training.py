"""Training of a control branch on a frozen denoiser: `python -m ditto.training.train stage=controlnet hours=0.5`.

The loss is the base's own (ditto.training.diffusion), with the controls measured on the very music to be restored and
left open at random. The base computes in bf16 where the hardware does; no gradient of its weights is computed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from baselines.controlnet import Controlled
from baselines.controlnet_branch import ControlBranch, Controls
from baselines.controlnet_controls import intensity, mask_at_random, of_music
from ditto.controls.curves import SHAPES, shape_curve
from ditto.controls.intensity import Intensity
from ditto.models.embedded import Embedded, choose_dtype, load
from ditto.noise import noise
from ditto.sampling import DDIM
from ditto.training.diffusion import DenoiserTraining


class ControlNetTraining(DenoiserTraining):
    """Lightning module: `network` is the branch, `base` the frozen model (not part of the state, nor of its average).

    base: folder of exported weights (null: those shipped). drop, partial: see `mask_at_random`; 0.25 leaves both
    controls to about half of the clips and none to one in sixteen. new_layers: their learning rate over that of the
    copied encoder. Times lean further to the noisy side than the base's own (`time_mean`, `time_std`): level and tune
    are decided there. With the base's times, 470 steps of 16 clips and one rate for all, both controls together lowered
    the validation loss by 1 % only.
    """

    def __init__(
        self,
        base: str | None = None,
        lr: float = 5e-4,
        new_layers: float = 3.0,
        drop: float = 0.25,
        partial: float = 0.3,
        **options: Any,
    ) -> None:
        model = load(base, precision="float32")  # the copy is trained in full precision
        super().__init__(ControlBranch(model.network), lr, skip_scale=model.skip_scale, **options)
        self.mean_F.copy_(model.mean_F)
        self.sigma.copy_(model.sigma)
        self.drop, self.partial, self.new_layers = drop, partial, new_layers
        self._base = (model,)  # in a tuple, so that it is not registered
        self.weights_hash = model.weights_hash

    @property
    def base(self) -> Embedded:
        return self._base[0]

    def on_fit_start(self) -> None:
        """Move the base to where training happens, in the precision in which it will be used."""
        self.base.dtype = choose_dtype("auto", self.device)
        self.base.to(self.device).network.to(self.base.dtype)

    def controls(self, batch: dict[str, Tensor]) -> Controls:
        smoothing = self.base.clip.frames_of(Intensity.smoothing_s)
        return of_music(batch["rms_db_BT"], batch["chroma_BPT"], smoothing)

    def predict(self, batch: dict[str, Any], x_t: Tensor, t_B: Tensor) -> Tensor:
        frozen, text = self.base.network, (batch["tokens_BLD"], batch["mask_BL"], batch["pooled_BD"])
        residuals = self.network(frozen.patches(x_t), t_B, *text, batch["controls"])
        dtype = self.base.dtype
        with torch.autocast(x_t.device.type, enabled=False):
            text = (text[0].to(dtype), text[1], text[2].to(dtype))
            return frozen(x_t.to(dtype), t_B, *text, residuals.to(dtype))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        named = list(self.network.named_parameters())
        copied, new = ([p for name, p in named if name.startswith("encoder.") == old] for old in (True, False))
        groups: list[dict[str, Any]] = [
            {"params": copied},
            {"params": new, "lr": self.lr * self.new_layers, "lr_scale": self.new_layers},
        ]
        return torch.optim.AdamW(groups, self.lr, betas=(0.9, 0.99), weight_decay=self.weight_decay)

    def training_step(self, batch: dict[str, Any], step: int) -> Tensor:
        controls = mask_at_random(self.controls(batch), self.drop, self.partial)
        return super().training_step(batch | {"controls": controls}, step)

    def validation_step(self, batch: dict[str, Any], step: int) -> None:
        """val/loss with both controls in all frames; val/<control> with that one alone, val/none without any."""
        controls = self.controls(batch)
        super().validation_step(batch | {"controls": controls}, step)
        subsets: dict[str, Controls] = {name: {name: control} for name, control in controls.items()}
        for name, subset in (subsets | {"none": {}}).items():
            loss = self.validation_loss(batch | {"controls": subset}, step)
            self.log(f"val/{name}", loss, sync_dist=True, batch_size=len(batch["mel_BFT"]))


class SampleCurves(Callback):
    """At every validation, a clip of each prompt under one loudness curve each, as `samples/<step>.png`."""

    def __init__(self, folder: str, prompts: list[str], steps: int = 20, guidance_scale: float = 3.0) -> None:
        self.folder, self.prompts = Path(folder), list(prompts)
        self.sampler = DDIM(steps=steps, guidance_scale=guidance_scale)

    @torch.no_grad()
    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        base, B = module.base, len(self.prompts)
        shapes = [list(SHAPES)[k % len(SHAPES)] for k in range(B)]
        curves = np.stack([shape_curve(name, base.clip.frames, Intensity.low_db, Intensity.high_db) for name in shapes])
        db_BT = torch.tensor(curves, dtype=torch.float32, device=module.device)
        model = Controlled(base, module.network, {"intensity": intensity(db_BT, torch.ones_like(db_BT))})
        x_0 = self.sampler(model, noise(list(range(B)), base.shape, module.device), model.encode(self.prompts))
        rows = np.concatenate([clip[::-1] for clip in base.decode(x_0).float().cpu().numpy()])
        self.folder.mkdir(parents=True, exist_ok=True)
        matplotlib.image.imsave(self.folder / f"{trainer.global_step:07d}.png", rows, vmin=-10, vmax=2, cmap="magma")
