"""Training of the denoiser on a cosine path: x_0_hat = c_skip x_t + c_out F, squared error of F.

x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise, with the schedule of Nichol & Dhariwal (2021) as diffusers builds it.
x_0-prediction suits patched inputs at high noise: the network need not carry the noise through its narrow first layer
(Li & He, 2025, arXiv 2511.13720); near clean data x_t is let through (ditto.models.precondition). The error of F is
that of x_0_hat over c_out^2, which is the noise variance at low noise and 1 at high noise.
Time indices follow a logit-normal (Esser et al., 2024) that leans to the noisy side, where a song's form is decided.
Shapes: B clips, C = 1, F mel bins, T frames.
"""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ditto.models.precondition import precondition
from ditto.schedules import diffusers_schedule
from ditto.training.optimizers import MakeOptimizer, adamw


class DenoiserTraining(pl.LightningModule):
    """Lightning module around a network as :class:`ditto.models.unet.SpectrogramUNet` and the data statistics.

    `mean_F` (per mel bin) and `sigma` map log-mels to x_0 = (mel - mean) / sigma; they are set from the training split
    before the first step and travel with the weights.
    """

    mean_F: Tensor
    sigma: Tensor
    alphas_cumprod: Tensor

    def __init__(
        self,
        network: nn.Module,
        lr: float = 6e-4,
        weight_decay: float = 0.01,
        time_mean: float = 0.4,
        time_std: float = 1.2,
        skip_scale: float = 0.25,
        optimizer: MakeOptimizer = adamw,
    ) -> None:
        super().__init__()
        self.network, self.optimizer = network, optimizer
        self.lr, self.weight_decay = lr, weight_decay
        self.time_mean, self.time_std, self.skip_scale = time_mean, time_std, skip_scale
        self.register_buffer("mean_F", torch.zeros(160))
        self.register_buffer("sigma", torch.ones(()))
        self.register_buffer("alphas_cumprod", diffusers_schedule().alphas_cumprod.float(), persistent=False)

    def on_fit_start(self) -> None:
        if self.trainer.ckpt_path is None:
            sample = torch.cat([self.trainer.datamodule.sets["train"][k]["mel_BFT"] for k in range(8)])  # type: ignore[attr-defined]
            self.mean_F.copy_(sample.mean(dim=(0, 2)))
            self.sigma.copy_((sample - sample.mean(dim=(0, 2))[:, None]).std())

    def loss(self, batch: dict[str, Tensor], t_B: Tensor, noise: Tensor) -> Tensor:
        """Squared error of F, one value a clip [B]."""
        x_0 = ((batch["mel_BFT"] - self.mean_F[:, None]) / self.sigma)[:, None]
        abar = self.alphas_cumprod[t_B][:, None, None, None]
        x_t = abar.sqrt() * x_0 + (1 - abar).sqrt() * noise
        c_skip, c_out = precondition(abar, self.skip_scale)
        F = self.predict(batch, x_t, t_B).float()
        return (F - (x_0 - c_skip * x_t) / c_out).square().mean(dim=(1, 2, 3))

    def predict(self, batch: dict[str, Tensor], x_t: Tensor, t_B: Tensor) -> Tensor:
        """F [B, 1, F, T]."""
        return self.network(x_t, t_B, batch["tokens_BLD"], batch["mask_BL"], batch["pooled_BD"])

    def training_step(self, batch: dict[str, Tensor], step: int) -> Tensor:
        mel_BFT = batch["mel_BFT"]
        draw = torch.randn(len(mel_BFT), device=mel_BFT.device) * self.time_std + self.time_mean
        t_B = (torch.sigmoid(draw) * 1000).long().clamp(0, 999)
        loss = self.loss(batch, t_B, torch.randn_like(mel_BFT)[:, None]).mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], step: int) -> None:
        loss = self.validation_loss(batch, step)
        self.log("val/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["mel_BFT"]))

    def validation_loss(self, batch: dict[str, Tensor], step: int) -> Tensor:
        """The mean loss of batch `step` over all times."""
        # The same times and noise at every validation, so that the curve shows the model and not the draw.
        generator = torch.Generator().manual_seed(step)
        B, F, T = batch["mel_BFT"].shape
        t_B = ((torch.arange(B) + 0.5) / B * 1000).long().to(self.device)
        noise = torch.randn(B, 1, F, T, generator=generator).to(self.device)
        return self.loss(batch, t_B, noise).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.network, self.lr, self.weight_decay)
