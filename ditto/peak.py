"""The most memory that was in use while a batch was made, in GiB; each batch of a sweep for itself.

GPU: peak of allocated memory. CPU: peak of the process's resident memory, with interpreter, libraries and model (some
0.5 GiB). On Linux the kernel's mark is put back at each start (proc(5): 5 in /proc/self/clear_refs), once memory that
earlier batches have freed is returned to it; where it cannot be, the mark is that of the process so far.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")


def start_peak(device: torch.device) -> None:
    """Measure from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # no glibc: freed memory stays with the process
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):  # not Linux, or not permitted
        (_PROCESS / "clear_refs").write_text("5")


def peak_gib(device: torch.device) -> float:
    """The peak since `start_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return (_resident_peak() or _peak_so_far()) / 2**30


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
