"""Upload finished runs to W&B from their directories alone: `python -m ditto.runs sync-wandb`.

Everything is rebuilt from config.yaml, metrics.json, history.json and the clips' files rather than uploaded from W&B's
offline files by `wandb sync`: runs made with logger=none have none, and of a resumed run `wandb sync` keeps one part
only (wandb issues 3841 and 5865). A run that W&B has in part goes on where it ended (`ditto.loggers.logged`), so that
doing it twice, or after half an upload, gives the same as doing it once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from tqdm import tqdm

from ditto.loggers import mode, service
from ditto.loggers.marker import marked
from ditto.loggers.session import Session, one_line
from ditto.run_directory import read_json
from ditto.types import UserError

# Of one run: 16 clips with sound and pictures are some 10 MB.
PATIENCE_S = 600.0


def sync(
    paths: list[Path], project: str, entity: str | None, dry_run: bool, *, online: bool = True
) -> list[tuple[str, str]]:
    """Upload the finished ones of these run directories that W&B does not have.

    Returns (run, outcome) of each: "uploaded", "would be uploaded", "synced already", "not finished (<status>)" or
    "failed: <why>"; a failure does not end the others. online=False: into W&B's offline files, for tests and for
    machines without a network. Raises UserError where there is no key.
    """
    wanted = "online" if online else "offline"
    outcomes = {path: _skip(path, project, entity, wanted) for path in paths}
    todo = [path for path, outcome in outcomes.items() if not outcome]
    if todo and online and not dry_run:
        _check_ready()
    for path in tqdm(todo, desc="sync-wandb", unit="run", disable=dry_run or not todo):
        outcomes[path] = "would be uploaded" if dry_run else _upload(path, project, entity, wanted)
    return [(path.name, outcomes[path]) for path in paths]


def rebuild(path: Path, project: str, entity: str | None, wanted: str) -> None:
    """The whole W&B run of a finished run directory, as a mirror would have made it."""
    config: Any = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
    assert isinstance(config, dict)
    clips = {key: config["logger"][key] for key in ("curves", "media") if key in config.get("logger", {})}
    session = Session(path.name, path.resolve(), config, project, entity, wanted, **clips, patience_s=PATIENCE_S)
    session.open()
    if session.run.settings.mode != wanted:
        session.run.finish(exit_code=1)
        raise ConnectionError("W&B could not be reached")
    session.finish(read_json(path / "status.json")["status"], complete=True)


def _skip(path: Path, project: str, entity: str | None, wanted: str) -> str:
    """Why this run is not to be uploaded; "" where it is."""
    status = (read_json(path / "status.json") or {}).get("status", "no status")
    if status != "done" or not (path / "metrics.json").exists():
        return f"not finished ({status})"
    return "synced already" if marked(path, project, entity, wanted) else ""


def _upload(path: Path, project: str, entity: str | None, wanted: str) -> str:
    try:
        rebuild(path, project, entity, wanted)
    except Exception as error:  # whatever is wrong with one run, the others go on
        service.end()
        return f"failed: {one_line(error)}"
    return "uploaded"


def _check_ready() -> None:
    if not mode.has_key():
        raise UserError("W&B has no key on this machine: set WANDB_API_KEY or run wandb login")
    if not mode.reachable():
        raise UserError("nothing answers where W&B should be: see WANDB_BASE_URL, or try again with a network")
