"""What a finished run shows in W&B, all of it from its directory.

Summary: the mean over clips of every metric, text-only's beside it as `<metric>_text_only`, and under names that are
the same for every task

    control/error, control/error_text_only, control/ratio   of the metric that judges the task: the distance of its mean
                                                            from its perfect value (0; 100 of an accuracy in %)
    clips, clips_failed, seconds_per_clip, objective (of a search), eval/* (figures of eval.evaluate), status

Curve: curve/loss and curve/metric against curve/step, means over all clips at their own step k; a clip that stopped
early keeps its last value. Media: sound, text-only's sound and pictures of the first clips. Table: a row a clip.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ditto.loggers.curves import CLIP_FIGURES, FIGURES
from ditto.loggers.evaluation import figures_of
from ditto.loggers.marker import FOLDER
from ditto.run_directory import read_json

# x axis -> the curves against it.
AXES = {
    "optimisation/step": [f"optimisation/{name}" for name in FIGURES],
    "clip/step": [f"clip_{name}/*" for name in CLIP_FIGURES],
    "curve/step": [f"curve/{name}" for name in CLIP_FIGURES],
}
MEDIA = {
    "media/audio": "audio/{}.flac",
    "media/text_only": "audio/{}.text_only.flac",
    "media/picture": "pictures/{}.png",
}
TABLE = "clip_table"
ABOUT = ("clip", "prompt", "seed", "failed")  # its first columns
_PERFECT = {"melody_accuracy": 100.0, "intensity_correlation": 1.0}  # of the others: 0
_NOT_MEASURED = ("seed", "batch_size", "seconds")


def summary(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The summary's figures as far as the run has them; nothing that is not finite."""
    clips = read_json(path / "metrics.json") or {}
    status = read_json(path / "status.json") or {}
    good = [values for values in clips.values() if "failed" not in values]
    names = sorted({name for values in good for name, value in values.items() if _number(value)})
    means = {name: _mean([v[name] for v in good if _number(v.get(name))]) for name in names}
    seconds = means.get("seconds", math.nan)
    kept = {name: value for name, value in means.items() if name not in _NOT_MEASURED}
    about = {"clips": len(good), "clips_failed": len(clips) - len(good), "seconds_per_clip": seconds}
    figures = {**kept, **_control(kept, status.get("metric", "")), **about, "objective": _objective(path, config)}
    finite = {name: value for name, value in figures.items() if math.isfinite(value)}
    return {**finite, **figures_of(path), "reason": status.get("reason", "")}


def mean_curve(path: Path) -> Iterator[dict[str, float]]:
    """Rows of curve/*, one a step."""
    history = [clip for clip in (read_json(path / "history.json") or {}).values() if clip.get("loss")]
    names = [name for name in CLIP_FIGURES if history and all(clip.get(name) for clip in history)]
    for step in range(max((len(clip["loss"]) for clip in history), default=0)):
        held = {name: [clip[name][min(step, len(clip[name]) - 1)] for clip in history] for name in names}
        yield {"curve/step": step, **{f"curve/{name}": _mean(values) for name, values in held.items()}}


def log_clips(run: Any, path: Path, media: int) -> int:
    """The clips' media in one row, and the table of all clips in another; returns how many rows that were.

    Item i of each list of MEDIA is clip i, so that runs of the same clips stand side by side.
    """
    metrics = read_json(path / "metrics.json") or {}
    shown = {clip: _media(path, clip, values) for clip, values in list(metrics.items())[:media]}
    lists = {key: items for key in MEDIA if (items := [files[key] for files in shown.values() if key in files])}
    if lists:
        run.log(lists)
    if metrics:
        with _kept_here(path):
            run.log({TABLE: _table(metrics, shown, list(lists))})
    return bool(lists) + bool(metrics)


def _table(metrics: Mapping[str, Any], shown: Mapping[str, Mapping[str, Any]], kinds: list[str]) -> Any:
    """A row a clip: clip, prompt, seed, failed, its metrics, and sound and picture of the clips in `shown`."""
    import wandb

    numbers = {name for values in metrics.values() for name, value in values.items() if _number(value)}
    columns = sorted(numbers - {"seed"})
    table = wandb.Table(columns=[*ABOUT, *columns, *(key.removeprefix("media/") for key in kinds)])
    for clip, values in metrics.items():
        about = [clip, *(values.get(name) for name in ABOUT[1:])]
        media = [shown.get(clip, {}).get(key) for key in kinds]
        table.add_data(*about, *(values.get(name) for name in columns), *media)
    return table


def _control(means: Mapping[str, float], metric: str) -> dict[str, float]:
    """The judging metric under names that do not depend on the task."""
    perfect = _PERFECT.get(metric, 0.0)
    error, beside = (abs(means.get(name, math.nan) - perfect) for name in (metric, f"{metric}_text_only"))
    ratio = error / beside if beside else math.nan
    return {"control/error": error, "control/error_text_only": beside, "control/ratio": ratio}


def _objective(path: Path, config: Mapping[str, Any]) -> float:
    """What a search minimises, if the run is part of one; its warnings are the run's own."""
    from ditto.build import build

    if not config.get("objective") or not (path / "metrics.json").exists():
        return math.nan
    score = build(config["objective"], "objective")
    return float(score.judge(path)[0] if hasattr(score, "judge") else score(path))


def _media(path: Path, clip: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of MEDIA that the clip has, as W&B's objects; they are read once for list and table."""
    import wandb

    files = {key: path / pattern.format(clip) for key, pattern in MEDIA.items()}
    caption = f"{clip}: {values.get('prompt', '')}"
    kinds = {".png": wandb.Image, ".flac": wandb.Audio}
    return {key: kinds[file.suffix](str(file), caption=caption) for key, file in files.items() if file.exists()}


@contextlib.contextmanager
def _kept_here(path: Path) -> Iterator[None]:
    """A table's files wait for their upload in the run directory, not in the user's home."""
    before = os.environ.get("WANDB_DATA_DIR")
    os.environ["WANDB_DATA_DIR"] = str((path / FOLDER).resolve())
    try:
        yield
    finally:
        os.environ.pop("WANDB_DATA_DIR") if before is None else os.environ.update(WANDB_DATA_DIR=before)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
