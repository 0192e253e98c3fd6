"""Which run a configuration asks for: its clips, its model, and the hash that names its directory."""

from __future__ import annotations

import hashlib
import pydoc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from ditto import run_of
from ditto.build import build_model, pick_device
from ditto.options import check_run_options
from ditto.prompts import SOURCES, clip_requests
from ditto.run_directory import NOT_IDENTITY, RunDirectory
from ditto.types import ClipRequest, UserError

if TYPE_CHECKING:
    from ditto.models.base import MusicModel

# Replaced in the identity by the clips they lead to: the same prompt from a file and from the command line is one run.
_CLIP_OPTIONS = (*SOURCES, "prompts_n", "prompts_offset", "prompts_repeat", "default_prompt", "seed")
# Tuned values stand where a method or a task reads them, the budget where a memory policy does; seconds became frames.
_LEFT_OUT = (*NOT_IDENTITY, *_CLIP_OPTIONS, "tuned", "budget_gib", "seconds")


@dataclass(frozen=True)
class Prepared:
    """A configuration that is ready to be made."""

    run: RunDirectory
    options: dict[str, Any]  # resolved, with a device in place of auto
    clips: list[ClipRequest]
    model: MusicModel


def prepare(cfg: DictConfig, device: str | None = None) -> Prepared:
    """Check the options and find the run's directory, writing nothing; a mistake is a UserError.

    `device` takes the place of the configuration's: which run it is does not depend on it.
    """
    run_of.register()
    check_run_options(plain(cfg))
    cfg = OmegaConf.merge(cfg, {"device": pick_device(device or cfg.device)})  # type: ignore[assignment]
    options = plain(cfg)
    clips = clip_requests(options)
    model = build_model(options["model"], options["device"], options["precision"])
    length = {"frames": clip_frames(options, model), "seconds": None}
    cfg, options = OmegaConf.merge(cfg, length), options | length  # type: ignore[assignment]
    run = RunDirectory(options["runs_dir"], identity(cfg, clips, model.weights_hash))
    return Prepared(run, options, clips, model)


def clip_frames(options: Mapping[str, Any], model: MusicModel) -> int | None:
    """The analysis frames that `frames` or `seconds` asks for; None for the model's own length."""
    frames, seconds = options["frames"], options["seconds"]
    if seconds is not None:
        if frames is not None:
            raise UserError(f"frames={frames} and seconds={seconds} are given: keep one of them")
        frames = model.frames(seconds)
        return None if frames == model.clip.frames else frames
    if frames is not None:
        model.check_frames(frames)
    return frames


def identity(cfg: DictConfig, clips: list[ClipRequest], weights_hash: str = "") -> dict[str, Any]:
    """What a run's id is the hash of: options that change results, clips, weights, the files it reads."""
    unset = OmegaConf.merge(cfg, {key: None for key in NOT_IDENTITY if key in cfg})
    kept = {key: value for key, value in plain(unset).items() if key not in _LEFT_OUT}
    wanted = [[clip.prompt, clip.seed] for clip in clips]
    files = {name: _file_hash(name) for name in sorted(set(_files(kept["task"])))}
    same = {**kept, "clips": wanted, "weights": weights_hash, "files": files}
    trained = _trained_parts(kept["method"])
    return {**same, "method_weights": trained} if trained else same


def plain(cfg: DictConfig | ListConfig) -> dict[str, Any]:
    """A resolved configuration as ordinary dictionaries and lists."""
    options = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(options, dict)
    return {str(key): value for key, value in options.items()}


def _files(value: Any) -> Iterator[str]:
    """Every string in a configuration that names an existing file (curves, melodies, recordings)."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _files(item)
    elif isinstance(value, list):
        for item in value:
            yield from _files(item)
    elif isinstance(value, str) and "." in value and len(value) < 1000 and Path(value).is_file():
        yield value


def _trained_parts(method: Mapping[str, Any]) -> dict[str, str]:
    """The weights that a method brings along: those in its option `weights`, or in its class's `packaged` folder."""
    if "weights" not in method:
        return {}
    folder = Path(method["weights"] or getattr(pydoc.locate(method["_target_"]), "packaged", ""))
    return {path.name: _file_hash(str(path)) for path in sorted(folder.glob("*.safetensors"))}


def _file_hash(name: str) -> str:
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
