"""The most memory that was in use while a batch was made, in GiB; each batch of a sweep for itself.

GPU: peak of allocated memory. CPU: peak of the process's resident memory, with interpreter, libraries and model (some
0.5 GiB). On Linux the kernel's mark is put back at each start (proc(5): 5 in /proc/self/clear_refs); where it cannot
be, the mark is that of the process so far. Memory that earlier batches have freed is returned to the kernel before, but
only where more than `TOLERANCE` of it may be left: finding it takes a quarter of a second, as long as a small run.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

TOLERANCE = 32 * 2**20  # bytes
_PROCESS = Path("/proc/self")
_clean = -TOLERANCE  # resident bytes after the last clean-up; before the first one anything is more


def start_peak(device: torch.device) -> None:
    """Measure from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    if not 0 < _resident() <= _clean + TOLERANCE:
        _clean_up()
    _put_mark_back()


def peak_gib(device: torch.device) -> float:
    """The peak since `start_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return (_resident_peak() or _peak_so_far()) / 2**30


def taken_by(action: Callable[[], object], device: torch.device) -> float | None:
    """Bytes in use at the most while `action` runs, beyond those before it; None where the system does not tell."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        return torch.cuda.max_memory_allocated(device) - before
    _clean_up()
    if not _put_mark_back():
        return None
    before = _resident()
    action()
    return max(_resident_peak() - before, 0)


def _clean_up() -> None:
    """Return freed memory to the kernel."""
    global _clean
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # no glibc: freed memory stays with the process
        ctypes.CDLL(None).malloc_trim(0)
    _clean = _resident()


def _put_mark_back() -> bool:
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:  # not Linux, or not permitted
        return False
    return True


def _resident() -> int:
    """Bytes in memory now; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return int((_PROCESS / "statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def _resident_peak() -> int:
    """Bytes at the kernel's mark; 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _peak_so_far() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
