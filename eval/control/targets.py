"""The targets of a finished run: its control, made again from config.yaml and bound to the clips of metrics.json.

Only targets and regions are taken from it (what the clip was asked to do); what the clip does is measured in eval. A
control is bound to a model because its length and rate depend on it, so the run's own model is loaded: once a process.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ditto.build import build, build_model
from ditto.controls.base import Control
from ditto.models.base import MusicModel
from ditto.run_directory import read_json
from ditto.types import ClipRequest, UserError


def read_options(path: Path) -> dict[str, Any]:
    """The resolved configuration of the run."""
    file = path / "config.yaml"
    if not file.is_file():
        raise UserError(f"run {path.name} has no config.yaml: its targets are not known; make the run again")
    options: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    return options


def requests(path: Path, clip_ids: Sequence[str]) -> list[ClipRequest]:
    """The clips as the run asked for them; a clip's index is its place among all clips of the run, failed ones too."""
    metrics = read_json(path / "metrics.json") or {}
    places = {clip_id: place for place, clip_id in enumerate(metrics)}
    missing = [clip_id for clip_id in clip_ids if clip_id not in places]
    if missing:
        raise UserError(f"run {path.name} has no clip {missing[0]} in metrics.json: make the run again")
    about = [(clip_id, metrics[clip_id]) for clip_id in clip_ids]
    return [ClipRequest(clip_id, one["prompt"], one["seed"], places[clip_id]) for clip_id, one in about]


def bind(options: dict[str, Any], clips: list[ClipRequest]) -> Control:
    """The run's control with the targets of these clips, on the CPU."""
    model = load_model(options["model"])
    return build(options["task"]["control"], "task.control").bind(model, clips, options.get("frames"))


def load_model(config: dict[str, Any]) -> MusicModel:
    """The run's model on the CPU, whatever it ran on."""
    here = {"device": "cpu", "precision": "float32"}
    return _load(json.dumps({name: here.get(name, value) for name, value in config.items()}, sort_keys=True))


@lru_cache(maxsize=2)
def _load(config: str) -> MusicModel:
    return build_model(json.loads(config), "cpu", "auto")
