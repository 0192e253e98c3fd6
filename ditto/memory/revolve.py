"""A fixed number of latents, however long the chain: what is not kept is computed again from the last one that is.

Which ones to keep is a solved problem: Griewank & Walther 2000, "Algorithm 799: revolve" (ACM TOMS 26). With c latents,
x_T among them, and no step sampled more than r times, chains of up to β(c, r) = (c + r)! / (c! r!) steps can be gone
through backwards; the fewest samplings for T steps, beside those that `Checkpoint` needs too, are

    t(T, c) = r T − β(c + 1, r − 1),   r the smallest with T ≤ β(c, r),

counted from x_T to x_1. Network calls with c = 10, where Checkpoint has 2 T: 49 for T = 20, 139 for T = 50.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from math import comb
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ditto.memory.meters import meters
from ditto.memory.policies import Checkpoint
from ditto.types import UserError


class _Input(NamedTuple):
    tensor: Tensor
    requires_grad: bool
    version: int


State = tuple[_Input, ...]  # what a step begins with


@dataclass
class Revolve:
    """Keep at most `latents` latents of the chain, x_T among them; the same memory for any T."""

    latents: int = 10
    _tape: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.latents < 1:
            raise UserError(f"memory.latents={self.latents}: give 1 or more; more are faster")

    def run(self, step: Callable[..., Any], *tensors: Tensor, i: int = 0, steps: int = 1) -> Any:
        if not torch.is_grad_enabled():
            return step(*tensors)
        tape = self._tape() if self._tape is not None else None
        if tape is None or not tape.ends_with(tensors):
            tape = Tape(self.latents, steps - i)
            self._tape = weakref.ref(tape)
        return tape.run(step, tensors)


class _Place(NamedTuple):
    """Tensor k of what step j of a tape begins with."""

    tape: Tape
    j: int
    k: int


class Tape:
    """One chain. Its places are held by the graph, and keep it alive."""

    def __init__(self, latents: int, length: int) -> None:
        self.latents = latents
        self.kept: dict[int, State] = {}
        self._planned = plan(length, latents)
        self._steps: list[Callable[..., Any]] = []
        self._end: tuple[weakref.ref[Tensor], ...] = ()
        self._last: tuple[int, State] | None = None  # found by `state`, for its other tensors

    def ends_with(self, tensors: tuple[Tensor, ...]) -> bool:
        """Are these the results of the last step?"""
        ends = self._end[: len(tensors)]
        return len(ends) == len(tensors) and all(end() is x for end, x in zip(ends, tensors, strict=True))

    def run(self, step: Callable[..., Any], tensors: tuple[Tensor, ...]) -> Any:
        j = len(self._steps)
        self._steps.append(step)
        if j in self._planned:
            self.kept[j] = _state(tensors)
            for meter in meters():
                for x in tensors:
                    meter.add(x)
        places = iter(range(len(tensors)))

        def leave(tensor: Tensor) -> Tensor | _Place:
            """`checkpoint` saves its inputs, in their order, and an empty tensor of its own."""
            return _Place(self, j, next(places)) if tensor.numel() else tensor

        with saved_tensors_hooks(leave, _found):
            result = Checkpoint().run(step, *tensors)
        self._end = tuple(weakref.ref(x) for x in _tuple(result))
        return result

    def state(self, j: int) -> State:
        """What step j begins with, computed again from the last one kept before it."""
        if self._last is not None and self._last[0] == j:
            return self._last[1]
        self._last = None
        self.kept = {k: state for k, state in self.kept.items() if k <= j}
        at = max(self.kept)
        state = self.kept[at]
        while at < j:
            free = self.latents - len(self.kept) + 1  # that of `at` counts
            goal = at + split(j - at + 1, free) if free > 1 else j
            for k in range(at, goal):
                state = self._sampled(k, state)
            at = goal
            if free > 1:
                self.kept[at] = state
        _check(state)
        self._last = j, state
        return state

    def _sampled(self, j: int, state: State) -> State:
        """Step j in the way it ran at first, gradients on, so that the same kernels give the same bits."""
        _check(state)
        with torch.enable_grad():
            inputs = [x.tensor.detach().requires_grad_(x.requires_grad) for x in state]
            results = _tuple(Checkpoint().run(self._steps[j], *inputs))
        return _state(results[: len(state)])


def split(length: int, latents: int) -> int:
    """How far to go from a kept latent, with `length` > 1 steps before the end, to the next one to keep."""
    r = next(r for r in range(1, length + 1) if _reach(latents, r) >= length)
    return max(1, _reach(latents, r - 2), length - _reach(latents - 1, r))


def plan(length: int, latents: int) -> set[int]:
    """The latents to keep on the way of a chain of `length` steps, by the step that begins with them."""
    kept, at = {0}, 0
    while latents > 1 and length - at > 1:
        at += split(length - at, latents)
        latents -= 1
        kept.add(at)
    return kept


def _reach(latents: int, r: int) -> int:
    """β: the longest chain for so many latents if no step is sampled more than r times."""
    return comb(latents + r, r) if r >= 0 else 0


def _found(kept: Tensor | _Place) -> Tensor:
    return kept if isinstance(kept, Tensor) else kept.tape.state(kept.j)[kept.k].tensor


def _state(tensors: tuple[Tensor, ...]) -> State:
    return tuple(_Input(x.detach(), x.requires_grad, x._version) for x in tensors)


def _check(state: State) -> None:
    if any(x.tensor._version != x.version for x in state):
        raise RuntimeError("a latent was changed in place before the chain's backward pass")


def _tuple(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)
