"""Bookkeeping of clips that are optimised side by side: which ones go on, why the others stopped, what is kept of each.

A clip stops when its loss reaches the threshold, or when its loss or gradient is not finite. It stays in the batch,
but its x_T is written back after every step, so that an optimiser's momentum does not move it; and its values are
masked, never multiplied, so that a NaN cannot reach another clip or the optimiser's state.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from ditto.types import History

REASONS = ["", "threshold", "non-finite loss", "non-finite gradient"]  # why a clip stopped, by code
_TENSORS = ("reason_B", "held", "best", "best_loss_B")


class Clips:
    """Call `begin`, then `judge` with each gradient, then `finish`, in every optimisation step."""

    def __init__(self, x_T: Tensor, threshold: float | None = None, grad_clip: float | None = None) -> None:
        batch = x_T.shape[0]
        self.threshold = -math.inf if threshold is None else threshold
        self.grad_clip = math.inf if grad_clip is None else grad_clip
        self.history = History(stopped=[None] * batch)
        self.reason_B = torch.zeros(batch, dtype=torch.int64, device=x_T.device)
        self.held = x_T.detach().clone()  # the last x_T of finite loss: where a stopped clip stays
        self.best = x_T.detach().clone()
        self.best_loss_B = torch.full((batch,), math.inf, dtype=x_T.dtype, device=x_T.device)
        self.figures: Tensor | None = None
        self.k = 0
        self.started = 0.0

    @property
    def all_stopped(self) -> bool:
        return all(self.history.stopped)

    def state(self) -> dict[str, Any]:
        """Everything that the steps so far have changed; tensors are not copied."""
        history = {"rows": list(self.history.rows), "stopped": list(self.history.stopped)}
        calls = {"model_calls": self.history.model_calls}
        return {"history": {**history, **calls}, **{name: getattr(self, name) for name in _TENSORS}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, on whatever device it is now."""
        self.history = History(**state["history"])
        for name in _TENSORS:
            setattr(self, name, state[name].to(getattr(self, name)))

    def begin(self, k: int) -> None:
        self.k, self.figures, self.started = k, None, time.perf_counter()

    @torch.no_grad()
    def judge(self, x_T: Tensor, loss_B: Tensor, metric_B: Tensor) -> Any:
        """Mask and clip x_T.grad per clip; the summed loss of the clips that go on.

        An optimiser may try several points in one step: the first one decides and is what the history shows.
        """
        assert x_T.grad is not None
        norm_B = x_T.grad.flatten(1).norm(dim=1)
        if self.figures is None:
            self._decide(x_T, loss_B, metric_B, norm_B)
        on_B = (self.reason_B == 0) & loss_B.isfinite() & norm_B.isfinite()
        scale_B = (self.grad_clip / norm_B.clamp_min(1e-12)).clamp(max=1.0)
        x_T.grad = torch.where(_rows(on_B, x_T), x_T.grad * _rows(scale_B, x_T), 0.0)
        return torch.where(on_B, loss_B, 0.0).sum()

    def _decide(self, x_T: Tensor, loss_B: Tensor, metric_B: Tensor, norm_B: Tensor) -> None:
        going_B = self.reason_B == 0
        finite_B = loss_B.isfinite()
        self.held = torch.where(_rows(going_B & finite_B, x_T), x_T, self.held)
        better_B = going_B & (loss_B < self.best_loss_B)  # False for NaN
        self.best = torch.where(_rows(better_B, x_T), x_T, self.best)
        self.best_loss_B = torch.where(better_B, loss_B, self.best_loss_B)
        reason_B = torch.where(norm_B.isfinite(), 0, 3)
        reason_B = torch.where(loss_B <= self.threshold, 1, reason_B)
        reason_B = torch.where(finite_B, reason_B, 2)
        self.reason_B = torch.where(going_B, reason_B, self.reason_B)
        self.figures = torch.stack([x_B.double() for x_B in (loss_B, metric_B, norm_B, self.reason_B)])

    @torch.no_grad()
    def finish(self, x_T: Tensor) -> None:
        """Put stopped clips back and write the history's row."""
        assert self.figures is not None, "the optimiser did not evaluate the loss"
        x_T.copy_(torch.where(_rows(self.reason_B == 0, x_T), x_T, self.held))
        loss, metric, norm, reasons = self.figures.tolist()  # the only wait for the device in a step
        for b, reason in enumerate(reasons):
            if reason and self.history.stopped[b] is None:
                self.history.stopped[b] = f"{REASONS[int(reason)]} at step {self.k}"
        row = {"step": self.k, "loss": loss, "metric": metric, "gradient_norm": norm}
        self.history.rows.append({**row, "seconds": time.perf_counter() - self.started})

    @property
    def mean_loss(self) -> float:
        """Of the last step, over the clips whose loss is finite."""
        finite = [loss for loss in self.history.rows[-1]["loss"] if math.isfinite(loss)]
        return sum(finite) / len(finite) if finite else math.nan

    def chosen(self, x_T: Tensor, keep_best: bool) -> Tensor:
        """What to generate from: the last iterate, or the best one whose loss is known."""
        if keep_best and self.history.rows:
            return self.best
        finite_B = x_T.detach().flatten(1).isfinite().all(dim=1)
        return torch.where(_rows(finite_B, x_T), x_T.detach(), self.held)


def _rows(mask_B: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B, 1, 1, ...]."""
    return mask_B.view(-1, *[1] * (like.dim() - 1))
