"""Processes of a sweep end with the launcher that started them, even where that one was killed without a word.

A pool's idle process waits for its launcher's locks for ever; it would keep its memory and its GPU.
"""

from __future__ import annotations

import os
import signal
import threading
import time


def end_with_launcher(poll_s: float = 1.0, grace_s: float = 30.0) -> None:
    """For a process of a pool, when it starts: once its parent is gone, end as at a scheduler's SIGTERM.

    A job then saves what it has and says so; whatever is not over `grace_s` seconds later is cut off.
    """
    launcher = os.getppid()
    threading.Thread(target=_watch, args=(launcher, poll_s, grace_s), daemon=True).start()


def _watch(launcher: int, poll_s: float, grace_s: float) -> None:
    while os.getppid() == launcher:
        time.sleep(poll_s)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os._exit(1)
