"""The measurement: every variant watched once, which warms it up, then rounds of all variants, A B C A B C."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from tqdm import tqdm

from ditto.out_of_memory import is_out_of_memory, release
from ditto.types import UserError
from eval.benchmark.bare import Bare, Operated, bare_seconds, operations
from eval.benchmark.matmul import matmul_rate
from eval.benchmark.step import Seen, step_seconds, watch
from eval.benchmark.variants import Variant

AT_LEAST = 2  # rounds that are made whatever they take: one has no spread


@dataclass(eq=False)
class Measured:
    """What is known of a variant so far: a value a round. `failed` says why there is none."""

    variant: Variant
    seen: Seen | None = None
    operated: Operated | None = None
    steps: list[float] = field(default_factory=list)
    bare: list[Bare] = field(default_factory=list)
    failed: str = ""

    @property
    def per_clip(self) -> list[float]:
        """Seconds of a step and clip, by round."""
        return [seconds / self.variant.batch_size for seconds in self.steps]


@dataclass
class Results:
    """Of the whole run; `rates` are operations a second of a matrix product, by round."""

    measured: list[Measured]
    rates: dict[torch.dtype, list[float]] = field(default_factory=dict)

    @property
    def there(self) -> list[Measured]:
        """Those that work."""
        return [one for one in self.measured if not one.failed]


def measure(variants: Sequence[Variant], options: Mapping[str, Any], keep: Callable[[Results], None]) -> Results:
    """All variants; `keep` is told after the warm-up and after every round. What fails is said and left out."""
    began = time.perf_counter()
    results = Results([Measured(variant) for variant in variants])
    with tqdm(total=len(variants) * (options["rounds"] + 1), unit="pass", disable=not options["progress"]) as bar:
        for one in results.measured:
            bar.set_description(f"warm-up, {one.variant.name}")
            _tried(one, lambda one=one: _warm_up(one, results.measured))  # type: ignore[misc]
            bar.update()
        if not results.there:
            raise UserError("none of the variants could be measured: see above")
        keep(results)
        for number in range(options["rounds"]):
            started = time.perf_counter()
            _round(results, options, bar, number)
            keep(results)
            now = time.perf_counter()
            if number + 1 >= AT_LEAST and now - began + (now - started) > 60 * options["minutes"]:
                break
    return results


def _round(results: Results, options: Mapping[str, Any], bar: tqdm, number: int) -> None:
    for dtype, device in {(one.variant.model.dtype, one.variant.model.device): None for one in results.there}:
        results.rates.setdefault(dtype, []).append(matmul_rate(options["matmul"], dtype, device))
    for one in results.there:
        bar.set_description(f"round {number + 1}, {one.variant.name}")
        _tried(one, lambda one=one: _timed(one, options))  # type: ignore[misc]
        bar.update()


def _warm_up(one: Measured, so_far: Sequence[Measured]) -> None:
    """Watch it; count operations once a model, on the first variant of it, which is not compiled."""
    variant = one.variant
    one.seen = watch(variant)
    counted = (other.operated for other in so_far if other.variant.model_name == variant.model_name)
    one.operated = next(filter(None, counted), None) or operations(variant, one.seen)
    for _ in range(variant.warmup):
        step_seconds(variant, 1)


def _timed(one: Measured, options: Mapping[str, Any]) -> None:
    assert one.seen is not None
    one.steps.append(step_seconds(one.variant, options["steps"]))
    if one.variant.bare:
        one.bare.append(bare_seconds(one.variant, one.seen, options["bare_calls"]))


def _tried(one: Measured, work: Callable[[], None]) -> None:
    """One variant must not cost the others their figures."""
    try:
        work()
    except Exception as error:
        words = str(error).splitlines() or [""]
        one.failed = "out of memory" if is_out_of_memory(error) else f"{type(error).__name__}: {words[0]}"
        one.seen = None
    if one.failed:
        print(f"left out: {one.variant.name}, {one.failed}", file=sys.stderr)
        release()
