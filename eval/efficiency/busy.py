"""Is the machine busy with something else? Times then say little."""

from __future__ import annotations

import os

TOLERATED = 0.25  # of the cores


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def others(own_threads: int = 0) -> float:
    """Processes that ran in the last minute (mean), less this one's threads; 0 where the system does not say."""
    try:
        return max(0.0, os.getloadavg()[0] - own_threads)
    except OSError:
        return 0.0


def is_busy(load: float) -> bool:
    """More of others' work than a quarter of the cores."""
    return load > TOLERATED * cores()


def warning(load: float) -> str:
    """One line for the user."""
    return (
        f"warning: {load:.1f} other processes run on {cores()} cores: times mean little (the column busy says so); "
        "memory and calls do not change"
    )
