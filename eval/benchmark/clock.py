"""Seconds between marks, without waiting for the device at each of them."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import torch

from eval.efficiency.passes import wait


class Clock:
    """Call `mark` between pieces of work, then `seconds`. On a GPU the marks are events in its own queue."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: list[Any] = []
        wait(device)
        self.mark()

    def mark(self) -> None:
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Between one mark and the next."""
        wait(self.device)
        if self.device.type == "cuda":
            return [first.elapsed_time(second) / 1000 for first, second in pairwise(self._marks)]
        return [second - first for first, second in pairwise(self._marks)]
