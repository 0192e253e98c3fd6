"""Reuse of an optimised x_T* (DITTO, appendix I and table 10): what of the control is in the noise alone?

DITTO's x_T* of a finished run is sampled from B = 10 times by a stochastic sampler (the paper's is DDPM), every time
with step noise of its own, with the clip's prompt or with a random one, and with or without a FreeDoM update in each
step. The figure is the mean over the samples of L(f(x_0), y): rows of the history, one per sample. What it is to be
compared with is the same from an x_T that was not optimised (`run: null`).

Sample k of a clip takes its step noise and its random prompt (of the training split) from the seed (clip's seed, k).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from tqdm import tqdm

from baselines.optimised_noise import optimised_noise
from ditto.controls.base import Control
from ditto.data.labels import load_pieces
from ditto.memory import count_calls
from ditto.method import Request
from ditto.noise import derived_seeds
from ditto.sampling import Hook
from ditto.types import Generation, History, UserError

PROMPTS = ("fixed", "random")


class Guidance(Protocol):
    """A method that can also guide a sampler's steps from outside: FreeDoM."""

    def hook(self, control: Control) -> Hook: ...


@dataclass(frozen=True)
class Reuse:
    """run: directory of the run whose x_T* are taken, null: the clips' own noise; freedom: null, or what guides."""

    run: str | None = None
    samples: int = 10
    prompts: str = "fixed"
    freedom: Guidance | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UserError(f"samples={self.samples}: give 1 or more")
        if self.prompts not in PROMPTS:
            raise UserError(f"prompts={self.prompts}: choose {' or '.join(PROMPTS)}")

    @torch.no_grad()
    def __call__(self, request: Request) -> Generation:
        model, sampler, control, seeds = request.model, request.sampler, request.control, request.seeds
        if not sampler.stochastic:
            raise UserError("reuse draws several samples from one x_T, which needs a stochastic sampler: sampler=ddpm")
        x_T = request.x_T
        if self.run is not None:
            x_T = optimised_noise(Path(self.run), request).to(x_T)
        null, history = model.encode([""]), History(stopped=[None] * len(seeds))
        with count_calls(model) as calls:
            for k in tqdm(range(self.samples), desc="reuse", unit="sample", disable=not request.progress):
                started = time.perf_counter()
                c = model.encode(self.prompts_of(k, request.prompts, seeds))
                hook = None if self.freedom is None else self.freedom.hook(control)
                own = derived_seeds(seeds, "reuse", k)
                x_0 = sampler(model, x_T, c, hook=hook, seeds=own, null=null)
                loss, metric = (value_B.tolist() for value_B in control.judge(x_0))
                seconds = time.perf_counter() - started
                history.rows.append({"step": k, "loss": loss, "metric": metric, "seconds": seconds})
                request.observe(history.rows[-1])
        history.model_calls = calls.count
        return Generation(x_T, x_0, model.wave(x_0), history)

    def prompts_of(self, k: int, prompts: list[str], seeds: Sequence[int]) -> list[str]:
        """The prompt of each clip's sample k."""
        if self.prompts == "fixed":
            return prompts
        pieces = load_pieces("train")
        return [pieces[seed % len(pieces)].captions[0] for seed in derived_seeds(seeds, "prompt", k)]
