"""The policies that keep everything, or nothing but the latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from ditto.memory.meters import meters


class Memory(Protocol):
    """How step `i` of a chain of `steps` is run: its tensors are the first results of the step before."""

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


@dataclass(frozen=True)
class Host:
    """As `Checkpoint`, with the latents in the memory of the CPU until backward wants them: for a GPU.

    What the GPU holds then does not grow with T at all. Copies go to pinned memory and wait for nobody: one of 0.3 MiB
    takes some 20 µs of a step that takes milliseconds, so none is fetched ahead. On a CPU this is `Checkpoint`.
    """

    def run(self, step: Callable[..., Any], *tensors: Tensor, i: int = 0, steps: int = 1) -> Any:
        if not torch.is_grad_enabled():
            return step(*tensors)
        with saved_tensors_hooks(_to_host, _from_host):
            return Checkpoint().run(step, *tensors)


def _to_host(tensor: Tensor) -> Tensor | tuple[torch.device, Tensor]:
    if _on_host(tensor) or not tensor.numel():
        for meter in meters():
            meter.add(tensor)
        return tensor
    pinned = tensor.device.type == "cuda"
    host = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=pinned)
    host.copy_(tensor.detach(), non_blocking=pinned)
    return tensor.device, host


def _on_host(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _from_host(kept: Tensor | tuple[torch.device, Tensor]) -> Tensor:
    # In the stream that made the copy to the host: the engine runs a node of the graph where its forward ran.
    return kept if isinstance(kept, Tensor) else kept[1].to(kept[0], non_blocking=True)
