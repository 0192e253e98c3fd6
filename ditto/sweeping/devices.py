"""Which GPU a process takes: one that no other process of ours holds, so that the workers of a sweep get one each.

A process takes a seat at a GPU by locking a file of it in a folder of the user's; the kernel gives the seat back when
the process ends, however it ends. Seats of free GPUs are taken first. When all are taken nobody waits: how many
processes there are is for the engine to say (`n_jobs`), more of them than GPUs are meant, and a run by hand must never
hang. They go to the GPUs with the fewest, and say so.

CUDA_VISIBLE_DEVICES, Slurm and Ray choose first: only what they leave visible is looked at, and one visible GPU is
taken whoever sits there. Nothing here creates a CUDA context before the choice is made.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SMI = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
_SMI_S = 20.0


@dataclass(frozen=True)
class Seat:
    """A place of process `pid` at the GPU of torch's name `device`; held as long as `descriptor` is open."""

    device: str
    number: int
    pid: int
    descriptor: int


_seat: Seat | None = None


def take_gpu() -> str:
    """torch's name of the GPU of this process, the same at every call: cuda, cuda:1; cpu where there is none."""
    import torch

    global _seat
    count = gpus()
    if not count:
        return "cpu"
    if _seat is None or _seat.pid != os.getpid():  # a forked process is another one
        try:
            _seat = sit_down(gpu_names(count))
        except OSError as error:  # no place for locks: the first GPU, as without them
            print(f"note: cannot tell which GPUs are taken ({error}); using the first", file=sys.stderr)
            return "cuda"
        if _seat.number:
            print(f"note: {_seat.device} is shared with {_seat.number} more of your processes", file=sys.stderr)
        if count > 1:
            torch.cuda.set_device(_seat.device)
    return _seat.device


def gpus() -> int:
    """How many GPUs this process may use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def workers() -> int:
    """How many processes fill this machine: one for each visible GPU or, without any, one for each core."""
    import joblib

    return gpus() or joblib.cpu_count()


def gpus_per_job() -> int:
    """1 where there is a GPU, else 0: what a job asks of Ray."""
    return min(1, gpus())


def gpu_names(count: int) -> list[str]:
    """A name for each of the `count` visible GPUs that is the same in every process: its UUID or, failing that, index.

    Numbers count what the driver shows to this process, which in a container may not be the machine's first GPU.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    words = [str(k) for k in range(count)] if visible is None else [word.strip() for word in visible.split(",")]
    known = _uuids() if count else []
    return [_full_name(word, known) for word in words[:count]]


def _full_name(word: str, uuids: list[str]) -> str:
    """The UUID that an entry of CUDA_VISIBLE_DEVICES means: a number, or the beginning of a UUID."""
    if word.isdigit():
        return uuids[int(word)] if int(word) < len(uuids) else word
    return next((uuid for uuid in uuids if uuid.startswith(word)), word)


def _uuids() -> list[str]:
    try:
        done = subprocess.run(_SMI, capture_output=True, text=True, timeout=_SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def sit_down(names: list[str]) -> Seat:
    """The first free seat at one of the GPUs, in the order: seat 0 of every GPU, seat 1 of every GPU, ..."""
    folder = Path(tempfile.gettempdir()) / f"ditto-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in itertools.count():
        for index, name in enumerate(names):
            descriptor = _lock(folder / f"{name}.{number}")
            if descriptor is not None:
                return Seat("cuda" if len(names) == 1 else f"cuda:{index}", number, os.getpid(), descriptor)
    raise AssertionError("seats do not end")


def _lock(path: Path) -> int | None:
    """An open descriptor that holds the lock of `path`; None where another process has it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
