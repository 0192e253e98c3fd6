"""EDICT: diffusion with an exact inverse (Wallace et al. 2023, arXiv 2211.12446). Two latents step by affine coupling.

    x'  ← A x'  + B ε̂(x'')           A = √(ᾱ_{t−1}/ᾱ_t),  B = √(1−ᾱ_{t−1}) − √(ᾱ_{t−1}(1−ᾱ_t)/ᾱ_t)
    x'' ← A x'' + B ε̂(x')            with the new x'
    x'  ← p x'  + (1−p) x'',   x'' ← p x'' + (1−p) x'      with the new x'

and the inverse undoes these lines from the last to the first. Each half is DDIM's step with the noise that the other
half shows, so steps, timesteps, CFG and its interval are the sampler's; its dynamic threshold is not used, because
clamping has no inverse.

p          The paper has 0.93 at 50 steps, and 0.83 at 20. Where ε̂ is about the noise itself, a difference x' − x''
           grows by A² p² in a step, by p^2T / ᾱ_T in all: p = 0.93^(50/T) keeps this for every T (0.834 at 20), and
           is the default. Without mixing (p = 1) the halves part on a cosine schedule.
alternate  The paper alternates: in steps 1, 3, ... x'' is updated first. The inverse asks for the index of the
           step, not for the count of steps undone, so it is right for odd and even T.
float64    The pair is kept in float64, the network in its own precision: the inverse magnifies rounding by p^−2T
           (1400).
max_factor A schedule that ends in pure noise (spacing=trailing: ᾱ_T = 2e-9) has A = 1600 in its first step. There
           ε̂(x') is asked at t for an x' that is already at t−1, and A magnifies the mistake: with model=embedded x_0
           has a standard deviation of 6.8 instead of 0.8, and the ends differ by 17. Where A > max_factor the same
           DDIM step is split the other way round, x' ← C x' + D x̂_0(x''), C = √((1−ᾱ_{t−1})/(1−ᾱ_t)), D = √ᾱ_{t−1} −
           C √ᾱ_t (for ᾱ_t = 0 the noise is x_t itself). That is a coupling too, and C is about 1: the ends then
           differ by 0.002 (r.m.s.), x'_0 from DDIM's x_0 by 0.06, and it is 1.4 dB softer, as with spacing=leading.
           Only that first step exceeds 4, all others are the paper's; every step split by x̂_0 would stray further
           (0.23).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ditto.chain import Denoiser
from ditto.memory import Memory
from ditto.models.base import MusicModel
from ditto.sampling import STORE, Sampler
from ditto.schedules import Level
from ditto.types import Condition, UserError

Pair = tuple[Tensor, Tensor]


class Coupling(NamedTuple):
    """x ← a x + b y + c ε̂(y), y being the other half."""

    a: float
    b: float
    c: float


def coupling(level: Level, max_factor: float = math.inf) -> Coupling:
    """DDIM's step, split by ε̂ (factor A of x), or by x̂_0 (factor C) where A > `max_factor`."""
    _, alpha_bar, prev = level
    signal, noise = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    A = math.sqrt(prev) / signal
    if max_factor >= A or prev == 1:  # at ᾱ_{t−1} = 1, C = 0 has no inverse
        return Coupling(A, 0.0, math.sqrt(1 - prev) - A * noise)
    C = math.sqrt(1 - prev) / noise
    D = math.sqrt(prev) - C * signal
    return Coupling(C, D / signal, -D * noise / signal)


@dataclass(frozen=True)
class Edict:
    """The settings; `chain` binds them to a model, a sampler and prompts."""

    p: float | None = None  # null: 0.93^(50/steps)
    alternate: bool = True
    max_factor: float = 4.0

    def __post_init__(self) -> None:
        if self.p is not None and not 0 < self.p <= 1:
            raise UserError(f"p={self.p}: give a number above 0 and at most 1 (no mixing), or null for 0.93^(50/steps)")
        if self.max_factor < 1:
            raise UserError(f"max_factor={self.max_factor}: give at least 1")

    def chain(self, model: MusicModel, sampler: Sampler, condition: Condition, null: Condition) -> Chain:
        denoiser = Denoiser(model, condition, null, sampler.guidance_scale)
        p = 0.93 ** (50 / sampler.steps) if self.p is None else self.p
        return Chain(denoiser, sampler, p, self.alternate, self.max_factor)


@dataclass(eq=False)
class Chain:
    """T steps of a pair (x', x''), each [B, C, F, T]; pure and differentiable."""

    denoiser: Denoiser
    sampler: Sampler
    p: float
    alternate: bool
    max_factor: float
    levels: list[Level] = field(init=False)
    couplings: list[Coupling] = field(init=False)

    def __post_init__(self) -> None:
        self.levels = self.sampler.levels(self.denoiser.model.schedule)
        self.couplings = [coupling(level, self.max_factor) for level in self.levels]

    def sample(self, pair: Pair, memory: Memory = STORE) -> Pair:
        """(x'_T, x''_T) -> (x'_0, x''_0) in float64: two network calls a step."""
        pair = _double(pair)
        for i in range(len(self.levels)):
            pair = memory.run(partial(self.step, i), *pair, i=i, steps=len(self.levels))
        return pair

    def invert(self, pair: Pair) -> Pair:
        """(x'_0, x''_0) -> (x'_T, x''_T), the same number of calls."""
        pair = _double(pair)
        for i in reversed(range(len(self.levels))):
            pair = self.undo(i, *pair)
        return pair

    def sample_by_inverse(self, pair: Pair) -> Pair:
        """As `sample`, but backward keeps the two ends only and finds each step's pair by the inverse: six calls."""
        first, second = _double(pair)
        return _ByInverse.apply(self, first, second)

    def step(self, i: int, first: Tensor, second: Tensor) -> Pair:
        a, b = self._ordered(i, first, second)
        a = self._couple(i, a, b)
        b = self._couple(i, b, a)
        first, second = self._ordered(i, a, b)
        first = self.p * first + (1 - self.p) * second
        second = self.p * second + (1 - self.p) * first
        return first, second

    def undo(self, i: int, first: Tensor, second: Tensor) -> Pair:
        """The inverse of step i."""
        second = (second - (1 - self.p) * first) / self.p
        first = (first - (1 - self.p) * second) / self.p
        a, b = self._ordered(i, first, second)
        b = self._uncouple(i, b, a)
        a = self._uncouple(i, a, b)
        return self._ordered(i, a, b)

    def _ordered(self, i: int, first: Tensor, second: Tensor) -> Pair:
        """Who is updated first, who second; applied twice it does nothing."""
        return (second, first) if self.alternate and i % 2 else (first, second)

    def _couple(self, i: int, x: Tensor, other: Tensor) -> Tensor:
        return self.couplings[i].a * x + self._shift(i, other)

    def _uncouple(self, i: int, x: Tensor, other: Tensor) -> Tensor:
        return (x - self._shift(i, other)) / self.couplings[i].a

    def _shift(self, i: int, other: Tensor) -> Tensor:
        """b y + c ε̂(y): one network call."""
        _, b, c = self.couplings[i]
        eps = c * self.denoiser(other, self.levels[i].t, self.sampler.guided(i))
        return eps + b * other if b else eps


class _ByInverse(torch.autograd.Function):
    """The chain as one node of the graph: constant memory in T."""

    @staticmethod
    def forward(ctx: Any, chain: Chain, first: Tensor, second: Tensor) -> Pair:
        ctx.chain = chain
        ends = chain.sample((first, second))
        ctx.save_for_backward(*ends)
        return ends

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, Tensor]:
        chain, pair = ctx.chain, ctx.saved_tensors
        for i in reversed(range(len(chain.levels))):
            pair = chain.undo(i, *pair)
            grads = _vjp(partial(chain.step, i), pair, grads)
        return None, grads[0], grads[1]


def _vjp(step: Callable[..., Pair], pair: Pair, grads: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The gradient at the step's input from the one at its output."""
    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x in pair]
        return torch.autograd.grad(step(*inputs), inputs, grads)


def _double(pair: Pair) -> Pair:
    return pair[0].double(), pair[1].double()
