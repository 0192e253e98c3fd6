"""A step that keeps what its backward pass needs, as long as there is room, and computes again what was forgotten.

Autograd hands over every tensor that it wants kept, in the order of the operations. Those of a `Step` can be forgotten
from the first on; when one of these is asked for, the step runs again until it has made the last of them, and no
further. So half of a step forgotten costs half of a forward pass. All results are those of the first time, to the bit.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ditto.memory.meters import SavedBytes, is_weight, meters


@dataclass(eq=False)
class Ledger:
    """What all steps of one chain keep, in bytes; the oldest forget where it is more than `budget`."""

    budget: float
    kept: SavedBytes = field(default_factory=SavedBytes)
    total: int = 0  # had nothing been forgotten
    steps: deque[weakref.ref[Step]] = field(default_factory=deque)  # the graph keeps them alive

    def add(self, tensor: Tensor) -> int:
        """Returns the bytes that are new."""
        before = self.kept.bytes
        self.kept.add(tensor)
        self.total += self.kept.bytes - before
        return self.kept.bytes - before

    def make_room(self) -> None:
        while self.kept.bytes > self.budget and self.steps:
            step = self.steps[0]()
            if step is not None and step.forget_one():
                continue
            if step is not None and len(self.steps) == 1:
                return  # it is running, and keeps nothing yet
            self.steps.popleft()


class Kept:
    """One tensor of a step, held by the graph; None once it is forgotten."""

    __slots__ = ("__weakref__", "index", "step", "tensor")

    def __init__(self, step: Step, index: int, tensor: Tensor) -> None:
        self.step, self.index = step, index
        self.tensor: Tensor | None = tensor

    def __del__(self) -> None:
        if self.tensor is not None and self.index >= self.step.forgotten:
            self.step.ledger.kept.drop(self.tensor)


class _Enough(Exception):
    """What was forgotten is there again."""


class Step:
    """One step of a chain; `run` it once."""

    def __init__(self, function: Callable[..., Any], inputs: tuple[Tensor, ...], ledger: Ledger) -> None:
        self.function, self.ledger, self.meters = function, ledger, meters()
        self.inputs = [(x.detach(), x.requires_grad, x._version) for x in inputs]
        self.kept: list[weakref.ref[Kept]] = []
        self.forgotten = 0  # the first so many
        self.bytes = 0  # had nothing been forgotten
        ledger.steps.append(weakref.ref(self))

    def run(self, *inputs: Tensor) -> Any:
        for x in inputs:
            self._count(x)
        with saved_tensors_hooks(self._keep, self._give):
            return self.function(*inputs)

    def forget_one(self) -> bool:
        """Forget the first tensor that is still kept; False where there is none."""
        while self.forgotten < len(self.kept):
            kept = self.kept[self.forgotten]()
            self.forgotten += 1
            if kept is not None and kept.tensor is not None:
                for meter in (self.ledger.kept, *self.meters):
                    meter.drop(kept.tensor)
                kept.tensor = None
                return True
        return False

    def _count(self, tensor: Tensor) -> None:
        self.bytes += self.ledger.add(tensor)
        for meter in self.meters:
            meter.add(tensor)

    def _keep(self, tensor: Tensor) -> Tensor | Kept:
        if is_weight(tensor):
            return tensor
        kept = Kept(self, len(self.kept), tensor.detach())
        self.kept.append(weakref.ref(kept))
        self._count(tensor)
        self.ledger.make_room()
        return kept

    def _give(self, kept: Tensor | Kept) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        if kept.tensor is None:
            self._again()
        tensor = kept.tensor
        if tensor is None:
            raise RuntimeError("a step that ran again kept other tensors than the first time: it must be pure")
        if kept.index < self.forgotten:
            kept.tensor = None
        return tensor

    def _again(self) -> None:
        """Run as far as the last of what was forgotten."""
        inputs = []
        for x, requires_grad, version in self.inputs:
            if x._version != version:
                raise RuntimeError("an input of a step was changed in place before its backward pass")
            inputs.append(x.detach().requires_grad_(requires_grad))
        made = 0

        def keep(tensor: Tensor) -> Tensor:
            nonlocal made
            if is_weight(tensor):
                return tensor
            kept = self.kept[made]() if made < self.forgotten else None
            found = tensor.detach()  # an operation's own result would hold the graph that holds it
            if kept is not None:
                kept.tensor = found
            made += 1
            if made == self.forgotten:
                raise _Enough
            return found

        try:
            with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
                self.function(*inputs)
        except _Enough:
            pass
