"""What the runner tells a logger, and the logger that does nothing with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Logger(Protocol):
    """Nothing a logger does may change, stop or noticeably delay a run.

    start   the run begins or goes on: its id, its directory, its resolved configuration
    step    one optimisation step of one batch: {"clips": [B ids], "step": k from 0, "loss": [B], "metric": [B],
            "gradient_norm": [B], "seconds": s}; every entry but the first two may be missing
    clip    a clip is on disk: its id and {"metrics": ..., "history": ...}
    close   the run ended, with this status
    """

    def start(self, run_id: str, path: Path, config: Mapping[str, Any]) -> None: ...

    def step(self, row: Mapping[str, Any]) -> None: ...

    def clip(self, clip_id: str, record: Mapping[str, Any]) -> None: ...

    def close(self, status: str) -> None: ...


class NoLogger:
    """The run directory only."""

    def start(self, run_id: str, path: Path, config: Mapping[str, Any]) -> None:
        pass

    def step(self, row: Mapping[str, Any]) -> None:
        pass

    def clip(self, clip_id: str, record: Mapping[str, Any]) -> None:
        pass

    def close(self, status: str) -> None:
        pass
