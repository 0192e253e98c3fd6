"""Training of the readout heads on a frozen base: few examples, uniform timesteps, all heads from one forward pass.

Luo et al. 2023 (arXiv 2312.02150): AdamW, learning rate 1e-3, no weight decay, 5000 steps of 8 examples, mean squared
error, t uniform. Here: the same; level and MFCCs by the mean squared error in units of their spread, pitch classes by
the negative log likelihood −Σ_p y_p log ŷ_p of their shares, so every head learns the posterior mean of what the
control measures. "Few examples" are windows of `examples` pieces of the training split.
Shapes: B clips, F mel bins, T frames, P = 12 pitch classes, D = 19 MFCCs or channels of a block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from baselines.readout_heads import Readings, ReadoutHeads, features_of, heads_for
from ditto.models.base import MusicModel
from ditto.training.control_clips import ControlData
from ditto.types import Condition, UserError

Batch = dict[str, Tensor]  # of ControlData: MUSIC, and the tensors of the condition
MUSIC = ("mel_BFT", "rms_db_BT", "chroma_BPT", "mfcc_BDT")
CALIBRATION_BATCHES = 16


class ReadoutTraining(pl.LightningModule):
    """`network` holds the heads; the base is no part of the checkpoint, its name and weights_hash are."""

    def __init__(self, base: MusicModel, lr: float = 1e-3, width: int = 32, rows: int = 20, hidden: int = 128) -> None:
        super().__init__()
        self.frozen = [base]  # in a list, so that it is no submodule: not averaged, not saved, not trained
        self.lr = lr
        self.network = heads_for(base, width, rows, hidden)

    @property
    def base(self) -> MusicModel:
        return self.frozen[0]

    def on_fit_start(self) -> None:
        self.base.to(self.device)
        if self.trainer.ckpt_path is None:
            train = self.trainer.datamodule.sets["train"]  # type: ignore[attr-defined]
            numbers = range(min(CALIBRATION_BATCHES, len(train)))
            self.calibrate([{key: value.to(self.device) for key, value in train[k].items()} for k in numbers])

    @torch.no_grad()
    def calibrate(self, batches: list[Batch]) -> None:
        """Set the constants that standardise features, level and MFCCs."""
        random = torch.Generator().manual_seed(0)
        seen: list[list[Tensor]] = [[] for _ in self.network.blocks]
        for batch in batches:
            t_B, noise = draw(batch, random)
            for block, feature in zip(seen, self.features(batch, t_B, noise), strict=True):
                block.append(feature.float())
        for constants, values in zip(self.network.blocks, seen, strict=True):
            constants.copy_(mean_and_scale(values))
        self.network.rms_db.copy_(mean_and_scale([batch["rms_db_BT"][:, None] for batch in batches]))
        self.network.mfcc.copy_(mean_and_scale([batch["mfcc_BDT"] for batch in batches]))

    @torch.no_grad()
    def features(self, batch: Batch, t_B: Tensor, noise: Tensor) -> list[Tensor]:
        """Of the base at x_t = √ᾱ_t x_0 + √(1−ᾱ_t) noise, t int64 [B] in 0..999."""
        x_t = self.base.schedule.add_noise(self.base.encode_mel(batch["mel_BFT"]), noise, t_B)
        return features_of(self.base, x_t, t_B, condition_of(batch))

    def losses(self, batch: Batch, t_B: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """The loss of each head, one value a clip [B]."""
        # The base computes in its own dtype and the heads in float32, as they do in guidance: no autocast.
        with torch.autocast(t_B.device.type, enabled=False):
            return head_losses(self.network, self.network(self.features(batch, t_B, noise), t_B), batch)

    def training_step(self, batch: Batch, step: int) -> Tensor:
        losses = self.losses(batch, *draw(batch))
        self.log_dict({f"train/{name}": loss.mean() for name, loss in losses.items()})
        total = torch.stack(list(losses.values())).sum(0).mean()
        self.log("train/loss", total, prog_bar=True)
        return total

    def validation_step(self, batch: Batch, step: int) -> None:
        # The same times and noise at every validation, so that the curve shows the heads and not the draw.
        losses = self.losses(batch, *draw(batch, torch.Generator().manual_seed(step)))
        means = {f"val/{name}": loss.mean() for name, loss in losses.items()}
        self.log_dict(means, prog_bar=True, sync_dist=True, batch_size=len(batch["mel_BFT"]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.network.parameters(), self.lr, weight_decay=0.0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        base = {"name": self.base.name, "weights_hash": self.base.weights_hash}
        checkpoint["readout"] = {"heads": self.network.config, "base": base}


class ExampleData(ControlData):
    """ControlData whose training windows come from `examples` pieces only, the same ones for a seed."""

    def __init__(self, data_root: str, examples: int = 100, **options: Any) -> None:
        super().__init__(data_root, **options)
        self.examples = examples
        if examples < 1:
            raise UserError(f"examples={examples}: give the number of training pieces, 1 or more")

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        starts = self.sets["train"].starts
        chosen = np.random.default_rng(self.hparams["seed"]).permutation(len(starts))[: self.examples]
        starts[np.setdiff1d(np.arange(len(starts)), chosen)] = 0  # drawn in proportion to this: never


def condition_of(batch: Batch) -> Condition:
    return Condition({name: value for name, value in batch.items() if name not in MUSIC})


def draw(batch: Batch, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Uniform t, int64 [B] in 0..999, and noise [B, 1, F, T]."""
    mel_BFT = batch["mel_BFT"]
    t_B = torch.randint(0, 1000, (len(mel_BFT),), generator=random)
    noise = torch.randn(mel_BFT[:, None].shape, generator=random, dtype=mel_BFT.dtype)
    return t_B.to(mel_BFT.device), noise.to(mel_BFT.device)


def head_losses(network: ReadoutHeads, readings: Readings, batch: Batch) -> dict[str, Tensor]:
    """Of the level and of the MFCCs the mean squared error over their variance, of the chroma the NLL in nats, [B]."""
    level = (readings.rms_db_BT - batch["rms_db_BT"]) / network.rms_db[1]
    mfcc = (readings.mfcc_BDT - batch["mfcc_BDT"]) / network.mfcc[1][:, None]
    nll_BT = -(batch["chroma_BPT"] * readings.log_chroma_BPT).sum(1)
    return {"rms_db": level.square().mean(1), "chroma": nll_BT.mean(1), "mfcc": mfcc.square().mean((1, 2))}


def mean_and_scale(values: list[Tensor]) -> Tensor:
    """Of each channel over batches of [B, D, ...]: [2, D]."""
    flat_DN = torch.cat([value.transpose(0, 1).flatten(1) for value in values], 1)
    return torch.stack([flat_DN.mean(1), flat_DN.std(1).clamp_min(1e-3)])
