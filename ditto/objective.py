"""What a search minimises: the share of text-only's error that a run leaves (`objective=score`).

    score = mean over the task's metrics of |value − perfect| / |text-only − perfect|

value and text-only are means over the run's clips and over the text-only clips beside them; perfect is 0, or 100 of an
accuracy in %. 0 is perfect, 1 is what the prompt alone does. A run has no score (NaN, and a line that says why) where a
clip failed or has no value, where nothing was kept beside it, or where its clips are further than `level_db` from
text-only's (mean difference of their RMS in dB as generated): sound that clips can follow a target and be worthless.
Of the tasks in `own_level` the target is a whole recording, which has its own level: no limit there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ditto.build import build
from ditto.outcome import Outcome
from ditto.run_directory import read_json

_FLOOR = 1e-6  # added to the RMS of silence


@dataclass(frozen=True)
class Measured:
    """values: metric -> (its mean, that of text-only); level_db: how much louder than text-only; failed: clips."""

    values: Mapping[str, tuple[float, float]]
    failed: int
    level_db: float


@dataclass(frozen=True)
class Score:
    """metrics: those that judge a task, by its name; of a task that is not in it the run's own. level_db: the most."""

    metrics: Mapping[str, Sequence[str]]
    perfect: Mapping[str, float]
    level_db: float
    own_level: Sequence[str] = ()

    def __call__(self, path: Path) -> float:
        """The score of the run in `path`, or NaN and a warning."""
        value, why = self.judge(path)
        if why:
            print(f"warning: no score for {path}: {why}", file=sys.stderr)
        return value

    def judge(self, path: Path) -> tuple[float, str]:
        """(score, "") of the run in `path`, or (NaN, why it has none)."""
        status = read_json(path / "status.json") or {}
        if status.get("status") != "done":
            return math.nan, f"the run is not done ({status.get('status', 'no status')})"
        measured = measure(path, self.metrics_of(status))
        if measured is None:
            return math.nan, "no text-only clips beside it: text_only_beside=true"
        if measured.failed:
            return math.nan, f"{measured.failed} clips failed"
        if not abs(measured.level_db) <= self.limit_db(status["names"]["task"]):
            return math.nan, f"{measured.level_db:+.1f} dB against text-only"
        value = self.of(measured.values)
        return (value, "") if math.isfinite(value) else (math.nan, "a metric has no value")

    def metrics_of(self, status: Mapping[str, Any]) -> Sequence[str]:
        """The metrics that judge a run, from its status.json."""
        return self.metrics.get(status["names"]["task"]) or [status["metric"]]

    def limit_db(self, task: str) -> float:
        """How far from text-only's level the clips of a task may be."""
        return math.inf if task in self.own_level else self.level_db

    def of(self, values: Mapping[str, tuple[float, float]]) -> float:
        """The score of means by metric; NaN where text-only has no error to compare with."""
        ratios = [_ratio(*pair, self.perfect.get(name, 0.0)) for name, pair in values.items()]
        return sum(ratios) / len(ratios)


def with_objective(outcome: Outcome, config: DictConfig | None) -> Outcome:
    """The outcome with the objective that `config` (conf/objective) describes, where its run may have one."""
    if config is None or outcome.status not in ("done", "skipped"):
        return outcome
    options: Any = OmegaConf.to_container(config, resolve=True)
    return replace(outcome, objective=build(options, "objective")(outcome.path))


def measure(path: Path, metrics: Sequence[str]) -> Measured | None:
    """What the clips of a run reached, failed ones left out; None where it kept no text-only clips beside them."""
    everything = read_json(path / "metrics.json") or {}
    clips = {clip: values for clip, values in everything.items() if "failed" not in values}
    names = [(name, f"{name}_text_only") for name in metrics]
    if not clips or any(name not in values for pair in names for name in pair for values in clips.values()):
        return None
    values = {name: (_mean(clips, name), _mean(clips, beside)) for name, beside in names}
    level = sum(_louder(path / "audio", clip) for clip in clips) / len(clips)
    return Measured(values, len(everything) - len(clips), level)


def _mean(clips: Mapping[str, Mapping[str, float]], name: str) -> float:
    return sum(values[name] for values in clips.values()) / len(clips)


def _ratio(value: float, text_only: float, perfect: float) -> float:
    return abs(value - perfect) / abs(text_only - perfect) if text_only != perfect else math.nan


def _louder(audio: Path, clip: str) -> float:
    """dB above text-only; the clip as it was generated, where an edit was stitched to its recording."""
    raw = audio / f"{clip}.raw.flac"
    return _decibel(raw if raw.exists() else audio / f"{clip}.flac") - _decibel(audio / f"{clip}.text_only.flac")


def _decibel(file: Path) -> float:
    import numpy as np
    import soundfile

    wave, _ = soundfile.read(file)
    return 20 * math.log10(float(np.sqrt(np.mean(wave**2))) + _FLOOR)
