"""One pass of a variant: optimisation steps timed, or one step watched. Both end before the method's last sampling."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from ditto.controls.base import Control
from ditto.memory import saved_bytes
from ditto.method import Request
from ditto.types import Generation, History
from eval.benchmark.slow import replaced
from eval.benchmark.variants import Variant
from eval.efficiency.live import allocated
from eval.efficiency.passes import told, wait

Call = tuple[Any, ...]  # the arguments of one call


@dataclass
class Seen:
    """What a step asks of the model, and its memory in bytes. Calls have copies of their tensors, on the CPU."""

    forward: list[Call] = field(default_factory=list)  # of the network, until the loss is known
    sounds: list[Call] = field(default_factory=list)  # of `model.wave`
    recomputed: int = 0  # calls of the network in the backward pass
    peak: int = 0
    saved: int = 0


def step_seconds(variant: Variant, steps: int) -> float:
    """Mean of so many optimisation steps; what the method makes once (prompts, its own state) is outside of them."""
    with running(variant):
        rows = _first_steps(variant, steps, variant.control)
    return sum(row["seconds"] for row in rows) / len(rows)


def watch(variant: Variant) -> Seen:
    """One step with all meters on; slower by that, so it is not timed, and warms up the variant.

    On a CPU what is compiled runs as it was written: its memory is that of the code without compiling.
    """
    seen, model = Seen(), variant.model
    calls: list[Call] = []

    def forward_ends(saved: int) -> None:
        seen.forward, seen.saved = list(calls), saved

    with ExitStack() as noted:
        if model.device.type == "cpu":  # its meter sees operations
            noted.enter_context(uncompiled())
        noted.enter_context(running(variant))
        meter, kept = noted.enter_context(allocated(model.device)), noted.enter_context(saved_bytes())
        noted.enter_context(replaced(model, "denoise", lambda denoise: _noting(denoise, calls)))
        noted.enter_context(replaced(model, "wave", lambda wave: _noting(wave, seen.sounds)))
        _first_steps(variant, 1, told(variant.control, lambda: forward_ends(kept.bytes)))
        seen.peak = meter.peak
    seen.recomputed = len(calls) - len(seen.forward)
    return seen


@contextmanager
def running(variant: Variant) -> Iterator[None]:
    """With the slow changes of the variant made."""
    with ExitStack() as changed:
        for change in variant.changes:
            changed.enter_context(change(variant.model))
        yield


def uncompiled() -> AbstractContextManager[None]:
    """What is compiled runs as it was written, since a compiled graph does not show its operations."""
    stance: AbstractContextManager[None] = torch.compiler.set_stance("force_eager")
    return stance


class _Enough(Exception):
    """The steps are made."""


def _first_steps(variant: Variant, steps: int, control: Control) -> list[dict[str, Any]]:
    """The history's rows of the first steps."""
    rows: list[dict[str, Any]] = []

    def note(row: dict[str, Any]) -> None:
        rows.append(row)
        if len(rows) == steps:
            raise _Enough

    def started(request: Request) -> Generation:
        with contextlib.suppress(_Enough):
            return variant.made_once(replace(request, observe=note))
        return Generation(request.x_T, request.x_T, request.x_T.flatten(1), History())  # nobody hears it

    wait(variant.model.device)
    variant.run(started, control)
    return rows


def _noting(function: Callable[..., Tensor], calls: list[Call]) -> Callable[..., Tensor]:
    """The same function, whose arguments are kept: copies on the CPU, which the meters of memory do not see."""

    def noted(*args: Any, **kwargs: Any) -> Tensor:
        with _disable_current_modes():
            calls.append(tuple(x.detach().to("cpu", copy=True) if isinstance(x, Tensor) else x for x in args))
        return function(*args, **kwargs)

    return noted
