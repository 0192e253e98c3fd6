"""Optimisers of the training, as `optimizer` in conf/stage names them: (module, lr, weight_decay) -> optimiser."""

from collections.abc import Callable

import torch
from torch import nn

from ditto.training.muon import MuonAdamW, hidden_weights

MakeOptimizer = Callable[[nn.Module, float, float], torch.optim.Optimizer]
BETAS = (0.9, 0.99)


def adamw(module: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW on all weights."""
    return torch.optim.AdamW(module.parameters(), lr, betas=BETAS, weight_decay=weight_decay)


def muon(module: nn.Module, lr: float, weight_decay: float, hidden_lr: float) -> torch.optim.Optimizer:
    """Muon on matrices and convolutions, at `hidden_lr` times the learning rate; AdamW on the rest."""
    return MuonAdamW(module.parameters(), hidden_weights(module), lr, BETAS, weight_decay, hidden_lr=hidden_lr)
