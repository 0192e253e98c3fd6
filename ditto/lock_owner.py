"""Who holds a lock, as the lock file says it, and whether that process still lives.

On the same machine a process is its id and its start time together (field 22 of /proc/<pid>/stat: ids are used again),
within one boot and one namespace of process ids. Of a process on another machine only its heartbeat can be seen: a
counter in the file. No clock of one machine is ever compared with that of another.

The file is one JSON object padded to `WIDTH` bytes, so that a single write replaces all of it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

WIDTH = 512
HEARTBEAT_S = 10.0
# A heartbeat that stands still for this long has stopped: six were missed.
STALE_S = 60.0
_offsets: dict[int, tuple[float, float]] = {}  # device -> (its clock less the monotonic one, when that was found)


@dataclass(frozen=True)
class Owner:
    """A process that holds a lock; `beat` counts its heartbeats, `held_s` is how long it had held at the last one."""

    pid: int
    host: str
    boot: str = ""
    namespace: str = ""
    born: int | None = None  # start of the process, in clock ticks since boot
    token: str = ""  # of one holding of one lock
    beat: int = 0
    held_s: float = 0.0

    @classmethod
    def me(cls) -> Owner:
        """This process, with a token of its own at each call."""
        pid = os.getpid()
        return cls(pid, socket.gethostname(), _boot(), _namespace(), _born(pid), os.urandom(8).hex())

    @classmethod
    def parse(cls, data: bytes) -> Owner | None:
        """What a lock file says; None where it is empty or not ours."""
        try:
            said = json.loads(data)
            kinds = {"pid": int, "host": str, "boot": str, "namespace": str, "token": str, "beat": int}
            known = {key: said[key] for key in kinds if key in said}
            if all(type(value) is kinds[key] for key, value in known.items()) and known["pid"] > 0:
                return cls(**known, born=_number(said.get("born")), held_s=float(said.get("held_s", 0.0)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass
        return None

    def bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode().ljust(WIDTH)

    def after(self, seconds: float) -> Owner:
        """The same at its next heartbeat, `seconds` after it took the lock."""
        return replace(self, beat=self.beat + 1, held_s=round(seconds, 3))

    def same_holding(self, other: Owner | None) -> bool:
        return other is not None and (self.pid, self.host, self.token) == (other.pid, other.host, other.token)

    @property
    def here(self) -> bool:
        """Can this process look at that one? Files of older versions say the host alone."""
        if self.host != socket.gethostname():
            return False
        return (not self.boot or self.boot == _boot()) and (not self.namespace or self.namespace == _namespace())

    @property
    def gone_with_its_boot(self) -> bool:
        """This host, before it was started again."""
        return self.host == socket.gethostname() and bool(self.boot) and bool(_boot()) and self.boot != _boot()

    @property
    def runs(self) -> bool:
        """Does the process live? For processes `here` only."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, born = _stat(self.pid)
            return state not in "ZX" and self.born in (None, born)
        return not Path("/proc/self/stat").exists() and _answers(self.pid)

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"


def seems_alive(path: Path, owner: Owner) -> bool:
    """One look at a lock file, for showing. A process elsewhere lives if it wrote lately by its file system's clock.

    After that clock was changed this is wrong for at most two heartbeats: a time in the future counts as none.
    """
    if owner.here:
        return owner.runs
    if owner.gone_with_its_boot:
        return False
    age_s = age(path)
    return age_s is not None and -HEARTBEAT_S <= age_s < STALE_S


def age(path: Path) -> float | None:
    """Seconds since the file was written, by the clock of its file system; None where it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    offset, at = _offsets.get(stat.st_dev, (0.0, -math.inf))
    if time.monotonic() - at > HEARTBEAT_S:
        offset, at = _clock(path.parent) - time.monotonic(), time.monotonic()
        _offsets[stat.st_dev] = offset, at
    return time.monotonic() + offset - stat.st_mtime


def _clock(folder: Path) -> float:
    """What time it is where this folder is stored: that of a file written now."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock.", suffix=".tmp") as probe:
            probe.write(b"?")
            probe.flush()
            return os.fstat(probe.fileno()).st_mtime
    except OSError:  # the folder may only be read: this machine's clock is the best there is
        return time.time()


def _stat(pid: int) -> tuple[str, int]:
    """(state, start time in ticks since boot) of a process; the name before them may hold spaces and brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _born(pid: int) -> int | None:
    try:
        return _stat(pid)[1]
    except (OSError, ValueError, IndexError):
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _answers(pid: int) -> bool:
    """Without /proc: does a process of this id exist?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _number(value: object) -> int | None:
    return value if type(value) is int else None
