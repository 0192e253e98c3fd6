"""Is a gradient the gradient of the function? Compared with central differences along random directions, in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def directional_check(
    loss: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    directions: int = 3,
    step: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-9,
    seed: int = 0,
) -> None:
    """Assert ⟨∇L, v⟩ = (L(x + hv) − L(x − hv)) / 2h for random unit v; `loss` maps x to any tensor, which is summed.

    Fails too where no gradient arrives at x (a detached chain), or where it is zero.
    """
    assert x.dtype == torch.float64, "finite differences need float64"
    x = x.detach().clone().requires_grad_()
    value = loss(x).sum()
    assert value.requires_grad, "the loss does not depend on x: the chain is detached"
    (gradient,) = torch.autograd.grad(value, x)
    assert gradient.isfinite().all(), "the gradient is not finite"
    assert gradient.abs().max() > 0, "the gradient is zero"
    random = torch.Generator().manual_seed(seed)
    for _ in range(directions):
        v = torch.randn(x.shape, generator=random, dtype=torch.float64)
        v = v / v.norm()
        with torch.no_grad():
            numeric = (loss(x + step * v).sum() - loss(x - step * v).sum()) / (2 * step)
        torch.testing.assert_close((gradient * v).sum(), numeric, rtol=rtol, atol=atol)
