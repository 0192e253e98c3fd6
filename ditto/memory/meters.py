"""What a policy costs: bytes that autograd keeps, calls of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ditto.models.base import MusicModel

GIB = 2**30


def is_weight(tensor: Tensor) -> bool:
    """Something that the network keeps in any case."""
    return isinstance(tensor, nn.Parameter) or isinstance(tensor._base, nn.Parameter)


@dataclass
class SavedBytes:
    """Bytes that autograd keeps for backward, each storage counted once; the weights of the network do not count."""

    bytes: int = 0
    uses: dict[int, int] = field(default_factory=dict, repr=False)  # of a storage, by its address

    def add(self, tensor: Tensor) -> Tensor:
        if not is_weight(tensor):
            storage = tensor.untyped_storage()
            before = self.uses.get(storage._cdata, 0)
            self.uses[storage._cdata] = before + 1
            self.bytes += 0 if before else storage.nbytes()
        return tensor

    def drop(self, tensor: Tensor) -> None:
        """To be called for a tensor that was added and is not kept any more."""
        storage = tensor.untyped_storage()
        left = self.uses.get(storage._cdata, 0) - 1
        if left > 0:
            self.uses[storage._cdata] = left
        elif self.uses.pop(storage._cdata, 0):
            self.bytes -= storage.nbytes()


_METERS: ContextVar[tuple[SavedBytes, ...]] = ContextVar("meters", default=())


def meters() -> tuple[SavedBytes, ...]:
    """Those that are measuring now. PyTorch tells the innermost hook only: a policy's own hook tells the meters."""
    return _METERS.get()


@contextmanager
def saved_bytes() -> Iterator[SavedBytes]:
    """Measure what the operations inside keep for their backward pass (checkpointed parts keep nothing).

    Meters nest: PyTorch tells the innermost hook only, which tells the meters around it.
    """
    every = (*_METERS.get(), SavedBytes())

    def keep(tensor: Tensor) -> Tensor:
        for meter in every:
            meter.add(tensor)
        return tensor.detach()  # an operation's own result would hold the graph that holds it

    token = _METERS.set(every)
    try:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            yield every[-1]
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
