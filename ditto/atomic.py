"""Files that are either the old one or the whole new one, whenever their writer is killed; and reading them back.

A power cut is another matter. A file system may keep the new name and lose the data of a file that was not synced, for
half a minute after it was written; `sync` is for files whose loss would cost more than the few milliseconds it takes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# No room, or no place to write: the user can mend it.
_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.ENOENT,
    errno.EEXIST,
)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` so that `path` is either the old file or the whole new one. NoSpace where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            _replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` of a value as JSON; what JSON has no form for becomes its str."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n").encode()


def read_json(path: Path) -> Any:
    """The file's value, or None when it is missing or not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def sync(*paths: Path) -> None:
    """Wait until the files, and the names that lead to them, are on the disk; what is there already costs nothing."""
    for path in [*paths, *{path.parent for path in paths}]:
        with contextlib.suppress(OSError):  # gone again, or of a file system that cannot
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden directory into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        from ditto.types import NoSpace

        why = os.strerror(error.errno or 0).lower()
        raise NoSpace(
            f"cannot write {path}: {why}; free some space or choose another place with runs_dir=DIR"
        ) from error


def _replace(temporary: Path, path: Path) -> None:
    try:
        os.replace(temporary, path)
    except IsADirectoryError:  # damage: no file of ours is a directory
        shutil.rmtree(path)
        os.replace(temporary, path)
