"""What the page shows of a task: for each prompt the recording that was given, and the clip of every method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ditto.audio.io import read
from ditto.controls.base import Control
from ditto.run_directory import read_json
from eval.control import measured
from eval.control.targets import bind, read_options, requests
from eval.finished import ABOUT, BESIDE, Finished
from eval.report.audio import Heard, heard
from eval.report.drawing import Drawing
from eval.report.targets import Recording, drawings, generated, recordings

COSTS = ("steps", "model_calls", "seconds")


@dataclass(frozen=True, eq=False)
class Example:
    """One clip of a method. failed: why there is nothing to hear, else None."""

    method: str
    run: str
    failed: str | None
    metrics: dict[str, float]  # from the written files where they can be, the task's own first
    costs: dict[str, float]
    stopped: str | None = None
    sound: Heard | None = None
    drawings: Sequence[Drawing] = ()
    generated: Sequence[tuple[float, float]] = ()  # seconds of the sound that are new, where it is stitched
    losses: Sequence[float] = ()


@dataclass(frozen=True, eq=False)
class Prompt:
    """The clips of one prompt, in the order of the methods."""

    number: int
    text: str
    recordings: list[tuple[Recording, Heard]]
    examples: list[Example]


def prompts(found: Sequence[Finished], options: Mapping[str, Any], tick: Callable[[], object]) -> list[Prompt]:
    """The first prompts of one task's runs. `tick()` is called for every clip."""
    clip_ids = list(read_json(found[0].path / "metrics.json") or {})[: options["prompts"]]
    config, asked = read_options(found[0].path), requests(found[0].path, clip_ids)
    metrics = {one.method: _measured(one, clip_ids, Path(options["cache"])) for one in found}
    rows = []
    for clip in asked:
        control = bind(config, [clip])
        given = [(one, _sound(one.wave_N, one.rate, options)) for one in recordings(control)]
        examples = []
        for one in found:
            examples.append(example(one, clip.clip_id, control, metrics[one.method].get(clip.clip_id, {}), options))
            tick()
        rows.append(Prompt(clip.index + 1, clip.prompt, given, examples))
    return rows


def example(
    one: Finished, clip_id: str, control: Control, metrics: Mapping[str, Any], options: Mapping[str, Any]
) -> Example:
    """One clip from its run directory; a failed one, or one whose file is missing or damaged, says why."""
    values = (read_json(one.path / "metrics.json") or {}).get(clip_id, {})
    history = {} if one.beside else (read_json(one.path / "history.json") or {}).get(clip_id, {})
    costs = {} if one.beside else {name: values[name] for name in COSTS if name in values}
    failed = values.get("failed") or metrics.get("failed", None if metrics else "the run has no such clip")
    if failed:
        return Example(one.method, one.path.name, str(failed), {}, costs)
    raw_BN, heard_BN = _waves(one, clip_id, control)
    whole = raw_BN.shape[1] == control.clip.samples
    stitched = whole and not torch.equal(raw_BN, heard_BN)
    return Example(
        one.method,
        one.path.name,
        None,
        _ordered({**_own_metrics(one, clip_id), **metrics}, options["controls"].get(one.task, [])),
        costs,
        None if one.beside else values.get("stopped"),
        _sound(heard_BN[0].numpy(), control.clip.sample_rate, options),
        drawings(control, raw_BN) if whole else [],
        generated(control, raw_BN) if stitched else [],
        history.get("loss", []),
    )


def _measured(one: Finished, clip_ids: list[str], cache: Path) -> dict[str, dict[str, Any]]:
    """Clip id -> its metrics from the written files, or {"failed": reason}."""
    few = replace(one, clips=one.clips[one.clips["clip"].isin(clip_ids)])
    if few.clips.empty:
        return {}
    rows = measured(few, cache).to_dict("index")
    return {str(clip): {k: v for k, v in row.items() if not pd.isna(v)} for clip, row in rows.items()}


def _own_metrics(one: Finished, clip_id: str) -> dict[str, float]:
    """What the run measured itself; `measured` has most of it from the written files."""
    row = one.clips[one.clips["clip"] == clip_id].select_dtypes("number").iloc[0]
    return {name: row[name] for name in row.index if name not in ABOUT and not str(name).endswith(BESIDE)}


def _ordered(metrics: Mapping[str, Any], first: Sequence[str]) -> dict[str, float]:
    names = [*(name for name in first if name in metrics), *(name for name in metrics if name not in first)]
    return {name: float(metrics[name]) for name in names}


def _waves(one: Finished, clip_id: str, control: Control) -> tuple[Tensor, Tensor]:
    """The clip as it was generated, and the sound as it is heard: stitched where its control stitches."""
    own = dict(zip(one.clips["clip"], one.files, strict=True))[clip_id]
    raw_BN = read(own, control.clip.sample_rate)[None]
    if one.beside:  # only the clip was kept
        return raw_BN, control.finish(control.model.encode_audio(raw_BN), raw_BN)
    return raw_BN, read(one.path / "audio" / f"{clip_id}.flac", control.clip.sample_rate)[None]


def _sound(wave_N: Any, rate: int, options: Mapping[str, Any]) -> Heard:
    return heard(wave_N, rate, options["bitrate"], Path(options["report_cache"]))
