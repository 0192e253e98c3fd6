"""What the calls that a step must make cost by themselves, over the tensors that the step gave to them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from eval.benchmark.clock import Clock
from eval.benchmark.step import Call, Seen, running, uncompiled
from eval.benchmark.variants import Variant
from eval.models.counted import Operations

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Bare:
    """Seconds of one call each."""

    forward: float
    forward_grad: float
    backward: float
    wave: float
    wave_backward: float

    def step(self, seen: Seen) -> float:
        """Seconds of all that the step must call; of what is run again, the first run keeps nothing."""
        keeps_nothing = min(self.forward, self.forward_grad)  # only what records is compiled
        network = len(seen.forward) * (self.forward_grad + self.backward) + seen.recomputed * keeps_nothing
        return network + len(seen.sounds) * (self.wave + self.wave_backward)


@dataclass(frozen=True)
class Operated:
    """Operations a row of the network's batch (CFG has two for a clip), and a clip of the way to sound."""

    forward: float
    both: float  # forward and input gradient
    wave: float  # also both

    def step(self, seen: Seen) -> float:
        """Of all that the step must call; a row of a recomputed call costs what one of a forward call does."""
        rows = [len(call[0]) for call in seen.forward]
        again = sum(rows) * seen.recomputed / len(rows)
        sounds = sum(len(call[0]) for call in seen.sounds)
        return sum(rows) * self.both + again * self.forward + sounds * self.wave


def bare_seconds(variant: Variant, seen: Seen, calls: int) -> Bare:
    """Tight loops of so many network calls, spread over the chain."""
    model = variant.model
    network, sounds = (_placed(found, model.device) for found in (_spread(seen.forward, calls), seen.sounds[:1] * 2))
    with running(variant):
        clock = Clock(model.device)
        with torch.no_grad():
            for call in network:
                model.denoise(*call)
        clock.mark()
        (alone,) = clock.seconds()
        grad, backward = _with_gradient(model.denoise, network, model.device)
        wave, wave_backward = _with_gradient(model.wave, sounds, model.device)
    return Bare(alone / len(network), grad, backward, wave, wave_backward)


def operations(variant: Variant, seen: Seen) -> Operated:
    """Counted from one call of each."""
    model = variant.model
    (call,), sounds = (_placed(found[:1], model.device) for found in (seen.forward, seen.sounds))
    with running(variant), uncompiled(), Operations() as alone, torch.no_grad():
        model.denoise(*call)
    with running(variant), uncompiled(), Operations() as both:
        _gradient(model.denoise, call)
    with running(variant), uncompiled(), Operations() as wave:
        for sound in sounds:
            _gradient(model.wave, sound)
    rows, clips = len(call[0]), sum(len(sound[0]) for sound in sounds)
    return Operated(alone.total / rows, both.total / rows, wave.total / max(clips, 1))


def _with_gradient(function: Function, calls: list[Call], device: torch.device) -> tuple[float, float]:
    """Median seconds of the call with gradients recorded, and of its gradient; 0 where there are no calls."""
    if not calls:
        return 0.0, 0.0
    clock = Clock(device)
    for call in calls:
        _gradient(function, call, clock.mark)
        clock.mark()
    seconds = clock.seconds()
    return statistics.median(seconds[::2]), statistics.median(seconds[1::2])


def _gradient(function: Function, call: Call, between: Callable[[], None] = lambda: None) -> None:
    x = call[0].detach().requires_grad_()
    y = function(x, *call[1:])
    between()
    torch.autograd.grad(y, x, torch.ones_like(y))


def _placed(calls: list[Call], device: torch.device) -> list[Call]:
    return [tuple(x.to(device) if isinstance(x, Tensor) else x for x in call) for call in calls]


def _spread(calls: list[Call], number: int) -> list[Call]:
    """So many of them, evenly from the first to the last; more than there are go round."""
    return [calls[i * len(calls) // number % len(calls)] for i in range(number)]
