"""The two pieces that an optimisation step is made of: a guided call of the network, and latents to sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ditto.build import build
from ditto.chain import Denoiser
from ditto.memory import GIB
from ditto.models.base import MusicModel
from ditto.types import Condition
from eval.efficiency.cases import Case

Piece = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pieces:
    """`call`: x_t [1, C, F, T] -> ε̂; `wave`: x_0 [1, C, F, T] -> [1, N]. Both work on any device the model is on."""

    model: MusicModel
    call: Piece
    wave: Piece

    def latent(self) -> Tensor:
        """A fresh x_t, of which gradients can be asked."""
        model = self.model
        x_t = torch.zeros(1, *model.shape, device=model.device, dtype=model.latent_dtype)
        return x_t.requires_grad_()


def pieces(case: Case, model: MusicModel, condition: Condition, null: Condition) -> Pieces:
    """Those of a model (the case's own, or one without values) at the first step of the case's chain."""
    sampler = build(case.options["sampler"], "sampler")
    t = sampler.levels(model.schedule)[0].t
    denoiser = Denoiser(model, condition.to(model.device), null.to(model.device), sampler.guidance_scale)
    return Pieces(model, lambda x_t: denoiser(x_t, t), model.wave)


def forward(piece: Piece, x: Tensor) -> Tensor:
    """The piece alone."""
    with torch.no_grad():
        return piece(x)


def backward(piece: Piece, x: Tensor) -> Tensor:
    """The gradient of the sum of the piece's output."""
    return torch.autograd.grad(piece(x).sum(), x)[0]


def checkpointed(piece: Piece) -> Piece:
    """The piece as `memory=checkpoint` runs it: kept are its inputs, and it runs again in the backward pass."""
    return lambda x: checkpoint(piece, x, use_reentrant=False, preserve_rng_state=False)


def gib(model: MusicModel) -> float:
    """Parameters and buffers of a model."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())) / GIB
