"""One run as its directory tells. Nothing here raises because a file is damaged."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ditto import locks
from ditto.run_files import damage, read_clips, read_status

AGAIN = "the same command makes it again"


@dataclass(frozen=True)
class Run:
    """status, one of

    done         finished and whole
    running      its process lives
    failed       an error, or every clip failed
    interrupted  it was asked to stop
    killed       it says running and its process is gone
    damaged      it says done and is not whole, or says nothing that can be read
    undefined    its method has no meaning for its task: there is nothing to make
    """

    path: Path
    status: str
    reason: str
    said: Mapping[str, Any]  # status.json

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def names(self) -> Mapping[str, str]:
        """What was chosen of each group: task, method, model, sampler, memory."""
        return self.said.get("names", {})

    @property
    def metric(self) -> str:
        """The metric that judges the run's task; "" before its control was bound."""
        return self.said.get("metric", "")

    @property
    def seconds(self) -> float | None:
        """How long the run's last attempt took, its model's loading left out; None while it has no end."""
        if "duration_s" in self.said:
            return max(0.0, self.said["duration_s"])
        if "finished" not in self.said or "started" not in self.said:
            return None
        return max(0.0, self.said["finished"] - self.said["started"])

    @property
    def changed(self) -> float:
        """When its state changed last, in seconds since 1970."""
        return self.said.get("finished", self.said.get("started", 0.0))

    @cached_property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Clip id -> its metrics, or why it failed under "failed"; {} before the run has ended."""
        return read_clips(self.path / "metrics.json")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, flat: {"sampler.steps": 50, ...}."""
        return flat(_yaml(self.path / "config.yaml"))

    @property
    def clips_made(self) -> int:
        """How many clips an unfinished run has finished."""
        try:
            return sum(entry.name.endswith(".json") for entry in os.scandir(self.path / "clips"))
        except OSError:
            return 0


def run_paths(runs_dir: str | Path) -> list[Path]:
    """Every run directory below `runs_dir`, by name."""
    folder = Path(runs_dir)
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return []
    return [folder / name for name in entries if os.path.lexists(folder / name / "status.json")]


def read_run(path: Path) -> Run:
    """The run in this directory."""
    said = read_status(path)
    status, reason = said.get("status", ""), said.get("reason", "")
    if not status:
        status, reason = "damaged", f"status.json cannot be read; {AGAIN}"
    elif status == "running":
        owner = locks.holder(path)
        status, reason = (
            (status, owner) if owner else ("killed", "its process is gone; the same command goes on with it")
        )
    elif status == "done":
        found = damage(path, said)
        status, reason = ("damaged", f"{found}; {AGAIN}") if found else (status, reason)
    return Run(path, status, reason, said)


def state(path: Path) -> tuple[str, str]:
    """(status, reason) of a run; of a running one the reason is who makes it."""
    run = read_run(path)
    return run.status, run.reason


def find_run(runs_dir: str | Path, prefix: str) -> Run:
    """The one run whose id begins with `prefix`; LookupError when it is none or several."""
    matches = [path for path in run_paths(runs_dir) if path.name.startswith(prefix)]
    if len(matches) != 1:
        raise LookupError(f"{len(matches)} runs in {runs_dir} start with {prefix!r}: see python -m ditto.runs list")
    return read_run(matches[0])


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys joined by dots; lists are values."""
    if not isinstance(value, Mapping):
        return {prefix: value} if prefix else {}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= flat(item, f"{prefix}.{key}" if prefix else str(key))
    return found


def _yaml(path: Path) -> Any:
    """A resolved configuration, section by section: runs share most of theirs, and each is parsed once."""
    import yaml

    try:
        sections = re.split(r"^(?=[^\s\-#])", path.read_text(), flags=re.MULTILINE)
        return {key: value for section in sections for key, value in (_section(section) or {}).items()}
    except (OSError, ValueError, AttributeError, yaml.YAMLError, RecursionError):
        return None


@lru_cache(maxsize=4096)
def _section(text: str) -> Any:
    import yaml

    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
