"""Mirrors of a run for people who watch many: the run directory stays the truth, tables are built from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Logger(Protocol):
    """What the runner tells a logger; nothing it does may change or stop a run."""

    def start(self, run_id: str, path: Path, config: Mapping[str, Any]) -> None: ...

    def clip(self, clip_id: str, record: Mapping[str, Any]) -> None: ...

    def close(self, status: str) -> None: ...


class NoLogger:
    """The run directory only."""

    def start(self, run_id: str, path: Path, config: Mapping[str, Any]) -> None:
        pass

    def clip(self, clip_id: str, record: Mapping[str, Any]) -> None:
        pass

    def close(self, status: str) -> None:
        pass


class WandbMirror:
    """Metrics, loss curves, sound and picture of every clip in Weights & Biases; the W&B id is the run's id.

    Offline by default: files go to `<run>/wandb`, to be uploaded with `wandb sync` when wanted.
    """

    def __init__(self, project: str = "ditto", mode: str = "offline", entity: str | None = None) -> None:
        self.settings: dict[str, Any] = {"project": project, "mode": mode, "entity": entity}
        self.run: Any = None
        self.path = Path()

    def start(self, run_id: str, path: Path, config: Mapping[str, Any]) -> None:
        import wandb

        self.path = path
        self.run = wandb.init(
            id=run_id, name=run_id, resume="allow", dir=str(path), config=dict(config), reinit="finish_previous",
            settings=wandb.Settings(console="off", silent=True), **self.settings,
        )  # fmt: skip

    def clip(self, clip_id: str, record: Mapping[str, Any]) -> None:
        import wandb

        for step, loss in enumerate(record["history"]["loss"]):
            self.run.log({f"loss/{clip_id}": loss, "step": step})
        numbers = {key: value for key, value in record["metrics"].items() if isinstance(value, int | float)}
        self.run.log({f"{clip_id}/{key}": value for key, value in numbers.items()})
        audio, picture = self.path / "audio" / f"{clip_id}.flac", self.path / "pictures" / f"{clip_id}.png"
        if audio.exists():
            self.run.log({f"{clip_id}/audio": wandb.Audio(str(audio), caption=record["metrics"]["prompt"])})
        if picture.exists():
            self.run.log({f"{clip_id}/picture": wandb.Image(str(picture))})

    def close(self, status: str) -> None:
        if self.run is not None:
            self.run.summary["status"] = status
            self.run.finish(exit_code=0 if status == "done" else 1)
            self.run = None
