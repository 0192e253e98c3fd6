"""Large buffers stay with the process between the calls of a network, where the C library is glibc.

glibc gives every buffer above 32 MiB back to the kernel as soon as it is freed, and maps and zeroes it anew, page by
page, when the next one is asked for. The activations of a large network on a CPU are such buffers: with the paper's
U-Net that was 45 % of the processor time of an optimisation step. Up to 128 MiB they are now kept; with no limit at all
the peak memory grew by a quarter, as a free piece that is a little too small serves nobody (docs/profile.md).

The settings are mallopt(3)'s, of the process, and hold until the next call; a process that does not ask for them keeps
glibc's own behaviour.
"""

from __future__ import annotations

import ctypes

# Parameters of mallopt, <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
MIB = 2**20
NEVER = 2**31 - 1  # bytes: the largest C int


def keep_buffers() -> bool:
    """Freed buffers up to 128 MiB are used again; False where the C library has no such setting."""
    return _set(mmap=128 * MIB, trim=NEVER)


def return_buffers() -> bool:
    """glibc's own limits after it has seen large buffers, to compare with; False as `keep_buffers`."""
    return _set(mmap=32 * MIB, trim=64 * MIB)


def _set(mmap: int, trim: int) -> bool:
    """Bytes above which a buffer is mapped for itself, and of freed memory that are not given back."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc: macOS, musl, Windows
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    # An older glibc refuses a large threshold for mapping; 32 MiB is the most it takes.
    mapped = mallopt(_MMAP_THRESHOLD, mmap) or mallopt(_MMAP_THRESHOLD, 32 * MIB)
    return bool(mapped and mallopt(_TRIM_THRESHOLD, trim))
