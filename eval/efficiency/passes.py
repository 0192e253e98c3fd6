"""One call of a method: observed (network calls and memory, slower by that) or timed."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ditto.controls.base import Control
from ditto.memory import count_calls, saved_bytes
from eval.efficiency.cases import Case
from eval.efficiency.live import allocated


@dataclass(frozen=True)
class Observed:
    """Of one optimisation step, or of the clip where a method does not optimise; memory in bytes."""

    calls: int
    evaluations: float  # rows of the network's batches per clip: CFG has two for a clip
    calls_outside: int  # of a method that optimises: its last sampling
    peak: int
    mean: float
    saved: int | None
    latent: int  # x_t of the batch


@dataclass(frozen=True)
class Timed:
    """s of the whole call, and of each of its optimisation steps."""

    seconds: float
    steps: list[float]


@dataclass(frozen=True)
class _Watched:
    rows: list[int]  # of the batch of each network call
    memory: list[int]  # at the end of each
    peak: int
    saved: int
    latent: int


def observe(case: Case) -> Observed:
    """Measure all but the time, with one optimisation step; this is also the warm-up."""
    outside = len(_watch(case, 0).rows) if case.full_steps is not None else 0
    seen = _watch(case, 1)
    calls = len(seen.rows) - outside  # the last sampling comes last
    return Observed(
        calls=calls,
        evaluations=sum(seen.rows[:calls]) / case.batch_size,
        calls_outside=outside,
        peak=seen.peak,
        mean=statistics.fmean(seen.memory[:calls]),
        saved=seen.saved if case.full_steps is not None else None,
        latent=seen.latent,
    )


def time_pass(case: Case, steps: int) -> Timed:
    """One call with so many optimisation steps, the method made before the clock starts."""
    method, control, device = case.made(steps), case.control, case.model.device
    wait(device)
    start = time.perf_counter()
    history = case.run(method, control).history
    wait(device)
    seconds = time.perf_counter() - start
    return Timed(seconds, [row["seconds"] for row in history.rows] if case.full_steps is not None else [])


def _watch(case: Case, steps: int) -> _Watched:
    rows: list[int] = []
    memory: list[int] = []
    saved: list[int] = [0]
    method, control, model = case.made(steps), case.control, case.model

    with allocated(model.device) as meter, saved_bytes() as kept:

        def sample(x_t: Tensor) -> None:
            rows.append(len(x_t))
            memory.append(meter.now)

        with count_calls(model, sample):
            generation = case.run(method, told(control, lambda: saved.append(kept.bytes)))
    return _Watched(rows, memory, meter.peak, saved[-1], generation.x_T.nbytes)


def told(control: Control, after: Callable[[], None]) -> Control:
    """The same control, which says when its loss is known: the forward pass ends there."""
    telling, judge = copy.copy(control), control.judge

    def judged(x_0: Tensor) -> tuple[Tensor, Tensor]:
        values = judge(x_0)
        after()
        return values

    vars(telling)["judge"] = judged
    return telling


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
