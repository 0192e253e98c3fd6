"""Muon for matrices and convolutions, AdamW for the rest: one optimiser, so that Lightning's loop stays as it is.

Muon (Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural networks") replaces the momentum of a weight
matrix by a nearly orthogonal one: the Newton-Schulz iteration drives its singular values towards 1, so that rare
directions learn as fast as common ones. The step is scaled to the RMS of an AdamW step (Liu et al., 2025,
arXiv 2502.16982, Sec. 2.2), so that both share one learning rate. `torch.optim.Muon` takes two-dimensional weights
only, and most of a U-Net's are convolutions; here a kernel [out, in, h, w] is the matrix [out, in*h*w].
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the odd polynomial a x + b x^3 + c x^5, steep at 0 and within 0.7..1.2 near 1 (Jordan et al.)."""


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """A matrix with the singular vectors of `matrix` [m, n] and singular values near 1, in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = (wide / wide.norm().clamp(min=1e-7)).bfloat16()
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide is matrix else x.T


def hidden_weights(module: nn.Module) -> list[nn.Parameter]:
    """The weights that Muon is meant for: of two or more dimensions, neither side a single row."""
    return [p for p in module.parameters() if p.requires_grad and p.ndim >= 2 and min(p.shape[0], p[0].numel()) > 1]


class MuonAdamW(torch.optim.AdamW):
    """AdamW whose `hidden` weights take Muon's step, at `hidden_lr` times the learning rate of the rest.

    `lr_scale` tells a schedule of learning rates (ditto.training.callbacks.BudgetSchedule) to keep that ratio.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        hidden: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        hidden_lr: float = 1.0,
    ) -> None:
        chosen = list(hidden)
        known = {id(p) for p in chosen}
        rest = [p for p in parameters if id(p) not in known]
        groups: list[dict[str, Any]] = [
            {"params": rest, "momentum": None},
            {"params": chosen, "momentum": momentum, "lr": hidden_lr * lr, "lr_scale": hidden_lr},
        ]
        super().__init__([group for group in groups if group["params"]], lr, betas, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["momentum"] is not None:
                for parameter in group["params"]:
                    self._muon(parameter, group)
        super().step()
        return loss

    def _muon(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Nesterov momentum, orthogonalised; the gradient is used up, so AdamW passes this weight by."""
        if parameter.grad is None:
            return
        state = self.state[parameter]
        if not state:
            # AdamW's loading of a checkpoint looks for a step count in every state.
            state["step"], state["velocity"] = torch.zeros(()), torch.zeros_like(parameter)
        state["step"] += 1
        velocity = state["velocity"].lerp_(parameter.grad, 1 - group["momentum"])
        update = parameter.grad.lerp(velocity, group["momentum"]).reshape(len(parameter), -1)
        scale = 0.2 * max(update.shape) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(orthogonalise(update).to(parameter.dtype).reshape(parameter.shape), alpha=group["lr"] * scale)
        parameter.grad = None
