"""Allocated memory while something runs, on a CPU as on a GPU: `with allocated(device) as memory`, in bytes.

Measured from the start of the block, so that the model's weights do not count. CUDA: what the allocator reports. CPU:
the storages of all tensors that operations return while the block runs, until they are freed; what an operation uses
inside itself (the workspace of a convolution) is not seen. Watching each operation costs time: not for timing.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocated(Protocol):
    """Bytes of tensors that are there now, and the most that were there at once."""

    @property
    def now(self) -> int: ...

    @property
    def peak(self) -> int: ...


class LiveTensors(TorchDispatchMode):
    """Counts every storage once, from the operation that returns it to its end; those from before the block not."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._meet((args, kwargs), new=False)
        result = func(*args, **(kwargs or {}))
        self._meet(result, new=True)
        return result

    def _meet(self, values: Any, new: bool) -> None:
        for value in tree_leaves(values):
            if isinstance(value, Tensor) and value.layout == torch.strided:
                self._count(value.untyped_storage(), new)

    def _count(self, storage: torch.UntypedStorage, new: bool) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes() if new else 0
            self.now += self._sizes[key]
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._freed, key)

    def _freed(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


class CudaMemory:
    """What PyTorch's allocator holds for tensors, above what it held at first."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        self.before = torch.cuda.memory_allocated(device)

    @property
    def now(self) -> int:
        return torch.cuda.memory_allocated(self.device) - self.before

    @property
    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self.device) - self.before


@contextmanager
def allocated(device: torch.device) -> Iterator[Allocated]:
    """The meter of this device for the block; read `peak` before the block ends or after it."""
    if device.type == "cuda":
        gc.collect()  # what is freed inside would count as negative
        yield CudaMemory(device)
        return
    with LiveTensors() as live:
        yield live
