"""Every figure of one finished run: its control metrics, how it sounds, and what it cost.

`rows(one, text_only, judges)` is what the tables, the pages and the main job are made of. Each row of it:

  control metrics      mean over clips, 95 % bootstrap interval
  tag_score, tag_accuracy   does the clip sound like its prompt's genre (eval.tags)
  fad_pc<k>            FAD in k principal components of the reference: a full covariance needs more clips
  fad                  FAD in all dimensions, only where there are more windows than that
  *_ratio              method / text_only of the two above, clips resampled in pairs
  seconds_per_step     median over optimisation steps, for the whole batch (batch_size clips at once)
  seconds_per_clip, steps, model_calls, peak_memory_gib (GPU: allocated; CPU: resident peak while it ran), batch_size
  failed               clips without a usable result: named in the run's metrics.json and part of no mean

Legend: W windows of a clip, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ditto.build import build
from ditto.run_directory import read_json
from eval import tags
from eval.embedders.base import Embedder
from eval.embeddings import embed_clips, read_files
from eval.fad import Clips
from eval.finished import ABOUT, BESIDE, Finished
from eval.paired import Judge
from eval.sets import Row, mean_row, row


@dataclass(frozen=True)
class Judges:
    """Who judges the sound, and what has been heard already."""

    sound: Judge
    cache: Path
    _heard: dict[tuple[Path, bool, str], dict[str, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Judges:
        """From the options of an evaluation command (conf/evaluate.yaml)."""
        cache, evaluator = Path(options["cache"]), options["evaluator"]
        embedder = build(evaluator["embedding"], "evaluator.embedding")
        reference = build(evaluator["reference"], "evaluator.reference")(embedder, cache)
        sound = Judge.of(embedder, reference, options["fad_components"], options["bootstrap"], options["seed"])
        return cls(sound, cache)

    def hear(self, one: Finished, embedder: Embedder | None = None) -> dict[str, np.ndarray]:
        """Clip id -> embeddings [W, D] of a run's clips, by default those that FAD is measured in."""
        embedder = embedder or self.sound.embedder
        key = (one.path, one.beside, embedder.fingerprint)
        if key not in self._heard:
            files, label = one.files, f"{one.task} {one.method}"
            embedded = embed_clips(read_files(files), self.cache, embedder, total=len(files), label=label)
            self._heard[key] = {c: embedded[file.stem] for c, file in zip(one.clips["clip"], files, strict=True)}
        return {clip: self._heard[key][clip] for clip in one.clips["clip"]}

    def hear_pair(self, one: Finished, other: Finished | None, embedder: Embedder) -> tuple[Clips, Clips | None]:
        """Embeddings of a run's clips, and those of the same clips of another run where it has all of them."""
        heard = self.hear(one, embedder)
        beside = self.hear(other, embedder) if other is not None else {}
        return list(heard.values()), [beside[clip] for clip in heard] if set(heard) <= set(beside) else None


def rows(one: Finished, text_only: Finished | None, judges: Judges) -> list[Row]:
    """All figures of a run; ratios where `text_only` (not the run itself) has the same clips."""
    other = text_only if one.method != "text_only" else None
    sound = judges.sound.fad_rows(*judges.hear_pair(one, other, judges.sound.embedder))
    prompts = list(one.clips["prompt"])
    genres = judges.sound.tag_rows(prompts, *judges.hear_pair(one, other, tags.embedder()))
    measured = [*control_rows(one), *genres, *cost_rows(one)]
    return [{**line, "reference": ""} for line in measured] + [
        {**line, "reference": str(judges.sound)} for line in sound
    ]


def control_rows(one: Finished) -> list[Row]:
    """Means of the control metrics."""
    names = one.clips.select_dtypes("number").columns
    metrics = [name for name in names if name not in ABOUT and not name.endswith(BESIDE)]
    return [mean_row(name, one.clips[name].to_numpy()) for name in metrics]


def cost_rows(one: Finished) -> list[Row]:
    """Time and memory of a method's own run."""
    if one.beside:
        return []
    clips, n = one.clips, len(one.clips)
    histories = read_json(one.path / "history.json") or {}
    seconds = [s for history in histories.values() for s in history["seconds"]]
    lines = [row("seconds_per_step", float(np.median(seconds)), n)] if seconds else []
    lines.append(row("seconds_per_clip", float(clips["seconds"].mean()), n))
    lines += [row(name, float(clips[name].mean()), n) for name in ("steps", "model_calls", "batch_size")]
    return [*lines, row("peak_memory_gib", float(clips["peak_memory_gib"].max()), n), row("failed", one.failed, n)]
