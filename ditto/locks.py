"""One launcher per run directory: an advisory lock that dies with its process.

The kernel releases the lock when its holder is killed, so a stale lock cannot exist on one machine. The file says who
holds it; a heartbeat keeps its modification time fresh, which lets other machines tell a running job from a dead one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

HEARTBEAT_S = 15.0
# A holder on another machine whose heartbeat is older than this is taken for dead.
STALE_S = 120.0
NAME = "lock"


class Busy(Exception):
    """Another process is making this run; the message names it."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder` (created if missing); raises `Busy` when another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    descriptor = _acquire(path)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        # Unlinked while still held, so nobody can lock a file that is about to vanish without noticing.
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(descriptor)


def holder(folder: Path) -> str | None:
    """Who is making this run ("pid 12 on host"), or None when nobody is alive."""
    path = folder / NAME
    try:
        owner = json.loads(path.read_text())
        age_s = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    alive = _alive(owner["pid"]) if owner["host"] == socket.gethostname() else age_s < STALE_S
    return f"pid {owner['pid']} on {owner['host']}" if alive else None


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            _flock(descriptor, path)
            if _same_file(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the previous holder unlinked it between our open and our lock: try again


def _flock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(holder(path.parent) or "another process") from None
    except OSError as error:
        # File systems without locks: the heartbeat of the last holder is all there is.
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise
        owner = holder(path.parent)
        if owner is not None:
            raise Busy(owner) from None


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        with contextlib.suppress(OSError):
            os.utime(path)
