"""Every figure of one finished run: its control metrics, how it sounds, and what it cost.

`rows(one, text_only, judges)` is what the tables, the pages and the main job are made of. Each row of it:

  control metrics      mean over clips, 95 % bootstrap interval; from the written sound (eval.control). What the run
                       alone can know (its loss, distances between latents) is as the run reported it
  <text score>         mean cosine of prompt and clip, under the judge's own name (eval.text), and its paired change
                       against text-only (*_change)
  tag_score, tag_accuracy   does the clip sound like its prompt's genre (eval.tags)
  fad_pc<k>            FAD in k principal components of the reference: a full covariance needs more clips
  fad                  FAD in all dimensions, only where there are more windows than that
  *_ratio              method / text_only of the two above, clips resampled in pairs
  seconds_per_step     median over optimisation steps, for the whole batch (batch_size clips at once)
  seconds_per_clip, steps, model_calls, peak_memory_gib (GPU: allocated; CPU: resident peak while it ran), batch_size
  failed               clips without a usable result: named in the run's metrics.json or on stderr, part of no mean

Legend: W windows of a clip, D embedding dimensions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ditto.build import build
from ditto.run_directory import read_json
from eval import tags
from eval.control import measured
from eval.embedders.base import Embedder
from eval.embeddings import embed_clips, read_files
from eval.fad import Clips
from eval.finished import ABOUT, BESIDE, Finished
from eval.paired import Judge
from eval.sets import Row, mean_row, row
from eval.stopwatch import Stopwatch
from eval.text.base import TextJudge


@dataclass(frozen=True)
class Judges:
    """Who judges control, sound and text, and what has been heard already."""

    sound: Judge
    cache: Path
    text: TextJudge | None = None
    control: Callable[[Finished, Path], pd.DataFrame] = measured
    watch: Stopwatch = field(default_factory=Stopwatch)
    _heard: dict[tuple[Path, bool, str], dict[str, np.ndarray]] = field(default_factory=dict)
    _fit: dict[tuple[Path, bool, str], pd.Series] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Judges:
        """From the options of an evaluation command (conf/evaluate.yaml)."""
        cache, evaluator = Path(options["cache"]), options["evaluator"]
        embedder = build(evaluator["embedding"], "evaluator.embedding")
        reference = build(evaluator["reference"], "evaluator.reference")(embedder, cache)
        sound = Judge.of(embedder, reference, options["fad_components"], options["bootstrap"], options["seed"])
        text = build(evaluator["text"], "evaluator.text") if evaluator["text"] else None
        return cls(sound, cache, text, measured)

    def hear(self, one: Finished, embedder: Embedder | None = None) -> dict[str, np.ndarray]:
        """Clip id -> embeddings [W, D] of a run's clips, by default those that FAD is measured in."""
        embedder = embedder or self.sound.embedder
        key = (one.path, one.beside, embedder.fingerprint)
        if key not in self._heard:
            files, label = one.files, f"{one.task} {one.method}"
            embedded = embed_clips(read_files(files), self.cache, embedder, total=len(files), label=label)
            self._heard[key] = {c: embedded[file.stem] for c, file in zip(one.clips["clip"], files, strict=True)}
        return {clip: self._heard[key][clip] for clip in one.clips["clip"]}

    @property
    def said_of_text(self) -> str:
        """What a table must say of the judge of text and sound."""
        return "; ".join(f"{name} {value}" for name, value in self.text.about.items()) if self.text else ""

    def fit(self, one: Finished) -> pd.Series:
        """Clip id -> text score."""
        assert self.text is not None
        key = (one.path, one.beside, self.text.column)
        if key not in self._fit:
            scores = self.text.scores(list(one.clips["prompt"]), list(read_files(one.files)))
            self._fit[key] = pd.Series(scores, index=pd.Index(one.clips["clip"]))
        return self._fit[key]

    def hear_pair(self, one: Finished, other: Finished | None, embedder: Embedder) -> tuple[Clips, Clips | None]:
        """Embeddings of a run's clips, and those of the same clips of another run where it has all of them."""
        heard = self.hear(one, embedder)
        beside = self.hear(other, embedder) if other is not None else {}
        return list(heard.values()), [beside[clip] for clip in heard] if set(heard) <= set(beside) else None


def rows(one: Finished, text_only: Finished | None, judges: Judges) -> list[Row]:
    """All figures of a run; ratios where `text_only` (not the run itself) has the same clips."""
    other = text_only if one.method != "text_only" else None
    prompts, watch = list(one.clips["prompt"]), judges.watch
    with watch("embeddings"):
        heard = judges.hear_pair(one, other, judges.sound.embedder)
        tagged = judges.hear_pair(one, other, tags.embedder())
    with watch("FAD and its intervals"):
        sound = judges.sound.fad_rows(*heard)
    with watch("control metrics"):
        plain = control_rows(one, judges)
    with watch("genre tags"):
        plain += [*judges.sound.tag_rows(prompts, *tagged), *cost_rows(one)]
    with watch("text score"):
        words = text_rows(one, other, judges)
    parts = (("", plain), (str(judges.sound), sound), (judges.said_of_text, words))
    return [{**line, "reference": said} for said, lines in parts for line in lines]


def control_rows(one: Finished, judges: Judges) -> list[Row]:
    """Means of the control metrics; clips whose files cannot be measured are named, counted and part of no mean."""
    table = judges.control(one, judges.cache)
    bad = table["failed"].dropna()
    for clip, reason in bad.items():
        print(f"left out of the control metrics of run {one.path.name}: {clip}, {reason}", file=sys.stderr)
    heard = table[table["failed"].isna()].drop(columns="failed")
    reported = one.clips.set_index("clip").select_dtypes("number")
    own = [c for c in reported if c not in (*ABOUT, *heard.columns) and not c.endswith(BESIDE)]
    good = heard.join(reported[own])
    lost = [row("failed", one.failed + len(bad), len(one.clips))]
    return [mean_row(name, values.dropna().to_numpy()) for name, values in good.items() if values.notna().any()] + lost


def text_rows(one: Finished, text_only: Finished | None, judges: Judges) -> list[Row]:
    """The text score, and by how much it differs from that of the text-only clips, clip by clip."""
    if judges.text is None:
        return []
    scores, name = judges.fit(one), judges.text.column
    lines = [mean_row(name, scores.to_numpy())]
    beside = judges.fit(text_only) if text_only is not None else scores.iloc[:0]
    if set(scores.index) <= set(beside.index):
        lines.append(mean_row(f"{name}_change", (scores - beside[scores.index]).to_numpy()))
    return lines


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
    return [*lines, row("peak_memory_gib", float(clips["peak_memory_gib"].max()), n)]
