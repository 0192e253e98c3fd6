"""Read every file of every finished run again: is it what was written, and does it open?

With repair, a run that is not whole is marked as damaged, so that the same command makes it again; nothing is moved.
What is removed, and said, are shared text-only latents that cannot be read: they are made again by who needs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ditto import locks
from ditto.atomic import write_json
from ditto.run_files import deep_damage, read_status
from ditto.runs.reading import AGAIN, Run

TEXT_ONLY = ".text_only"
_READABLE = ("done", "damaged")


@dataclass(frozen=True)
class Finding:
    """Something that is not what it should be, and what was done about it."""

    path: Path
    wrong: str
    done: str = ""


def verify(runs_dir: str | Path, runs: Sequence[Run], repair: bool = False) -> Iterator[Finding]:
    """A finding for each damaged run or shared file, as they are found."""
    for run in runs:
        wrong = _wrong(run)
        if wrong:
            yield Finding(run.path, wrong, _mark(run, wrong) if repair else "")
    for path in sorted((Path(runs_dir) / TEXT_ONLY).glob("*.safetensors")):
        wrong = _unreadable(path)
        if wrong:
            if repair:
                path.unlink(missing_ok=True)
            yield Finding(path, wrong, "removed; it is made again when needed" if repair else "")


def _wrong(run: Run) -> str:
    """Only what says it is done can be wrong; an unfinished run is checked when it goes on."""
    if run.status not in _READABLE:
        return ""
    if run.status == "damaged":
        return run.reason.removesuffix(f"; {AGAIN}")
    return deep_damage(run.path)


def _mark(run: Run, wrong: str) -> str:
    """Make status.json say that the run is damaged, unless somebody is at it."""
    try:
        with locks.held(run.path):
            write_json(run.path / "status.json", {**read_status(run.path), "status": "damaged", "reason": wrong})
    except locks.Busy as busy:
        return f"left alone: {busy} is making it"
    return f"marked: {AGAIN}"


def _unreadable(path: Path) -> str:
    from safetensors import safe_open

    try:
        with safe_open(path, "numpy") as file:
            list(file.keys())
    except Exception as error:
        return f"cannot be opened ({next(iter(str(error).splitlines()), type(error).__name__)})"
    return ""
