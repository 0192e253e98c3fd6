"""What is kept of a sampling chain for its backward pass. The policies differ in memory and time, never in a gradient.

Store      keeps every activation of every step: one network call per step.
Checkpoint keeps the latents only and runs each step again during backward (Chen et al. 2016, "Training deep nets with
           sublinear memory cost"): two network calls per step. This is the policy of the paper.
Auto       measures the first step, stores as many steps as fit its budget and checkpoints the others.

Each is called as `memory.run(step, *tensors, i=i, steps=T)`; `step` must be pure: its randomness comes from seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from ditto.models.base import MusicModel

GIB = 2**30


class Memory(Protocol):
    """How step `i` of a chain of `steps` is run."""

    def run(self, step: Callable[..., Any], *tensors: Tensor, i: int = 0, steps: int = 1) -> Any: ...


@dataclass(frozen=True)
class Store:
    """Keep everything."""

    def run(self, step: Callable[..., Any], *tensors: Tensor, i: int = 0, steps: int = 1) -> Any:
        return step(*tensors)


@dataclass(frozen=True)
class Checkpoint:
    """Keep the inputs of each step and compute the rest again when its gradient is asked for."""

    def run(self, step: Callable[..., Any], *tensors: Tensor, i: int = 0, steps: int = 1) -> Any:
        if not torch.is_grad_enabled():
            return step(*tensors)
        return checkpoint(step, *tensors, use_reentrant=False, preserve_rng_state=False)


@dataclass
class Auto:
    """Store the first step, while measuring it, and then the last ones that fit into `budget_gib`.

    The last steps are the right ones to store: backward frees them before it begins to recompute. The first step is
    kept even where the budget is smaller, so the least memory is that of two steps; `Checkpoint` needs only one.
    """

    budget_gib: float
    step_bytes: int = field(default=0, init=False, repr=False)  # of the last chain
    steps: int = field(default=0, init=False, repr=False)

    def run(self, step: Callable[..., Any], *tensors: Tensor, i: int = 0, steps: int = 1) -> Any:
        if not torch.is_grad_enabled():
            return step(*tensors)
        if i == 0:
            with saved_bytes() as meter:
                result = step(*tensors)
            self.step_bytes, self.steps = meter.bytes, steps
            return result
        stored = i > steps - self._fitting(self.step_bytes)
        return (Store() if stored else Checkpoint()).run(step, *tensors)

    def kept_bytes(self, clips: int, longer: float = 1.0) -> float:
        """Bytes kept at once of a batch `clips` times as large as the last one, over a chain `longer` times as long.

        Those of two steps at least: the first one, and the one that is run again.
        """
        one = self.step_bytes * clips
        return one * min(self.steps * longer, max(self._fitting(one), 2))

    def _fitting(self, step_bytes: int) -> int:
        return int(self.budget_gib * GIB / max(step_bytes, 1))


@dataclass
class SavedBytes:
    """Bytes that autograd keeps for backward, each storage counted once; the weights of the network do not count."""

    bytes: int = 0
    storages: set[int] = field(default_factory=set, repr=False)

    def add(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        weight = isinstance(tensor, nn.Parameter) or isinstance(tensor._base, nn.Parameter)
        if not weight and storage.data_ptr() not in self.storages:
            self.storages.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


_METERS: ContextVar[tuple[SavedBytes, ...]] = ContextVar("meters", default=())


@contextmanager
def saved_bytes() -> Iterator[SavedBytes]:
    """Measure what the operations inside keep for their backward pass (checkpointed parts keep nothing).

    Meters nest: PyTorch tells the innermost hook only, which tells the meters around it.
    """
    meters = (*_METERS.get(), SavedBytes())

    def keep(tensor: Tensor) -> Tensor:
        for meter in meters:
            meter.add(tensor)
        return tensor

    token = _METERS.set(meters)
    try:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            yield meters[-1]
    finally:
        _METERS.reset(token)


@dataclass
class Calls:
    count: int = 0


@contextmanager
def count_calls(model: MusicModel, after: Callable[[Tensor], Any] | None = None) -> Iterator[Calls]:
    """Count the calls of `model.denoise` made inside, those of recomputation included; a batched CFG call is one.

    `after(x_t)` is told of the end of every call; that of a recomputation may come before the network's last operation.
    """
    calls, denoise, shadowed = Calls(), model.denoise, "denoise" in vars(model)

    def counted(x_t: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        calls.count += 1
        try:
            return denoise(x_t, *args, **kwargs)
        finally:
            if after is not None:
                after(x_t)

    vars(model)["denoise"] = counted
    try:
        yield calls
    finally:
        if shadowed:
            vars(model)["denoise"] = denoise
        else:
            del vars(model)["denoise"]
