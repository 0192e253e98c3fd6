"""How much memory a batch may take on a device, in bytes: what is free, less a margin.

GPU: what the driver says is free, and what PyTorch holds without using it. CPU: MemAvailable of /proc/meminfo (what can
be had without swapping), or less where a control group limits the process (a container, a Slurm job): its limit minus
what it uses, page cache that can be dropped not counted. 15 % stay free: the need is an estimate, and memory falls into
pieces. Processes that work side by side see the same free memory: give each its share as `memory_gib`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

MARGIN = 0.15
_MEMINFO, _MEMBERSHIP = Path("/proc/meminfo"), Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
# Limit, use and reclaimable page cache: version 2 of control groups, and version 1.
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def room(device: torch.device, memory_gib: float | None = None) -> float | None:
    """Bytes: `memory_gib` as given, or what is free less the margin; None where the system does not say."""
    if memory_gib is not None:
        return memory_gib * 2**30
    free = _free_on_gpu(device) if device.type == "cuda" else free_on_cpu()
    return None if free is None else free * (1 - MARGIN)


def _free_on_gpu(device: torch.device) -> float:
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def free_on_cpu() -> float | None:
    """The smallest of what the machine and the control groups leave; None where there is no /proc."""
    return min([*_available(), *_left_by_groups()], default=None)


def _available() -> Iterator[float]:
    with contextlib.suppress(OSError):
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield float(line.split()[1]) * 1024


def _left_by_groups() -> Iterator[float]:
    """Of every group from the process's own to the root; each may have a limit."""
    for folder in _groups():
        for limit, used, cache in _FILES:
            with contextlib.suppress(OSError, ValueError):  # "max": no limit
                most = int((folder / limit).read_text())
                yield max(most - int((folder / used).read_text()) + _statistic(folder, cache), 0.0)


def _groups() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for line in _MEMBERSHIP.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            root = _CGROUPS / controllers
            inside = root / path.lstrip("/")
            yield inside
            for parent in inside.parents:
                if parent.is_relative_to(root):
                    yield parent


def _statistic(folder: Path, name: str) -> int:
    lines = (folder / "memory.stat").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)
