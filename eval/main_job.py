"""The main job's figures from finished runs: `python -m eval.main_job runs=runs`.

For each task the largest finished run of each method (the newest of equals); where no run of `text_only` is there, the
text-only clips that a ditto run keeps beside its own: same prompts, same noise. Rows of <results>/main_job.csv:

  control metrics      mean over clips as the run measured them on the written wave, 95 % bootstrap interval
  tag_score, tag_accuracy   does the clip sound like its prompt's genre (eval.tags)
  fad_pc<k>            FAD in k principal components of the reference: a full covariance needs more clips
  fad                  FAD in all 200 dimensions, only where there are more windows than that
  *_ratio              method / text_only of the two above, clips resampled in pairs
  seconds_per_step     median over optimisation steps, for the whole batch (batch_size clips at once)
  seconds_per_clip, steps, model_calls, peak_memory_gib (GPU: allocated; CPU: resident peak while it ran), batch_size
  failed               clips without a usable result: named in the run's metrics.json and part of no mean
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ditto.run_directory import read_json
from ditto.types import UserError
from eval import tags
from eval.embeddings import embed_clips, read_files
from eval.finished import ABOUT, BESIDE, Finished, collect
from eval.paired import Judge
from eval.real import embed_excerpts, load_excerpts
from eval.sets import Row, mean_row, row


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
    rows = [row("seconds_per_step", float(np.median(seconds)), n)] if seconds else []
    rows.append(row("seconds_per_clip", float(clips["seconds"].mean()), n))
    rows += [row(name, float(clips[name].mean()), n) for name in ("steps", "model_calls", "batch_size")]
    return [*rows, row("peak_memory_gib", float(clips["peak_memory_gib"].max()), n), row("failed", one.failed, n)]


def table(found: list[Finished], judge: Judge, cache: Path) -> pd.DataFrame:
    """All rows of all runs."""
    rows = []
    heard = {(one.task, one.method): _embed(one, cache) for one in found}
    for one in found:
        clips, text_only = heard[one.task, one.method], heard.get((one.task, "text_only"))
        by_id = text_only if one.method != "text_only" and text_only and set(clips) <= set(text_only) else None
        beside = [by_id[clip] for clip in clips] if by_id else None
        sound = judge.fad_rows(list(clips.values()), beside)
        measured = (
            control_rows(one) + judge.tag_rows(list(one.clips["prompt"]), list(clips.values()), beside) + cost_rows(one)
        )
        same = {"task": one.task, "method": one.method}
        rows += [{**same, **line, **one.provenance, "reference": ""} for line in measured]
        rows += [{**same, **line, **one.provenance, "reference": str(judge)} for line in sound]
    return pd.DataFrame(rows)


def _embed(one: Finished, cache: Path) -> dict[str, np.ndarray]:
    """Clip id -> embeddings [W, D]."""
    files = one.files
    embedded = embed_clips(read_files(files), cache, total=len(files), label=f"{one.task} {one.method}")
    return {clip: embedded[file.stem] for clip, file in zip(one.clips["clip"], files, strict=True)}


def loss_picture(found: list[Finished], path: Path) -> bool:
    """Loss of every clip against the optimisation step, one panel per task; False if no run optimised anything."""
    import matplotlib.pyplot as plt

    curves = {one.task: _losses(one) for one in found if one.method == "ditto" and _losses(one)}
    if not curves:
        return False
    figure, axes = plt.subplots(1, len(curves), figsize=(4.5 * len(curves), 3.4), squeeze=False)
    for ax, (task, losses) in zip(axes[0], curves.items(), strict=True):
        for loss in losses:
            ax.plot(loss, color="tab:blue", alpha=0.3, linewidth=0.8)
        length = min(len(loss) for loss in losses)
        ax.plot(
            np.median([loss[:length] for loss in losses], axis=0), color="black", label=f"median of {len(losses)} clips"
        )
        ax.set(title=task, xlabel="optimisation step", ylabel="loss", yscale="log")
        ax.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True


def _losses(one: Finished) -> list[list[float]]:
    """The loss at every step, clip by clip."""
    histories = read_json(one.path / "history.json") or {}
    return [history["loss"] for history in histories.values() if history["loss"]]


def measure(options: dict[str, Any], found: list[Finished]) -> pd.DataFrame:
    """The table of these runs, written to <results>/<name>.csv."""
    cache = Path(options["cache"])
    excerpts = load_excerpts("test", tags.SECONDS, root=Path(options["data_root"]))
    _, reference = embed_excerpts(excerpts, options["n_reference"], cache, "reference")
    judge = Judge.of(reference, options["fad_components"], options["bootstrap"], options["seed"])
    result = table(found, judge, cache)
    folder = Path(options["results"])
    folder.mkdir(parents=True, exist_ok=True)
    result.to_csv(folder / f"{options['name']}.csv", index=False, float_format="%.6g")
    return result


def run(cfg: DictConfig) -> pd.DataFrame:
    """Read the runs, write the table and the picture, return the table."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    found = collect(options)
    result = measure(options, found)
    loss_picture(found, Path(options["results"]) / f"{options['name']}_loss.png")
    return result


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    try:
        result = run(cfg)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    shown = ["task", "method", "metric", "value", "low", "high", "n"]
    print(result[shown].to_string(index=False, float_format="%.4g"))
    print(f"written to {cfg.results}/{cfg.name}.csv and {cfg.name}_loss.png")


if __name__ == "__main__":
    main()
