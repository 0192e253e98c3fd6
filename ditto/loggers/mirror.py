"""A run in Weights & Biases while it is made: `logger=wandb`, the default. Off: `logger=none` or WANDB_MODE=disabled.

Online with a key, offline without one. Everything that touches W&B happens on a thread of its own, import included: the
run only puts rows into a queue and, at its end, waits `patience_s` at most. What W&B misses is on disk all the same and
`python -m ditto.runs sync-wandb` uploads it (`ditto.loggers.sync`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ditto.loggers.background import Background
from ditto.loggers.mode import switched_off
from ditto.loggers.rest import Rest

hung = Rest()  # the runs of this process do without W&B


class WandbMirror:
    """project, entity, mode (auto, online, offline): W&B's. curves: so many clips have curves of their own.

    media: the sound and pictures of so many clips go to W&B; more would store and upload large runs a second time.
    patience_s: how long the end of a run waits for W&B at most.
    """

    def __init__(
        self,
        project: str = "ditto",
        entity: str | None = None,
        mode: str = "auto",
        curves: int = 4,
        media: int = 16,
        patience_s: float = 30.0,
    ) -> None:
        self.settings = {"project": project, "entity": entity, "mode": mode, "curves": curves, "media": media}
        self.patience_s = patience_s
        self.thread: Background | None = None
        self._abandoned = False

    def start(self, run_id: str, path: Path, config: Mapping[str, Any]) -> None:
        """Begin in the background; does nothing where W&B is switched off, or hung a moment ago."""
        if switched_off() or hung:
            return
        self.thread = Background(self._give_up)
        self.thread.do(self._open, run_id, path, config)

    def step(self, row: Mapping[str, Any]) -> None:
        """One optimisation step of a batch (`ditto.loggers.base`)."""
        if self.thread:
            self.thread.do(self._step, row)

    def clip(self, clip_id: str, record: Mapping[str, Any]) -> None:
        """Nothing: a run's end reads the clips from its directory."""

    def close(self, status: str) -> None:
        """Everything that is left, within `patience_s`."""
        thread, self.thread = self.thread, None
        if thread is None:
            return
        thread.do(self._close, status)
        if not thread.finish(self.patience_s):
            from ditto.loggers import service, session

            self._abandoned = True
            session.warn(f"W&B did not end within {self.patience_s:g} s")
            hung.begin()
            service.end()

    def _open(self, run_id: str, path: Path, config: Mapping[str, Any]) -> None:
        from ditto.loggers.session import Session

        settings: dict[str, Any] = {**self.settings, "patience_s": self.patience_s}
        self._session = Session(run_id, path.resolve(), config, **settings)
        self._session.open()

    def _step(self, row: Mapping[str, Any]) -> None:
        self._session.step(row)

    def _close(self, status: str) -> None:
        whole = status in ("done", "failed") and (self._session.path / "metrics.json").exists()
        self._session.finish(status, whole)

    def _give_up(self, error: Exception) -> None:
        from ditto.loggers import service, session

        if not self._abandoned:
            session.warn(f"W&B failed ({session.one_line(error)})")
            service.end()
