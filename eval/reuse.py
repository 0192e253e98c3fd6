"""What of the control is in an optimised x_T* alone: `python -m eval.reuse runs=runs` (DITTO, appendix I, table 10).

Finished runs of `+experiment=paper_table10`: B samples of a stochastic sampler from the x_T* of a DITTO run, and from
noise that was not optimised; with and without FreeDoM; with the clip's prompt and with random ones. Of the runs of one
task, those count that agree in clips, weights, samples, sampler, source of x_T* and each method's own options, the
largest such group.
Rows of <results>/reuse.csv, one for each task, method, prompts and noise:

  value, low, high   the loss: mean over the samples of a clip (history.json), then over the n clips without failure;
                     95 % bootstrap interval over clips, for the samples of one clip are not independent
  noise, source      optimised, and the run that x_T* was taken from; or fresh
  samples            B, of each clip; seconds_per_clip, model_calls: the cost of all of them
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.command import command
from ditto.run_directory import read_json
from ditto.types import UserError
from eval.candidates import Candidate, candidates, consistent
from eval.reuse_page import write_page
from eval.sets import Row, mean_row

SAME = ("sampler", "frames", "precision", "task", "method.samples")


@dataclass(frozen=True)
class Reused:
    """A run of reuse within the comparison of one source of x_T*."""

    run: Candidate
    source: str  # id of the run whose x_T* the comparison is about

    @property
    def optimised(self) -> bool:
        return self.run.config.get("method.run") is not None

    @property
    def key(self) -> tuple[str, str, bool]:
        """Method, prompts, and whether the noise was optimised."""
        return self.run.named, str(self.run.config.get("method.prompts")), self.optimised


def collect(options: dict[str, Any]) -> list[Reused]:
    """The runs that count, in the order of the tasks and methods."""
    found = [one for one in candidates(options) if one.named in options["methods"]]
    kept = []
    for task in options["tasks"]:
        of_task = choose([one for one in found if one.task == task])
        if not of_task:
            how = f"python -m ditto.run -m +experiment={options['experiment']} size=here task={task}"
            print(f"no finished run of {task}: {how}", file=sys.stderr)
        kept += sorted(of_task, key=lambda one: (options["methods"].index(one.run.named), one.key))
    if not kept:
        raise UserError(f"no finished run of {', '.join(options['methods'])} in {options['runs']}")
    return kept


def choose(found: list[Candidate]) -> list[Reused]:
    """The largest group of one task; a run from fresh noise belongs to every source's."""
    sources = {_source(one) for one in found} - {""} or {""}
    return consistent(
        [Reused(one, source) for one in found for source in sources if _source(one) in ("", source)],
        same=lambda one: (one.run.key, one.run.options(SAME), one.source),
        own=lambda one: one.run.options(["method"], but=["method.prompts", "method.run"]),
        key=lambda one: one.key,
        made=lambda one: one.run.made,
    )


def table(found: list[Reused]) -> pd.DataFrame:
    """A row for each task, method, prompts and noise."""
    lines = []
    for one in found:
        method, prompts, optimised = one.key
        noise = {"noise": "optimised", "source": one.source} if optimised else {"noise": "fresh", "source": ""}
        about = {"task": one.run.task, "method": method, "prompts": prompts, **noise}
        lines += [{**about, **line, **one.run.made.provenance} for line in _figures(one.run)]
    if not lines:
        raise UserError("every clip failed in every run: python -m ditto.runs list --failed")
    return pd.DataFrame(lines).astype({"low": float, "high": float})  # None where n = 1


def _figures(one: Candidate) -> list[Row]:
    clips, histories = one.made.clips, read_json(one.path / "history.json") or {}
    if clips.empty:
        return []
    losses = [histories[clip]["loss"] for clip in clips["clip"]]
    costs = {"seconds_per_clip": float(clips["seconds"].mean()), "model_calls": float(clips["model_calls"].mean())}
    of = {"samples": len(losses[0]), **costs}
    return [{**mean_row("loss", [float(np.mean(samples)) for samples in losses]), **of}]


def _source(one: Candidate) -> str:
    """Id of the run whose x_T* it took, wherever that run was then; "" for fresh noise."""
    return Path(str(one.config.get("method.run") or "")).name


def run(cfg: DictConfig) -> pd.DataFrame:
    """Read the runs, write table and page, return the table."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    result = table(collect(options))
    stem = Path(options["results"]) / options["name"]
    stem.parent.mkdir(parents=True, exist_ok=True)
    result.to_csv(stem.with_suffix(".csv"), index=False, float_format="%.6g")
    write_page(result, options["name"], stem.with_suffix(".md"))
    return result


@command("reuse")
def main(cfg: DictConfig) -> None:
    result = run(cfg)
    print(f"{result['run'].nunique()} runs, written to {cfg.results}/{cfg.name}.csv and .md")


if __name__ == "__main__":
    main()
