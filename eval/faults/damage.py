"""Damage to the directories of runs that nobody is making: what a broken disk or a person leaves behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from ditto import locks
from ditto.runs import run_paths, state


def damage_one(runs_dir: Path, chance: random.Random) -> str | None:
    """Spoil one file of one run at random; "<run id> <its status before>", or None where there was nothing to spoil."""
    free = [path for path in run_paths(runs_dir) if locks.holder(path) is None]
    if not free:
        return None
    path = chance.choice(free)
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != locks.NAME)
    if not files:
        return None
    before = state(path)[0]
    chance.choice(_WAYS)(chance.choice(files))
    return f"{path.name} {before}"


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _garble(file: Path) -> None:
    file.write_bytes(b"\x00garbage\xff")


_WAYS: tuple[Callable[[Path], None], ...] = (_truncate, _garble, Path.unlink)
