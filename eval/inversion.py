"""How well each method gives a recording back, by guidance scale and length: `python -m eval.inversion runs=runs`.

Finished runs of `+experiment=paper_table7` (DITTO, appendix D, table 7). They may have been made with fewer
prompts or steps than the experiments ask: of the runs of one length, those count that agree in clips, weights and all
options but the method, its own options and the guidance scale, the largest such group; of one method, those with the
same options at the most scales. Rows of <results>/inversion.csv, one for each length, method, scale and metric:

  value, low, high   mean over the n clips without failure, 95 % bootstrap interval over clips
  steps              optimisation steps of the method (mean); seconds_per_clip, model_calls: its cost
  reconstruction_mse, reconstruction_db: ditto.controls.inversion
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.command import command
from ditto.types import UserError
from eval.asked import Asked, differences
from eval.candidates import Candidate, candidates, consistent
from eval.inversion_page import write_page
from eval.sets import Row, mean_row

SCALE = "sampler.guidance_scale"
FITTING = ("sampler", "frames", "task.control")  # what makes a run one of the experiment
SAME = ("sampler", "frames", "precision", "task")
FREE = (SCALE, "sampler.steps")  # among these
COSTS = {"steps": "steps", "seconds_per_clip": "seconds", "model_calls": "model_calls"}


def collect(options: dict[str, Any]) -> dict[int, list[Candidate]]:
    """The runs that count, by length in s; those that fit no experiment are named on stderr."""
    asked = Asked(options["experiment"])
    lengths = {int(length): chosen for length, chosen in options["lengths"].items()}
    by_length: dict[int, list[Candidate]] = {length: [] for length in lengths}
    for one in candidates(options):
        if one.named not in options["methods"]:
            continue
        unlike = {length: _unlike(one, asked, recordings) for length, recordings in lengths.items()}
        length = min(unlike, key=lambda name: len(unlike[name]))
        if unlike[length]:
            print(f"left out: run {one.path.name} ({one.named}), {'; '.join(unlike[length])}", file=sys.stderr)
        else:
            by_length[length].append(one)
    chosen = {length: choose(found, options["methods"]) for length, found in by_length.items() if found}
    if not chosen:
        raise UserError(
            f"no finished run in {options['runs']}: python -m ditto.run -m +experiment={options['experiment']}"
        )
    return chosen


def choose(found: list[Candidate], methods: list[str]) -> list[Candidate]:
    """The largest group that agrees in all but method and scale, in the order of the methods and scales."""
    kept = consistent(
        found,
        same=lambda one: (one.key, one.options(SAME, but=[SCALE])),
        own=lambda one: one.options(["method"]),
        key=scale,
        made=lambda one: one.made,
    )
    return sorted(kept, key=lambda one: (methods.index(one.named), scale(one)))


def scale(one: Candidate) -> float:
    """The guidance scale w of a run."""
    return float(one.config[SCALE])


def table(chosen: dict[int, list[Candidate]], options: dict[str, Any]) -> pd.DataFrame:
    """A row for each length, method, guidance scale and metric."""
    lines = [
        {"length_s": length, "method": one.named, "guidance_scale": scale(one), **line, **one.made.provenance}
        for length, found in chosen.items()
        for one in found
        for line in _figures(one, options["metrics"])
    ]
    if not lines:
        raise UserError(f"every clip failed in every run of {options['runs']}: python -m ditto.runs list --failed")
    return pd.DataFrame(lines).astype({"low": float, "high": float})  # None where n = 1


def _figures(one: Candidate, metrics: list[str]) -> Iterator[Row]:
    clips = one.made.clips
    if clips.empty:
        return
    costs = {name: float(clips[column].mean()) for name, column in COSTS.items()}
    for metric in metrics:
        yield {**mean_row(metric, clips[metric].to_numpy()), **costs}


def _unlike(one: Candidate, asked: Asked, recordings: str) -> list[str]:
    """How a run's sampler (but for scale and steps), length and recordings differ from the experiment's."""
    had = {name: value for name, value in one.config.items() if name not in FREE}
    return differences(had, asked.of(one.task, one.named, (recordings,)), FITTING)


def run(cfg: DictConfig) -> pd.DataFrame:
    """Read the runs, write table and page, return the table."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    chosen = collect(options)
    result = table(chosen, options)
    stem = Path(options["results"]) / options["name"]
    stem.parent.mkdir(parents=True, exist_ok=True)
    result.to_csv(stem.with_suffix(".csv"), index=False, float_format="%.6g")
    settings = {length: found[0].config for length, found in chosen.items()}
    write_page(result, settings, options, stem.with_suffix(".md"))
    return result


@command("inversion")
def main(cfg: DictConfig) -> None:
    result = run(cfg)
    print(f"{result['run'].nunique()} runs, written to {cfg.results}/{cfg.name}.csv and .md")


if __name__ == "__main__":
    main()
