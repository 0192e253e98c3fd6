"""Adversarial training of the vocoder, from weights that the spectral distances alone have trained.

The discriminators learn alone for `wait` steps (the vocoder keeps its spectral loss), then what they think of the
vocoder is faded in over as many. It is weighted so that its gradient at the last layer of the vocoder has `share` of
the norm of the spectral loss (the adaptive weight of Esser et al., 2021, "Taming transformers"): no weight to search,
at any size of the networks.

`trainer.global_step` counts the vocoder's steps only, so that budgets and schedules mean what they mean elsewhere.
Shapes: B clips, N samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ditto.training.discriminators import Discriminators, deception_loss, matching_loss, recognition_loss
from ditto.training.vocoding import VocoderTraining

BETAS = (0.8, 0.99)  # of HiFi-GAN: a short memory, as the other side keeps moving


class AdversarialTraining(VocoderTraining):
    """Lightning module of vocoder (`network`, which has a last layer `head`) and discriminators, one optimiser each.

    share: of the spectral gradient's norm. matching: weight of feature matching beside the scores'. wait: steps.
    edge: samples at both ends of a crop that the discriminators do not see, as the vocoder lacks context there.
    clip: largest norm of a gradient. judge_lr: the discriminators' learning rate over `lr`.
    """

    def __init__(
        self,
        network: nn.Module,
        discriminators: Discriminators,
        share: float = 0.5,
        matching: float = 2.0,
        wait: int = 100,
        edge: int = 1024,
        clip: float = 1.0,
        judge_lr: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        self.automatic_optimization = False
        self.discriminators = discriminators
        self.share, self.matching, self.wait = share, matching, wait
        self.edge, self.clip, self.judge_lr = edge, clip, judge_lr

    def training_step(self, wave_BN: Tensor, step: int) -> None:
        made_BN = self.network(self.rough(self.clean_mel(wave_BN)))
        self._discriminators_step(made_BN.detach(), wave_BN)
        self._vocoder_step(made_BN, wave_BN)

    def recognition(self, made_BN: Tensor, wave_BN: Tensor) -> Tensor:
        """Loss of the discriminators; no gradient reaches the vocoder."""
        both = self.discriminators(torch.cat([self._inner(wave_BN), self._inner(made_BN.detach())]))
        real, made = ([[f.chunk(2)[k] for f in judged] for judged in both] for k in (0, 1))
        return recognition_loss(real, made)

    def adversarial(self, made_BN: Tensor, wave_BN: Tensor) -> Tensor:
        """Loss of the vocoder in the eyes of the discriminators, which get no gradient of it."""
        with torch.no_grad():
            real = self.discriminators(self._inner(wave_BN))
        with frozen(self.discriminators):
            made = self.discriminators(self._inner(made_BN))
        return deception_loss(made) + self.matching * matching_loss(real, made)

    def fade(self) -> float:
        """0 for `wait` steps, then rising to 1 over as many."""
        return min(1.0, max(0.0, self.global_step / self.wait - 1.0)) if self.wait else 1.0

    def _inner(self, wave_BN: Tensor) -> Tensor:
        return wave_BN[:, self.edge : wave_BN.shape[-1] - self.edge]

    def _discriminators_step(self, made_BN: Tensor, wave_BN: Tensor) -> None:
        # Lightning's wrapper would count this step in global_step; bf16 needs nothing else of it.
        _, optimizer = self.optimizers(use_pl_optimizer=False)  # type: ignore[misc]
        loss = self.recognition(made_BN, wave_BN)
        optimizer.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(self.discriminators.parameters(), self.clip)
        optimizer.step()
        self.log("train/recognition", loss, prog_bar=True)

    def _vocoder_step(self, made_BN: Tensor, wave_BN: Tensor) -> None:
        optimizer: Any = self.optimizers()[0]  # type: ignore[index]
        loss = self.spectral_loss(made_BN, wave_BN)
        (gradient,) = torch.autograd.grad(loss, made_BN)
        fade = self.fade()
        if fade > 0:
            adversarial = self.adversarial(made_BN, wave_BN)
            (other,) = torch.autograd.grad(adversarial, made_BN)
            weight = fade * self.share * self._norm_ratio(made_BN, gradient, other)
            gradient = gradient + weight * other
            self.log_dict({"train/adversarial": adversarial, "train/adversarial_weight": weight})
        optimizer.zero_grad()
        self.manual_backward(made_BN, gradient=gradient)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        optimizer.step()
        self.log("train/loss", loss, prog_bar=True)

    def _norm_ratio(self, made_BN: Tensor, gradient_BN: Tensor, other_BN: Tensor) -> Tensor:
        """Norm over norm of two gradients at the wave, carried back to the vocoder's last layer; at most 1e4."""
        head: Tensor = self.network.head.weight  # type: ignore[assignment, union-attr]
        first, second = (
            torch.autograd.grad(made_BN, head, one, retain_graph=True)[0].norm() for one in (gradient_BN, other_BN)
        )
        return (first / second.clamp(min=1e-12)).clamp(max=1e4)

    def configure_optimizers(self) -> Any:
        judges = {"params": list(self.discriminators.parameters()), "lr_scale": self.judge_lr}
        options = {"betas": BETAS, "weight_decay": self.weight_decay}
        return [
            torch.optim.AdamW(self.network.parameters(), self.lr, **options),  # type: ignore[arg-type]
            torch.optim.AdamW([judges], self.lr * self.judge_lr, **options),  # type: ignore[arg-type]
        ]


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, the parameters of the module take no gradients."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
