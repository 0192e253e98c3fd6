"""Where the time of an evaluation goes."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator


class Stopwatch:
    """`with watch("embedding"): …` adds up the seconds of each part; parts may be entered again, but not nested."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - started

    def __str__(self) -> str:
        """The parts, the longest first: "control 61.0 s (58 %), …"."""
        total = sum(self.seconds.values()) or 1.0
        return ", ".join(
            f"{name} {s:.1f} s ({s / total:.0%})" for name, s in sorted(self.seconds.items(), key=lambda one: -one[1])
        )
