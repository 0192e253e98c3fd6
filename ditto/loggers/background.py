"""Calls that must not hold up anybody, made one after the other on a thread of their own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

# Calls waiting for one that hangs; what comes after is dropped, and can be had from the run directory.
ROOM = 10_000


class Background:
    """The first call that raises is told to `on_error` and is the last to be made.

    The thread is a daemon: the process ends whether or not a call has come back.
    """

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(ROOM)
        self._on_error = on_error
        self._thread = threading.Thread(target=self._work, name="ditto-logger", daemon=True)
        self._thread.start()

    def do(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have `call(*arguments)` made; returns at once."""
        with contextlib.suppress(queue.Full):
            self._calls.put_nowait(lambda: call(*arguments))

    def finish(self, seconds: float) -> bool:
        """No more calls will come. Wait for those that were asked for; False where they take longer."""
        try:
            self._calls.put_nowait(None)
        except queue.Full:
            return False
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception as error:
                self._on_error(error)
                return
