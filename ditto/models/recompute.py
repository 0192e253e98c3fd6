"""Gradient checkpointing inside a network: blocks that keep their inputs only, and run again in the backward pass.

The memory policies (ditto/memory/) decide which steps of a chain are kept; the one step that is run again then keeps
every activation of the network. For networks where even that is too much, each of its blocks is checkpointed as well:
the peak falls to the inputs of all blocks and the inside of one, for one more forward pass (Chen et al. 2016).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import checkpoint


def recompute_in_backward(modules: Iterable[nn.Module]) -> None:
    """Make each module keep only its inputs where gradients are recorded. Its randomness is not replayed: freeze it."""
    for module in modules:
        module.forward = partial(_recomputed, module.forward)


def _recomputed(forward: Any, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    # Flat: tensors given by keyword or in a tuple would be held where no meter sees them (ditto/memory/meters.py).
    flat, form = tree_flatten((args, kwargs))

    def again(*flat: Any) -> Any:
        args, kwargs = tree_unflatten(list(flat), form)
        return forward(*args, **kwargs)

    return checkpoint(again, *flat, use_reentrant=False, preserve_rng_state=False)
