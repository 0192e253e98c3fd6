"""How long the run will take, told before it: one network call of each precision, times the calls of all variants."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ditto.chain import Denoiser
from ditto.noise import noise
from ditto.types import UserError
from eval.benchmark.clock import Clock
from eval.benchmark.variants import Variant

FORWARDS = 4  # of a checkpointed step, in network calls: forward, recomputed, and a backward of about two
TWICE = ("doodl",)  # methods of two chains
WATCHED = 1.3  # a watched pass over a timed one


def expected_seconds(variants: Sequence[Variant], options: Mapping[str, Any]) -> float:
    """A rough figure: two for one is usual."""
    calls: dict[tuple[str, torch.dtype], float] = {}
    total = 0.0
    for variant in variants:
        try:
            key = variant.model_name, variant.model.dtype
        except UserError:  # the warm-up says so
            continue
        if key not in calls:
            calls[key] = _call_seconds(variant)
        step = (
            FORWARDS * variant.sampler_steps * variant.batch_size * calls[key] * (2 if variant.method in TWICE else 1)
        )
        bare = options["bare_calls"] * 5 / FORWARDS / variant.sampler_steps if variant.bare else 0.0
        total += step * (WATCHED + options["rounds"] * (options["steps"] + bare))
    return total


def _call_seconds(variant: Variant) -> float:
    """Of one clip with CFG, without gradients."""
    model = variant.model
    denoiser = Denoiser(model, model.encode(["a song"]), model.encode([""]), scale=2.0)
    x_t = noise([0], model.shape, model.device, model.latent_dtype)
    t = model.schedule.timesteps(variant.sampler_steps)[0]
    clock = Clock(model.device)
    with torch.no_grad():
        for _ in range(4):
            denoiser(x_t, t)
            clock.mark()
    return statistics.median(clock.seconds()[1:])
