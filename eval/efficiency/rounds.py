"""The measurement: every case observed once (the warm-up), then timed in rounds, A B C A B C.

Interleaved, so that a machine that becomes slower for a minute does so for all methods. Rows are kept after every call:
an interrupted measurement leaves those of the rounds so far.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tqdm import tqdm

from ditto.types import UserError
from eval.efficiency.cases import Case
from eval.efficiency.passes import Observed, Timed, observe, time_pass

T = TypeVar("T")


@dataclass(eq=False)
class Measured:
    """What is known of a case so far."""

    case: Case
    seen: Observed
    timed: list[Timed] = field(default_factory=list)


def interleaved(items: Sequence[T], rounds: int) -> Iterator[T]:
    """A B C A B C ..."""
    for _ in range(rounds):
        yield from items


def measure(
    cases: Sequence[Case], rounds: int, steps: int, keep: Callable[[list[Measured]], None], progress: bool = True
) -> list[Measured]:
    """All cases; `keep` is told after every call of a method. What a task leaves undefined is named."""
    measured: list[Measured] = []
    with tqdm(total=len(cases) * (rounds + 1), unit="call", disable=not progress) as bar:
        for case in cases:
            bar.set_description(f"warm-up {case.name}")
            try:
                measured.append(Measured(case, observe(case)))
            except UserError as error:
                bar.write(f"left out: {case.name}, {error}", file=sys.stderr)
                bar.total -= rounds
            bar.update()
            keep(measured)
        for one in interleaved(measured, rounds):
            bar.set_description(f"round {len(one.timed) + 1} {one.case.name}")
            one.timed.append(time_pass(one.case, steps))
            bar.update()
            keep(measured)
    if not measured:
        raise UserError("none of these methods is defined for this task")
    return measured
