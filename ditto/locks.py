"""One launcher per run directory: an advisory lock that dies with its process.

The kernel's lock (flock) is the truth on one machine, and between machines where the file system passes it on: it is
gone when its holder is killed, however that happens. The file says who holds it (`ditto.lock_owner`).

Some file systems have no locks, or keep them to one machine without saying so. There the heartbeat decides: who finds
the name of a process on another machine in the file, and has the kernel's leave all the same, first watches for
`STALE_S` seconds of its own monotonic clock whether that process still counts. Only one whose count stands still is
dead. Without any kernel locks two that start at the same moment both write their names; after `SETTLE_S` the later
name stands.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ditto import lock_owner
from ditto.lock_owner import WIDTH, Owner, seems_alive

NAME = "lock"
SETTLE_S = 2.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


class Busy(Exception):
    """Another process is making this run; the message names it."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder` (created if missing); raises `Busy` when another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    descriptor, me = _acquire(path)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, descriptor, me, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        # Unlinked while still held, so nobody can lock a file that is about to vanish without noticing.
        with contextlib.suppress(OSError):
            if me.same_holding(_read(path)):
                os.unlink(path)
        os.close(descriptor)


def holder(folder: Path) -> str | None:
    """Who is making this run ("pid 12 on host"), or None when nobody is alive. One look, for showing."""
    owner = living(folder)
    return str(owner) if owner else None


def living(folder: Path) -> Owner | None:
    """The process that is making this run, or None when nobody is alive."""
    owner = _read(folder / NAME)
    return owner if owner and seems_alive(folder / NAME, owner) else None


def held_s(folder: Path) -> float | None:
    """For how long the run has been held; None where nobody holds it. Measured by the holder, monotonically."""
    owner = living(folder)
    if owner is None:
        return None
    try:
        since_beat = time.time() - (folder / NAME).stat().st_mtime
    except OSError:
        since_beat = 0.0
    return owner.held_s + min(max(since_beat, 0.0), lock_owner.HEARTBEAT_S)  # whatever the clocks do meanwhile


def wait(folder: Path, poll_s: float = 1.0) -> None:
    """Return when nobody holds the lock of `folder`. A holder elsewhere is given up once its heartbeat stood still."""
    path, watched = folder / NAME, Heartbeat()
    while True:
        owner = _read(path)
        if owner is None or owner.gone_with_its_boot or not (owner.runs if owner.here else watched.goes_on(owner)):
            return
        time.sleep(poll_s)


class Heartbeat:
    """Judges a process by whether it still counts, on the monotonic clock of the observer."""

    def __init__(self) -> None:
        self.seen: tuple[str, int] | None = None
        self.since = time.monotonic()

    def goes_on(self, owner: Owner) -> bool:
        """False once the same count was seen for `STALE_S`."""
        seen = (owner.token, owner.beat)
        if seen != self.seen:
            self.seen, self.since = seen, time.monotonic()
        return time.monotonic() - self.since < lock_owner.STALE_S


def _acquire(path: Path) -> tuple[int, Owner]:
    while True:
        descriptor = _open(path)
        try:
            by_kernel = _flock(descriptor, path)
            if _same_file(descriptor, path):
                _await_silence(path, by_kernel)
            if _same_file(descriptor, path):
                me = Owner.me()
                _write(descriptor, me)
                if not by_kernel:
                    _settle(path, me)
                return descriptor, me
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the previous holder unlinked it between our open and our lock: try again


def _open(path: Path) -> int:
    if path.is_dir():  # whatever it is, it is no lock
        shutil.rmtree(path)
    return os.open(path, os.O_CREAT | os.O_RDWR, 0o644)


def _flock(descriptor: int, path: Path) -> bool:
    """Take the kernel's lock; False where the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(holder(path.parent) or "another process") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _await_silence(path: Path, by_kernel: bool) -> None:
    """Watch the holder that the file names, if the kernel cannot speak for it; Busy when it lives."""
    owner = first = _read(path)
    watched = Heartbeat()
    while owner is not None and not _surely_gone(owner, by_kernel):
        if owner.here or (owner.token, owner.beat) != (first and (first.token, first.beat)):
            raise Busy(str(owner))
        if not watched.goes_on(owner):
            return
        time.sleep(min(1.0, lock_owner.STALE_S / 10))
        owner = _read(path)


def _surely_gone(owner: Owner, by_kernel: bool) -> bool:
    """Is it known without watching that this process does not hold the lock?"""
    same_kernel = owner.here or bool(owner.boot and owner.boot == Owner.me().boot)
    if by_kernel:
        return same_kernel or owner.gone_with_its_boot
    return owner.here and not owner.runs


def _settle(path: Path, me: Owner) -> None:
    """Without kernel locks: Busy if another process wrote its name after ours."""
    time.sleep(SETTLE_S)
    now = _read(path)
    if not me.same_holding(now):
        raise Busy(str(now or "another process"))


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _read(path: Path) -> Owner | None:
    try:
        with open(path, "rb") as file:  # opened anew each time: that is when NFS looks for news
            return Owner.parse(file.read(4 * WIDTH))
    except OSError:
        return None


def _write(descriptor: int, owner: Owner) -> None:
    data = owner.bytes()
    os.pwrite(descriptor, data, 0)
    os.ftruncate(descriptor, len(data))


def _beat(path: Path, descriptor: int, me: Owner, stop: threading.Event) -> None:
    start = time.monotonic()
    while not stop.wait(lock_owner.HEARTBEAT_S):
        with contextlib.suppress(OSError):
            if me.same_holding(_read(path)):  # else it was taken over: the new holder's name must stand
                me = me.after(time.monotonic() - start)
                _write(descriptor, me)
                os.fsync(descriptor)  # other machines see it now
