"""After something hung or was out of reach: leave it alone for a while, so that not every run waits for it."""

from __future__ import annotations

import time


class Rest:
    """False, and true for `seconds` after `begin()`."""

    def __init__(self, seconds: float = 600.0) -> None:
        self.seconds = seconds
        self._until = -1.0

    def begin(self) -> None:
        self._until = time.monotonic() + self.seconds

    def end(self) -> None:
        self._until = -1.0

    def __bool__(self) -> bool:
        return time.monotonic() < self._until
