"""As much as a budget allows."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ditto.memory.again import Ledger, Step
from ditto.memory.meters import GIB
from ditto.types import UserError


@dataclass
class Auto:
    """Keep everything until it is more than `budget_gib` (for the whole batch); then the oldest steps forget.

    The first steps are the right ones to forget: backward comes to them last, when the others' memory is free again.
    The last of them may forget a part: the budget is used up to one tensor. It holds the latents too, which every step
    needs; the least memory is theirs and what one step keeps, whatever the budget. The same step forgets the same
    tensors in each chain of the same size, and where all of it fitted the last time, the next one is not watched.
    """

    budget_gib: float
    step_bytes: int = field(default=0, init=False, repr=False)  # of the largest step of the last chain, all kept
    chain_bytes: int = field(default=0, init=False, repr=False)  # of all its steps, all kept
    latent_bytes: int = field(default=0, init=False, repr=False)  # of all its latents
    _ledger: Any = field(default=None, init=False, repr=False, compare=False)
    _size: tuple[Any, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.budget_gib < 0:
            raise UserError(f"memory.budget_gib={self.budget_gib}: give 0 (keep the latents only) or more GiB")

    def run(self, step: Callable[..., Any], *tensors: Tensor, i: int = 0, steps: int = 1) -> Any:
        if not torch.is_grad_enabled() or self._fits(tensors, steps):
            return step(*tensors)
        ledger = self._ledger() if self._ledger is not None and i else None
        if ledger is None:
            ledger = Ledger(self.budget_gib * GIB)
            self._ledger = weakref.ref(ledger)
            self.step_bytes = self.chain_bytes = self.latent_bytes = 0
        link = Step(step, tensors, ledger)
        result = link.run(*tensors)
        self.step_bytes, self.chain_bytes = max(self.step_bytes, link.bytes), self.chain_bytes + link.bytes
        self.latent_bytes += sum(x.nbytes for x in tensors)
        self._size = _size(tensors, steps) if i == steps - 1 else ()
        return result

    def kept_bytes(self, clips: int, longer: float = 1.0) -> float:
        """Bytes kept at once of a batch `clips` times as large as the last one, over a chain `longer` times as long.

        No more than the budget; but those of the latents and of the one step that runs again at least.
        """
        least = clips * (self.step_bytes + longer * self.latent_bytes)
        return min(clips * longer * self.chain_bytes, max(self.budget_gib * GIB, least))

    def _fits(self, tensors: tuple[Tensor, ...], steps: int) -> bool:
        """Did all of a chain of this size fit the last time?"""
        return self._size == _size(tensors, steps) and self.chain_bytes <= self.budget_gib * GIB


def _size(tensors: tuple[Tensor, ...], steps: int) -> tuple[Any, ...]:
    return steps, *((x.shape, x.dtype, x.device) for x in tensors)
