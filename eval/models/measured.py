"""The same figures with a clock: on a GPU, or of single calls on a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from eval.efficiency.cases import Case
from eval.efficiency.passes import observe, time_pass
from eval.efficiency.rows import GIB, spread
from eval.models.pieces import Piece, Pieces, backward, forward, gib, pieces
from eval.sets import Row, row


def call_rows(case: Case, rounds: int) -> list[Row]:
    """Seconds of a guided network call and of the way to sound, each forward, and with its gradient."""
    model = case.model
    parts = pieces(case, model, model.encode(["a song"]), model.encode([""]))
    timed: dict[str, tuple[Callable, Piece]] = {
        "seconds_call": (forward, parts.call),
        "seconds_call_backward": (backward, parts.call),
        "seconds_wave": (forward, parts.wave),
        "seconds_wave_backward": (backward, parts.wave),
    }
    rows = [spread(metric, _seconds(work, piece, parts, rounds)) for metric, (work, piece) in timed.items()]
    return [*rows, row("weights_gib", gib(model), 1)]


def step_rows(case: Case, rounds: int) -> list[Row]:
    """Seconds and peak memory of an optimisation step, from the method itself; a first one is not timed."""
    seen = observe(case)
    timed = time_pass(case, rounds)
    rows = [spread("seconds_step", timed.steps), row("peak_gib", seen.peak / GIB, 1)]
    return [*rows, row("model_calls_step", seen.calls, 1)]


def _seconds(work: Callable, piece: Piece, parts: Pieces, rounds: int) -> list[float]:
    """Of `rounds` runs after one that is not timed."""
    times = []
    for _ in range(rounds + 1):
        x = parts.latent()
        _wait(x.device)
        start = time.perf_counter()
        work(piece, x)
        _wait(x.device)
        times.append(time.perf_counter() - start)
    return times[1:]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
