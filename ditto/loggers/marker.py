"""What W&B has of a run already, kept in the run's own `wandb/` folder: gone with the run when it is made again."""

from __future__ import annotations

from pathlib import Path

from ditto.run_directory import read_json, write_json

FOLDER = "wandb"  # W&B's own name for its folder in a run directory


def mark(path: Path, mode: str, project: str, entity: str | None) -> None:
    """Remember that W&B has all of this run."""
    made = (read_json(path / "status.json") or {}).get("finished")
    write_json(_file(path), {"mode": mode, "project": project, "entity": entity, "finished": made})


def marked(path: Path, project: str, entity: str | None, mode: str = "online") -> bool:
    """Does W&B have the run as it is on disk now? entity None: anybody's."""
    seen = read_json(_file(path)) or {}
    made = (read_json(path / "status.json") or {}).get("finished")
    same_place = seen.get("project") == project and entity in (None, seen.get("entity"))
    return seen.get("mode") == mode and same_place and seen.get("finished") == made


def _file(path: Path) -> Path:
    return path / FOLDER / "mirrored.json"
